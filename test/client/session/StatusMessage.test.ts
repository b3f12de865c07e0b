import { assert, describe, it } from "@effect/vitest"
import { type Loss, type Status, statusMessage } from "effect-emitter/client"

const waiting = (cause: Loss): Status => ({ state: "waiting", retryAt: 1_000, attempt: 1, cause })

const statuses: ReadonlyArray<readonly [Status, string]> = [
  [{ state: "connecting" }, "Connecting."],
  [{ state: "live", transport: "sse" }, "Connected."],
  [{ state: "degraded" }, "Connected, but events may be late."],
  [{ state: "resuming" }, "Reconnecting, and catching up on what was missed."],
  [
    waiting({ _tag: "closed", code: 4500, name: "draining", detail: "the server is about to stop" }),
    "The connection was closed: the server is about to stop. Trying again soon."
  ],
  [waiting({ _tag: "silent", silentMs: 9_000 }), "The server does not answer. Trying again soon."],
  [waiting({ _tag: "timeout", afterMs: 9_000 }), "The server does not answer. Trying again soon."],
  [
    waiting({ _tag: "missing", expected: "E1:2", received: "E1:3" }),
    "The server sent something that could not be read. Trying again soon."
  ],
  [
    waiting({ _tag: "badFrame", detail: "the message is not JSON" }),
    "The server sent something that could not be read. Trying again soon."
  ],
  [waiting({ _tag: "tokenFailed" }), "The sign-in could not be renewed. Trying again soon."],
  [{ state: "stopped", reason: { _tag: "closed" } }, "Disconnected."],
  [
    {
      state: "stopped",
      reason: { _tag: "refused", code: 404, name: "notFound", detail: "nothing is at this address" }
    },
    "The server refused the connection: nothing is at this address."
  ],
  [{ state: "stopped", reason: { _tag: "noToken", detail: "there is no token" } }, "Signed out. Please sign in again."]
]

describe("statusMessage", () => {
  it("says in plain words how a connection stands, with the server's remedy where there is one", () => {
    for (const [status, message] of statuses) assert.strictEqual(statusMessage(status), message)
  })
})
