import { assert, describe, it } from "@effect/vitest"
import { toolText } from "../../../src/demo/page/run/timeline.ts"

describe("what the page says of a tool call", () => {
  it("claims that it is done only when it is", () => {
    const said = (["executing", "failed", "completed"] as const).map((status) =>
      toolText({ status, toolName: "send_summary" })
    )
    assert.deepStrictEqual(said, ["Sending", "Sending", "Sent"])
    assert.strictEqual(toolText({ status: "completed", toolName: "a tool of later" }), "a tool of later")
  })
})
