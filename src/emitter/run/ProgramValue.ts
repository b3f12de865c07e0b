/**
 * What a program gives its runs and tools to show, as JSON.
 *
 * Inputs, outputs and results are any values. What is no JSON is written as
 * `JSON.stringify` writes it, with a bigint as its digits and `undefined` as
 * `null`; what cannot be written, or is too large, is replaced by
 * `{ omitted: "…" }`. The JSON is a copy: its program may change the value.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { Event } from "../../protocol/event/Event.ts"
import type { Acceptor } from "../accept/Acceptor.ts"
import type { Binding } from "../accept/Binding.ts"
import type { Receipt } from "../dispatch/Receipt.ts"
import type { EmitError } from "../EmitError.ts"

/**
 * What a value is for, as it is called where it had to be left out.
 *
 * @category models
 * @since 0.1.0
 */
export type Role = "input" | "output" | "result"

/**
 * Emits an event that shows a value. Where the value makes the event fail, the event
 * is emitted without it. An event that is `owed` is also emitted without its value
 * where there is no room for both.
 *
 * @category operations
 * @since 0.1.0
 */
export const emitShowing = (
  acceptor: Acceptor,
  binding: Binding,
  role: Role,
  value: unknown,
  event: (shown: Schema.Json) => Event,
  owed = false
): Effect.Effect<Receipt, EmitError> =>
  Effect.suspend(() => {
    const limit = binding.outbox.settings.maxEventBytes
    const without = (why: string) => acceptor.emit(binding, event(omitted(role, why)), owed)
    return acceptor.emit(binding, event(toJson(value, role, limit))).pipe(
      Effect.catch((error) => {
        switch (error.reason._tag) {
          case "EventTooLarge":
            return without(problems.tooLarge(limit))
          // What is valid JSON may still be nested deeper than the event's schema follows.
          case "InvalidPayload":
            return without(problems.noJson)
          case "Overflow":
            return owed ? without(problems.noRoom) : Effect.fail(error)
          default:
            return Effect.fail(error)
        }
      })
    )
  })

/**
 * The value as JSON that has about `limit` bytes at most.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toJson = (value: unknown, role: Role, limit: number): Schema.Json => {
  if (value === undefined) return null
  let length = 0
  const count = (key: string, field: unknown): unknown => {
    const plain = typeof field === "bigint" ? String(field) : field
    length += key.length + (typeof plain === "string" ? plain.length : 1)
    if (length > limit) throw tooLarge
    return plain
  }
  try {
    // The value's own code runs in here: `toJSON`, getters, a proxy's traps.
    const text = JSON.stringify(value, count)
    if (text === undefined) return omitted(role, `is a ${typeof value}`)
    const parsed: unknown = JSON.parse(text)
    return isJson(parsed) ? parsed : omitted(role, problems.noJson)
  } catch (defect) {
    // The error is not shown: it comes from the value's own code, and may hold a secret.
    return omitted(role, defect === tooLarge ? problems.tooLarge(limit) : problems.noJson)
  }
}

const omitted = (role: Role, why: string): Schema.Json => ({ omitted: `the ${role} ${why}` })

const problems = {
  tooLarge: (limit: number) => `is too large for an event, which may have ${limit} bytes (maxEventBytes)`,
  noJson: "cannot be written as JSON",
  noRoom: "was left out, since too many events are pending (batching.capacity)"
}

const tooLarge = new Error("too large")

const isJson = Schema.is(Schema.Json)
