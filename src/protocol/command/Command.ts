/**
 * What a device asks of a run: to stop (`cancel`), to take an answer (`answer`), or
 * whatever the program has a command for.
 *
 * A command has an id that the device chooses. The same id is never acted upon
 * twice, however often it is sent, and gets the same outcome for ten minutes. What
 * came of a command that was accepted is an event, which every device sees.
 *
 * A definition is made once and serves both sides: the program reads
 * `emitter.commands(Steer)`, and the page sends `run.send(Steer, { text: "shorter" })`.
 *
 * ```ts
 * import { Schema } from "effect"
 * import { Command } from "effect-emitter/events"
 *
 * const Steer = Command.make("steer", { payload: { text: Schema.NonEmptyString } })
 * ```
 *
 * @since 0.2.0
 */
import * as Schema from "effect/Schema"
import {
  Name,
  namePattern,
  type NeedsNoServices,
  type PayloadOf,
  payloadOf,
  type PayloadSchema
} from "../event/EventDefinition.ts"
import { Id, RunId } from "../values/Identity.ts"

/**
 * The id of a command, which its device chooses: unlike any other of its user.
 *
 * @category models
 * @since 0.2.0
 */
export const CommandId = Id.pipe(Schema.brand("CommandId"))

/**
 * The id of a command.
 *
 * @category models
 * @since 0.2.0
 */
export type CommandId = typeof CommandId.Type

/**
 * A command's name: 1 to 64 characters of `a–z 0–9 _ .`, a letter first.
 *
 * @category models
 * @since 0.2.0
 */
export const CommandName = Name

/**
 * How many bytes of JSON the data of a command may have, and how deep it may be nested.
 *
 * @category constants
 * @since 0.2.0
 */
export { maxDataBytes, maxDataDepth } from "../values/WireLimits.ts"

/**
 * How long the outcome of a command is remembered at least, in milliseconds: ten
 * minutes.
 *
 * @category constants
 * @since 0.2.0
 */
export const outcomeMemoryMs = 600_000

/**
 * A command as a device sends it: what it asks (`name`, `data`), and of which run.
 *
 * @category models
 * @since 0.2.0
 */
export const Request = Schema.Struct({
  id: CommandId,
  run: RunId,
  name: CommandName,
  data: Schema.optionalKey(Schema.Json)
})

/**
 * A command as a device sends it.
 *
 * @category models
 * @since 0.2.0
 */
export type Request = typeof Request.Type

/**
 * Why a command is not done, now or later:
 *
 * - `unknownRun`: its user has no such run;
 * - `ended`: the run has ended, or what the command answers was settled before;
 * - `invalid`: the run takes no command of this name or shape; `path` says where;
 * - `notAllowed`: the run, or the server's policy, does not allow it;
 * - `conflict`: its id was another command's;
 * - `tooMany`: its user or its run has too many that are not decided yet, or sent too
 *   many in too short a time;
 * - `unavailable`: whoever has the run did not answer in time. It will not be done
 *   later; sent anew, under another id, it may be.
 *
 * @category models
 * @since 0.2.0
 */
export const RefusedReason = Schema.Literals([
  "unknownRun",
  "ended",
  "invalid",
  "notAllowed",
  "conflict",
  "tooMany",
  "unavailable"
])

/**
 * One of the reasons that `RefusedReason` lists.
 *
 * @category models
 * @since 0.2.0
 */
export type RefusedReason = typeof RefusedReason.Type

/**
 * What became of a command: the run took it, or it was refused, and is never done.
 * `path` is where its data is wrong; `message` says it in a sentence.
 *
 * @category models
 * @since 0.2.0
 */
export const Outcome = Schema.Union([
  Schema.Struct({ outcome: Schema.tag("accepted") }),
  Schema.Struct({
    outcome: Schema.tag("refused"),
    reason: RefusedReason,
    path: Schema.optionalKey(Schema.String),
    message: Schema.optionalKey(Schema.String)
  })
])

