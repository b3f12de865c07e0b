/**
 * The steps over a user's commands, each in one transaction.
 *
 * @since 0.2.0
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Semaphore from "effect/Semaphore"
import type { UserId } from "../../../protocol/values/Identity.ts"
import type { BrokerError } from "../../BrokerError.ts"
import type { CommandCaller } from "../../commands/CommandCaller.ts"
import * as Reply from "../../commands/CommandReply.ts"
import type { Database } from "../connection/Database.ts"
import * as Failure from "../connection/Failure.ts"
import type { Logs } from "../operations/Logs.ts"
import { Told } from "../subscriptions/Message.ts"
import type { Notifier } from "../subscriptions/Notifier.ts"

const decodeAnswer = Schema.decodeUnknownSync(Schema.Tuple([Schema.Unknown, Told]))

/**
 * `node` names this process.
 *
 * @category constructors
 * @since 0.2.0
 */
export const make = (node: string, database: Database, logs: Logs, notifier: Notifier): CommandCaller => {
  const run = <A>(
    operation: string,
    name: string,
    user: UserId,
    asked: object,
    decode: (reply: unknown) => A
  ): Effect.Effect<A, BrokerError> =>
    Effect.flatMap(
      Effect.suspend(() => database.call(operation, name, { user, epoch: logs.nextEpoch(), ...asked })),
      (answer) =>
        Failure.read(operation, () => {
          const [reply, told] = decodeAnswer(answer)
          notifier.decided(told)
          return decode(reply)
        })
    )

  // Connections are several, and a user's commands are taken in the order in which they were sent here.
  const turns = new Map<UserId, { readonly turn: Semaphore.Semaphore; waiting: number }>()
  const inTurn = <A, E>(user: UserId, effect: Effect.Effect<A, E>): Effect.Effect<A, E> =>
    Effect.acquireUseRelease(
      Effect.sync(() => {
        const one = turns.get(user) ?? { turn: Semaphore.makeUnsafe(1), waiting: 0 }
        turns.set(user, one)
        one.waiting++
        return one
      }),
      ({ turn }) => turn.withPermit(effect),
      (one) =>
        Effect.sync(() => {
          if (--one.waiting === 0) turns.delete(user)
        })
    )

  return {
    put: (user, { command, digest }, withinMs, isFinal) =>
      Effect.flatMap(Failure.read("command", () => Reply.fromCommand(command)), (body) => {
        const { id, run: of } = command
        const asked = { id, digest, run: of, body, sender: node, within: Math.ceil(withinMs), isFinal }
        return inTurn(user, run("command", "put_command", user, asked, Reply.toCommandReply))
      }),
    post: (process, user, number) =>
      Effect.map(
        database.call("post", "post_command", { process, user, number }),
        () => notifier.posted(process, user, number)
      ),
    withdraw: (user, { command: { id, run: of }, digest }) =>
      run("withdraw", "withdraw_command", user, { id, digest, run: of }, Reply.toCommandReply),
    take: (user, left) => run("take", "take_command", user, { process: node, left }, Reply.toTaken),
    decide: (user, { digest, id, run: of }, decision) =>
      run("decide", "decide_command", user, {
        id,
        digest,
        run: of,
        outcome: typeof decision === "string" ? decision : Reply.fromOutcome(decision)
      }, Reply.toCommandReply),
    clear: (mail) => Effect.asVoid(database.call("clear", "clear_mail", { process: node, mail }))
  }
}
