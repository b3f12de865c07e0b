/**
 * The steps over a user's commands that a broker for many processes takes, each in
 * one transaction.
 *
 * Each may be repeated without harm: what was decided stays, and what was taken is
 * given again to the process that took it.
 *
 * @since 0.2.0
 */
import type * as Effect from "effect/Effect"
import type * as Command from "../../protocol/command/Command.ts"
import type { UserId } from "../../protocol/values/Identity.ts"
import type { BrokerError } from "../BrokerError.ts"
import type * as Reply from "./CommandReply.ts"
import type { Digested, Mail } from "./Inbox.ts"

/**
 * How a command that a process took is decided: with an outcome, by where its run
 * stands (`log`), or only if its run has ended (`end`).
 *
 * @category models
 * @since 0.2.0
 */
export type Decision = Command.Outcome | "log" | "end"

/**
 * - `put` writes a command down, or finds what became of it; `isFinal` where a user of
 *   whom nothing is known has no runs.
 * - `post` wakes a process for the commands of a user.
 * - `withdraw` refuses a command unless it was taken.
 * - `take` takes the next of the user's commands that is for this process, but for those
 *   that are `left` as they are.
 * - `decide` decides one that was taken.
 * - `clear` takes users out of this process's mailbox that were seen to.
 *
 * @category models
 * @since 0.2.0
 */
export interface CommandCaller {
  readonly put: (
    user: UserId,
    sent: Digested,
    withinMs: number,
    isFinal: boolean
  ) => Effect.Effect<Reply.CommandReply, BrokerError>
  readonly post: (process: string, user: UserId, number: number) => Effect.Effect<void, BrokerError>
  readonly withdraw: (user: UserId, sent: Digested) => Effect.Effect<Reply.CommandReply, BrokerError>
  readonly take: (
    user: UserId,
    left: ReadonlyArray<string>
  ) => Effect.Effect<Reply.Taken | undefined, BrokerError>
  readonly decide: (
    user: UserId,
    taken: Pick<Reply.Taken, "id" | "digest" | "run">,
    decision: Decision
  ) => Effect.Effect<Reply.CommandReply, BrokerError>
  readonly clear: (mail: Mail) => Effect.Effect<void, BrokerError>
}
