/**
 * What is wrong with the options of a part, the same for all parts: every problem
 * at once, wherever the options came from.
 *
 * ```ts
 * import { Effect, Layer } from "effect"
 * import { Broker, EmitterLayer } from "effect-emitter"
 *
 * const emitters = EmitterLayer({ batching: { maxSize: 64, capacity: 32 } }).pipe(
 *   Layer.provide(Broker.layerMemory()),
 *   Layer.tapError(({ issues, of }) => Effect.logError(of, ...issues.map(({ path, remedy }) => `${path}: ${remedy}`)))
 * )
 * ```
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/**
 * One problem:
 *
 * - `path` of the option as it is written in code, such as `batching.maxSize`, and
 *   empty where it is about all of them;
 * - `message`: what is wrong there, and what is needed;
 * - `value` that was given, as JSON. It is left out where there is none, and of
 *   options that may hold a secret;
 * - `remedy`: what to do about it.
 *
 * @category models
 * @since 0.1.0
 */
export const Issue = Schema.Struct({
  path: Schema.String,
  message: Schema.String,
  value: Schema.optionalKey(Schema.String),
  remedy: Schema.String
})

/**
 * One problem with an option.
 *
 * @category models
 * @since 0.1.0
 */
export type Issue = typeof Issue.Type

/**
 * The parts that take options.
 *
 * @category models
 * @since 0.1.0
 */
export const Part = Schema.Literals([
  "EmitterLayer",
  "Gateway",
  "AgUi",
  "AiSdk",
  "DurableStreams",
  "Authenticator",
  "MemoryBroker",
  "RedisBroker",
  "SqliteBroker",
  "PostgresBroker",
  "Webhook"
])

/**
 * A part that takes options.
 *
 * @category models
 * @since 0.1.0
 */
export type Part = typeof Part.Type

/**
 * The options `of` a part cannot be used. No secret is part of it.
 *
 * @category errors
 * @since 0.1.0
 */
export class ConfigError extends Schema.TaggedError<ConfigError>()("ConfigError", {
  of: Part,
  issues: Schema.Array(Issue)
}) {
  override get message() {
    const lines = this.issues.map(({ message, path, remedy }) =>
      `  ${path === "" ? "" : `${path}: `}${message}; ${remedy}`
    )
    return [`The options of ${this.of} cannot be used:`, ...lines].join("\n")
  }
}
