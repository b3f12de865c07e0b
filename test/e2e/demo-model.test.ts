/** The demo whose model is named by the environment: what it asks there, and what devices are told of the answer. */
import { afterAll, assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { chatServer, chunk, done, says } from "../ai/chatServer.ts"
import { eventually } from "../broker/events.ts"
import { patience } from "../support/patience.ts"
import { killDemos, record, startDemo } from "./demo.ts"

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
      const post = (path: string, body: unknown, token = "") =>
        Effect.promise(async (): Promise<unknown> => {
          const headers = { authorization: `Bearer ${token}` }
          return await (await fetch(url + path, { method: "POST", headers, body: JSON.stringify(body) })).json()
        })
      const signedIn = yield* post("/api/token", { user: "ada" })
      const token = signedIn instanceof Object ? String(Reflect.get(signedIn, "token")) : assert.fail("no token")
      yield* post("/api/ask", { question: "Which way is up?" }, token)
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
