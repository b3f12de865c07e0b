import { assert, describe, it } from "@effect/vitest"
import { detail, spoken } from "../../../src/demo/page/connection/connectionCard.ts"

const refusal = `this page's origin is not allowed: add it to the gateway's "origins" (HTTP 403)`

describe("the page's card of its connection", () => {
  it("fault 31: says why the server refused, and what to do about it", () => {
    const said = spoken({
      state: "stopped",
      reason: { _tag: "refused", code: 403, name: "originRefused", detail: refusal }
    })
    assert.strictEqual(said, `The connection has stopped. The server refused the connection: ${refusal}.`)
  })

  it("says of events that may be late no more than that, since the server may only wait for those of others", () => {
    assert.strictEqual(
      detail({ state: "degraded" }, 0),
      "The server may be without the newest events. They follow as soon as it has them."
    )
  })

  it("fault 31: says why it waits, and what to do about it, where that is more than a network that is away", () => {
    const waiting = (name: string | undefined, detail: string) =>
      spoken({
        state: "waiting",
        retryAt: 0,
        attempt: 1,
        cause: { _tag: "closed", code: 1006, name, detail }
      })
    const blocked = `something on the way lets no WebSocket through: add "sse" to "transports"`
    assert.strictEqual(waiting("blocked", blocked), `S${blocked.slice(1)}. Trying again.`)
    assert.strictEqual(waiting(undefined, "the connection was lost"), "The connection broke. Trying again.")
    assert.strictEqual(
      waiting("draining", "stopping"),
      "The server is stopping, and will be back. Trying again."
    )
  })
})
