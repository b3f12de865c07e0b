/**
 * Which model answers in the demo: the local one, or with `OPENAI_BASE_URL` set the one that `OPENAI_MODEL` names, behind
 * an API that speaks OpenAI's chat completions. `OPENAI_API_KEY` is its key, where it needs one.
 */
import { Config, Effect, Layer, Option, Redacted, Schema } from "effect"
import { OtherModel } from "../agent/Agent.ts"

/** The settings do not name a model. */
export class InvalidModel extends Schema.TaggedError<InvalidModel>()("InvalidModel", {
  variable: Schema.String,
  problem: Schema.String
}) {
  override get message() {
    return `${this.variable} ${this.problem}. Try: OPENAI_BASE_URL=http://127.0.0.1:11434/v1 OPENAI_MODEL=qwen3 npm start`
  }
}

/** A model behind an API. */
export interface Model {
  readonly baseUrl: string
  readonly model: string
  readonly apiKey: Redacted.Redacted | undefined
}

const given = (name: string) =>
  Effect.map(Config.option(Config.String(name)), (value) => Option.getOrElse(value, () => "").trim())

/** The model that is set, if one is. */
export const model: Effect.Effect<Model | undefined, InvalidModel | Config.ConfigError> = Effect.gen(function*() {
  const baseUrl = yield* given("OPENAI_BASE_URL")
  if (baseUrl === "") return undefined
  const { protocol } = URL.canParse(baseUrl) ? new URL(baseUrl) : { protocol: "" }
  if (protocol !== "http:" && protocol !== "https:") {
    return yield* new InvalidModel({ variable: "OPENAI_BASE_URL", problem: "is no address of an API, up to its /v1" })
  }
  const name = yield* given("OPENAI_MODEL")
  if (name === "") {
    return yield* new InvalidModel({ variable: "OPENAI_MODEL", problem: "must name a model of that API" })
  }
  const key = yield* given("OPENAI_API_KEY")
  return { baseUrl, model: name, apiKey: key === "" ? undefined : Redacted.make(key) }
})

/** Has runs answered by a model; by the local one where there is none. */
export const layer = (options: Model | undefined): Layer.Layer<never> =>
  options === undefined ? Layer.empty : Layer.effect(
    OtherModel,
    Effect.gen(function*() {
      // Nothing of it is loaded where nobody asks for it.
      const { make } = yield* Effect.promise(() => import("../agent/OpenAi.ts"))
      const { apiKey, baseUrl, model: name } = options
      return yield* make({ baseUrl, model: name, apiKey: apiKey === undefined ? undefined : Redacted.value(apiKey) })
    })
  )
