/** The demo whose model is named by the environment: what it asks there, and what devices are told of the answer. */
import { afterAll, assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { chatServer, chunk, done, says } from "../ai/chatServer.ts"
import { eventually } from "../broker/events.ts"
import { patience } from "../support/patience.ts"
import { killDemos, post, record, startDemo, tokenOf } from "./demo.ts"

describe("npm start with OPENAI_BASE_URL", () => {
  afterAll(killDemos)

  it.live("asks that model, with the key and the tools, and tells devices its answer", () =>
    Effect.gen(function*() {
      const words = ["Nobody ", "knows ", "that."]
      const text = words.map((content) => chunk({ content })).join("")
      const model = yield* chatServer(says(text + chunk({}, "stop") + done, 7))
      const demo = startDemo(0, undefined, {
        OPENAI_BASE_URL: model.baseUrl,
        OPENAI_MODEL: "local-1",
        OPENAI_API_KEY: "key-of-a-test"
      })
      const url = yield* Effect.promise(() => demo.ready)
      const ada = yield* Effect.acquireRelease(Effect.promise(() => record(url, "ada")), ({ close }) =>
        Effect.sync(close))
      yield* Effect.promise(async () =>
        post(url, "/api/ask", { question: "Which way is up?" }, await tokenOf(url, "ada"))
      )
      const said = Effect.sync(() =>
        ada.events.map(({ data, type }) =>
          type === "text_delta" ? String(data["delta"]) : ""
        )
      )
      yield* eventually(said, (deltas) => deltas.join("") === words.join(""), "the model's answer", 20)
      const asked = model.asked[0] ?? assert.fail("it was not asked")
      assert.strictEqual(asked.authorization, "Bearer key-of-a-test")
      assert.include(JSON.stringify(asked.messages), "Which way is up?")
      assert.isAbove(asked.tools?.length ?? 0, 0)
      // The key is told nowhere.
      assert.notInclude(demo.said() + JSON.stringify(ada.events), "key-of-a-test")
    }).pipe(Effect.scoped), 60_000 * patience)
})
