/**
 * What the payloads of built-in events are made of. Programs have all of it as
 * `AgentEvents`.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { checkWellFormed } from "../values/IdRules.ts"
import * as RunEvents from "./RunEvents.ts"

const maxLabelLength = 256

// One check instead of two, since it is made for every piece of a text.
const checkLabel = (value: string): string | undefined =>
  value.length >= 1 && value.length <= maxLabelLength
    ? checkWellFormed(value)
    : `Expected a value with a length between 1 and ${maxLabelLength}`

/**
 * Names of agents and tools, message and call ids: 1 to 256 characters of
 * well-formed Unicode.
 *
 * @category models
 * @since 0.1.0
 */
export const Label = Schema.String.check(Schema.makeFilter(checkLabel, {
  arbitraryConstraint: {
    minLength: 1,
    maxLength: maxLabelLength,
    patterns: [{ source: "^[A-Za-z0-9 _.:@|-]{1,32}$", flags: "" }]
  },
  toJsonSchema: () => [{ minLength: 1, maxLength: maxLabelLength }, true]
}))

/**
 * A number from 0 up.
 *
 * @category models
 * @since 0.1.0
 */
export const Amount = Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0))

/**
 * Tokens that a run used, and what they cost in the currency of the caller.
 *
 * @category models
 * @since 0.1.0
 */
export const Usage = Schema.Struct({
  inputTokens: Schema.Natural,
  outputTokens: Schema.Natural,
  cost: Schema.optionalKey(Amount)
})

/**
 * Tokens that a run used, as `Usage` checks them.
 *
 * @category models
 * @since 0.1.0
 */
export type Usage = typeof Usage.Type

/**
 * Why a run ended without a result: it failed, was cancelled, ran out of time,
 * or its process vanished.
 *
 * @category models
 * @since 0.1.0
 */
export const ErrorReason = Schema.Literals(RunEvents.errorReasons)

/**
 * One of the reasons that `ErrorReason` lists.
 *
 * @category models
 * @since 0.1.0
 */
export type ErrorReason = typeof ErrorReason.Type

/**
 * Who ended a run without a result: its user, or its program.
 *
 * @category models
 * @since 0.2.0
 */
export const Ender = Schema.Literals(RunEvents.enders)

/**
 * What a run asks its user for: a yes or no (`approval`), one of the `options`
 * (`choice`), a `text`, or an object that fits a JSON Schema (`form`).
 *
 * @category models
 * @since 0.2.0
 */
export const RequestKind = Schema.Literals(RunEvents.requestKinds)

/**
 * What a run asks its user for, as `RequestKind` checks it.
 *
 * @category models
 * @since 0.2.0
 */
export type RequestKind = typeof RequestKind.Type

/**
 * What came of a request: it was `answered`, its time was over (`expired`), or
 * nobody waits for an answer any more (`withdrawn`).
 *
 * @category models
 * @since 0.2.0
 */
export const RequestOutcome = Schema.Literals(RunEvents.requestOutcomes)

/**
 * What came of a request, as `RequestOutcome` checks it.
 *
 * @category models
 * @since 0.2.0
 */
export type RequestOutcome = typeof RequestOutcome.Type

/**
 * One of the options of a `choice`. `value` is the answer of whoever chooses it;
 * `label` is for people, by default the value.
 *
 * @category models
 * @since 0.2.0
 */
export const RequestOption = Schema.Struct({ value: Label, label: Schema.optionalKey(Label) })

/**
 * One of the options of a `choice`, as `RequestOption` checks it.
 *
 * @category models
 * @since 0.2.0
 */
export type RequestOption = typeof RequestOption.Type

const Pointer = Schema.String.check(Schema.isPattern(/^(\/([^~/]|~[01])*)*$/))

/**
 * An operation of a JSON Patch (RFC 6902). `path` and `from` are JSON Pointers
 * (RFC 6901).
 *
 * @category models
 * @since 0.2.0
 */
export const PatchOperation = Schema.Union([
  Schema.Struct({ op: Schema.Literal("add"), path: Pointer, value: Schema.Json }),
  Schema.Struct({ op: Schema.Literal("remove"), path: Pointer }),
  Schema.Struct({ op: Schema.Literal("replace"), path: Pointer, value: Schema.Json }),
  Schema.Struct({ op: Schema.Literal("move"), from: Pointer, path: Pointer }),
  Schema.Struct({ op: Schema.Literal("copy"), from: Pointer, path: Pointer }),
  Schema.Struct({ op: Schema.Literal("test"), path: Pointer, value: Schema.Json })
])

/**
 * An operation of a JSON Patch, as `PatchOperation` checks it.
 *
 * @category models
 * @since 0.2.0
 */
export type PatchOperation = typeof PatchOperation.Type