/**
 * What became of a command.
 *
 * @category models
 * @since 0.2.0
 */
export type Outcome = typeof Outcome.Type

/**
 * That the run took the command.
 *
 * ```ts
 * import { Command } from "effect-emitter"
 *
 * const says = (outcome: Command.Outcome) => outcome.outcome === "accepted" ? "It is on its way." : outcome.reason
 *
 * console.assert(says(Command.accepted) === "It is on its way.")
 * ```
 *
 * @category constructors
 * @since 0.2.0
 */
export const accepted: Outcome = { outcome: "accepted" }

/**
 * That the command was refused, and why.
 *
 * ```ts
 * import { Command } from "effect-emitter"
 *
 * const notAllowed = Command.refused("notAllowed", { message: "Only who began the run may stop it" })
 * const misfit = Command.refused("invalid", { path: "data.speed" })
 * ```
 *
 * @category constructors
 * @since 0.2.0
 */
export const refused = (
  reason: RefusedReason,
  details: { readonly path?: string; readonly message?: string } = {}
): Outcome => ({ outcome: "refused", reason, ...details })

/**
 * Names that the package has commands for itself: `cancel` stops a run, `answer`
 * answers a request of it.
 *
 * @category constants
 * @since 0.2.0
 */
export const builtInNames = ["cancel", "answer"] as const

/**
 * One of the names that the package has commands for itself.
 *
 * @category models
 * @since 0.2.0
 */
export type BuiltInName = typeof builtInNames[number]

/**
 * What `cancel` has with it: nothing, or in words why, which is shown to nobody but
 * the program.
 *
 * @category models
 * @since 0.2.0
 */
export const CancelData = Schema.Struct({ reason: Schema.optionalKey(Schema.String.check(Schema.isMaxLength(1_000))) })

/**
 * What `answer` has with it: which request of the run it answers, and the answer.
 *
 * @category models
 * @since 0.2.0
 */
export const AnswerData = Schema.Struct({ requestId: Id, answer: Schema.Json })

/**
 * A kind of command of a program's own. `write` gives a payload as it travels, and
 * throws what is wrong with one that does not fit.
 *
 * @category models
 * @since 0.2.0
 */
export interface Definition<out Name extends string = string, in out Payload extends PayloadSchema = PayloadSchema> {
  readonly name: Name
  readonly payload: Payload
  readonly write: (payload: Payload["Type"]) => Schema.Json
}

// What only receives never writes, so nothing is made ready for it.
const writerOf = <Payload extends PayloadSchema>(schema: Payload): (payload: Payload["Type"]) => Schema.Json => {
  let encode: ((payload: unknown) => Schema.Json) | undefined
  return (payload) => {
    encode ??= Schema.encodeUnknownSync(Schema.toCodecJson(schema))
    return encode(payload)
  }
}

const isBuiltIn = (name: string): boolean => builtInNames.some((taken) => taken === name)

/**
 * Defines a command.
 *
 * - `name` is fixed once devices know it: see `CommandName`. `cancel` and `answer`
 *   are taken.
 * - `payload` is the fields of a struct, or a schema of objects that encodes to JSON,
 *   8 KiB of it at most.
 *
 * A name that breaks these rules throws a `TypeError` where the definition is
 * written, since it is a mistake in the program.
 *
 * @category constructors
 * @since 0.2.0
 */
export const make = <const Name extends string, const Payload extends Schema.Struct.Fields | PayloadSchema>(
  name: Name,
  options:
    & { readonly payload: Payload }
    & NeedsNoServices<Payload>
    & (Name extends BuiltInName ? { readonly payload: "the name is that of a built-in command" } : unknown)
): Definition<Name, PayloadOf<Payload>> => {
  if (!namePattern.test(name)) throw new TypeError(`The command name "${name}" does not match ${namePattern.source}`)
  if (isBuiltIn(name)) throw new TypeError(`The command name "${name}" is that of a built-in command`)
  const payload = payloadOf<Payload>(options.payload)
  return { name, payload, write: writerOf(payload) }
}
