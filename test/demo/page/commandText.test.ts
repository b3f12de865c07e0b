import { assert, describe, it } from "@effect/vitest"
import { CommandError } from "../../../src/client/index.ts"
import { noAnswer, refusal } from "../../../src/demo/page/run/commandText.ts"
import { outcomeText, type RequestPart } from "../../../src/demo/page/run/requests.ts"

const asked: RequestPart = { type: "request", requestId: "q", kind: "approval", title: "Send?", status: "open" }

describe("what the page says of what was asked of a run", () => {
  it("is nothing where it was done, or the run had ended: its ending says more", () => {
    assert.isUndefined(refusal({ outcome: "accepted" }))
    assert.isUndefined(refusal({ outcome: "refused", reason: "ended" }))
  })

  it("is why it was refused, or that nobody knows whether it was done", () => {
    assert.match(refusal({ outcome: "refused", reason: "unknownRun" }) ?? "", /does not know this run/)
    assert.match(refusal({ outcome: "refused", reason: "unavailable" }) ?? "", /cannot be reached/)
    assert.strictEqual(refusal({ outcome: "refused", reason: "notAllowed", message: "Not this one." }), "Not this one.")
    assert.strictEqual(refusal({ outcome: "refused", reason: "tooMany" }), "the server refused it (tooMany).")
    assert.match(noAnswer(new CommandError("timeout")), /may have been done all the same/)
    assert.notMatch(noAnswer(new CommandError("unsupported")), /may have been done/)
  })
})

describe("what the page says came of a question", () => {
  it("is what was answered, whoever answered, and calm where nobody did", () => {
    const texts = [
      outcomeText({ ...asked, status: "answered", answer: true }),
      outcomeText({ ...asked, status: "answered", answer: { approved: true } }),
      outcomeText({ ...asked, status: "answered", answer: { approved: false, reason: "too long" } }),
      outcomeText({ ...asked, status: "answered", answer: false }),
      outcomeText({ ...asked, status: "answered", sensitive: true }),
      outcomeText({ ...asked, status: "expired" }),
      outcomeText({ ...asked, status: "withdrawn" }),
      outcomeText(asked)
    ]
    assert.deepStrictEqual(texts, [
      "You said yes.",
      "You said yes.",
      "You said no.",
      "You said no.",
      "You answered.",
      "Nobody answered in time.",
      "Not answered before the run ended.",
      ""
    ])
    assert.match(outcomeText({ ...asked, expiresAt: 0 }), /^Open until .*\d.*\.$/)
  })
})
