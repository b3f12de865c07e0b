import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as RunRequest from "../../src/interop/RunRequest.ts"

describe("the request by which a page asks for a run", () => {
  it.live("waits for no token where it was aborted while its headers were got", () =>
    Effect.gen(function*() {
      const stopping = new AbortController()
      const { signal } = stopping
      const given = () => {
        stopping.abort(new Error("stopped"))
        return {}
      }
      const asked = RunRequest.headersOf(given, signal).then((headers) =>
        RunRequest.post("http://127.0.0.1:1/", { accept: "application/json", body: {}, headers, signal, what: "run" }, {
          token: () => new Promise(() => {})
        })
      )
      const error = yield* Effect.timeout(
        Effect.flip(Effect.tryPromise({ try: () => asked, catch: String })),
        "2 seconds"
      )
      assert.strictEqual(error, "Error: stopped")
    }))
})
