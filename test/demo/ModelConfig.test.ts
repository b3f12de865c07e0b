import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Effect, Redacted } from "effect"
import { OtherModel } from "../../src/demo/agent/Agent.ts"
import * as ModelConfig from "../../src/demo/settings/ModelConfig.ts"

const modelOf = (env: Record<string, string>) =>
  ModelConfig.model.pipe(Effect.provide(ConfigProvider.layer(ConfigProvider.fromEnv({ env }))))

describe("the demo's model", () => {
  it.effect("is the local one unless there is an API", () =>
    Effect.gen(function*() {
      for (const env of [{}, { OPENAI_BASE_URL: "" }, { OPENAI_MODEL: "m", OPENAI_API_KEY: "k" }]) {
        assert.isUndefined(yield* modelOf(env))
      }
      assert.isUndefined(yield* OtherModel.pipe(Effect.provide(ModelConfig.layer(undefined))))
    }))

  it.effect("is the one that is named, with its key where there is one", () =>
    Effect.gen(function*() {
      const env = { OPENAI_BASE_URL: "http://127.0.0.1:1/v1", OPENAI_MODEL: "m" }
      const local = yield* modelOf(env)
      assert.deepStrictEqual(local, { baseUrl: "http://127.0.0.1:1/v1", model: "m", apiKey: undefined })
      const keyed = yield* modelOf({ ...env, OPENAI_API_KEY: "k" })
      assert.strictEqual(keyed?.apiKey === undefined ? undefined : Redacted.value(keyed.apiKey), "k")
      assert.isDefined(yield* OtherModel.pipe(Effect.provide(ModelConfig.layer(local))))
    }))

  it.effect("is refused in one line that says what to set", () =>
    Effect.gen(function*() {
      const example = "Try: OPENAI_BASE_URL=http://127.0.0.1:11434/v1 OPENAI_MODEL=qwen3 npm start"
      assert.strictEqual(
        (yield* Effect.flip(modelOf({ OPENAI_BASE_URL: "http://127.0.0.1:1/v1" }))).message,
        `OPENAI_MODEL must name a model of that API. ${example}`
      )
      for (const url of ["localhost", "ftp://a/v1"]) {
        assert.strictEqual(
          (yield* Effect.flip(modelOf({ OPENAI_BASE_URL: url, OPENAI_MODEL: "m" }))).message,
          `OPENAI_BASE_URL is no address of an API, up to its /v1. ${example}`
        )
      }
    }))
})
