/**
 * What became of something that was asked of a run, in words for its user.
 */
import { CommandError, type Connection, type NoAnswer } from "../../../client/index.ts"

/** What became of it. */
export type Outcome = Awaited<ReturnType<ReturnType<Connection["run"]>["cancel"]>>

const unanswered: Record<NoAnswer, string> = {
  unsupported: "this server takes no commands.",
  invalid: "the page wrote a command that is none.",
  tooLarge: "the command is too large.",
  tooMany: "too many commands wait for an answer already.",
  timeout: "no answer came in time. It may have been done all the same.",
  stopped: "the connection has ended. It may have been done all the same."
}

/** Why a command was not done, as far as that is known; nothing where there is no more to do. */
export const refusal = (outcome: Outcome): string | undefined =>
  outcome.outcome === "accepted" || outcome.reason === "ended"
    ? undefined
    : outcome.reason === "unknownRun"
    ? "the server does not know this run any more."
    : outcome.reason === "unavailable"
    ? "the process that runs it cannot be reached just now."
    : outcome.message ?? `the server refused it (${outcome.reason}).`

/** What to tell of an answer that did not come. */
export const noAnswer = (error: unknown): string =>
  error instanceof CommandError ? unanswered[error.reason] : error instanceof Error ? error.message : String(error)
