/**
 * How a command is written down, and what the steps over commands answer, as plain lists.
 *
 * @since 0.2.0
 */
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Command from "../../protocol/command/Command.ts"
import type { SentCommand } from "../Broker.ts"

const Sent = Schema.fromJsonString(Schema.Struct({
  ...Command.Request.fields,
  client: Schema.optionalKey(Schema.String)
}))

/**
 * A command as text.
 *
 * @category conversions
 * @since 0.2.0
 */
export const fromCommand: (command: SentCommand) => string = Schema.encodeSync(Sent)

const decodeOutcome = Schema.decodeUnknownSync(Schema.fromJsonString(Command.Outcome))

/**
 * An outcome as text.
 *
 * @category conversions
 * @since 0.2.0
 */
export const fromOutcome: (outcome: Command.Outcome) => string = Schema.encodeSync(
  Schema.fromJsonString(Command.Outcome)
)

/**
 * What a step tells of one command:
 *
 * - it was decided (`Decided`), or its id was another's (`Conflict`);
 * - it is open (`Open`), for `process` if that is known;
 * - the user has too many (`TooMany`);
 * - a process has taken it (`Taken`), so nobody else decides it;
 * - nothing is known of its user (`Unsure`).
 *
 * @category models
 * @since 0.2.0
 */
export type CommandReply =
  | { readonly _tag: "Decided"; readonly outcome: Command.Outcome }
  | { readonly _tag: "Conflict" }
  | { readonly _tag: "Open"; readonly number: number; readonly process: string | undefined }
  | { readonly _tag: "TooMany"; readonly open: number; readonly known: number }
  | { readonly _tag: "Taken" }
  | { readonly _tag: "Unsure" }

const decodeReply = Schema.decodeUnknownSync(Schema.Union([
  Schema.Tuple([Schema.Literal("decided"), Schema.String]),
  Schema.Tuple([Schema.Literal("conflict")]),
  Schema.Tuple([Schema.Literal("open"), Schema.Int, Schema.String]),
  Schema.Tuple([Schema.Literal("open")]),
  Schema.Tuple([Schema.Literal("tooMany"), Schema.Int, Schema.Int]),
  Schema.Tuple([Schema.Literal("taken")]),
  Schema.Tuple([Schema.Literal("unsure")])
]))

/**
 * Reads what a step answered about one command.
 *
 * @category conversions
 * @since 0.2.0
 */
export const toCommandReply = (reply: unknown): CommandReply => {
  const answer = decodeReply(reply)
  switch (answer[0]) {
    case "decided":
      return { _tag: "Decided", outcome: decodeOutcome(answer[1]) }
    case "conflict":
      return { _tag: "Conflict" }
    case "open": {
      const [, number = 0, process = ""] = answer
      return { _tag: "Open", number, process: process === "" ? undefined : process }
    }
    case "tooMany":
      return { _tag: "TooMany", open: answer[1], known: answer[2] }
    case "taken":
      return { _tag: "Taken" }
    case "unsure":
      return { _tag: "Unsure" }
  }
}

/**
 * The command that a process has taken, and whether there are more for it. What of
 * another version's process, or of nobody's, cannot be read is no `command`.
 *
 * @category models
 * @since 0.2.0
 */
export interface Taken {
  readonly id: string
  readonly digest: string
  readonly run: string
  readonly command: SentCommand | undefined
  readonly hasMore: boolean
}

const decodeTaken = Schema.decodeUnknownSync(Schema.Union([
  Schema.Tuple([]),
  Schema.Tuple([Schema.String, Schema.String, Schema.String, Schema.String, Schema.Literals([0, 1])])
]))

const decodeSent = Schema.decodeUnknownOption(Sent)

/**
 * Reads what the step answered that takes a command.
 *
 * @category conversions
 * @since 0.2.0
 */
export const toTaken = (reply: unknown): Taken | undefined => {
  const taken = decodeTaken(reply)
  if (taken.length === 0) return undefined
  const [id, digest, run, body, hasMore] = taken
  return { id, digest, run, command: Option.getOrUndefined(decodeSent(body)), hasMore: hasMore === 1 }
}
