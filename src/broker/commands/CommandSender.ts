/**
 * Sends commands of devices to the processes that have their runs, from any process.
 *
 * Both steps, writing a command down and waking the process that it is for, are
 * repeated until its outcome is known: so a wake-up or an answer that was lost costs
 * time, and nothing else. At the end of its time the command is withdrawn.
 *
 * @since 0.2.0
 */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Command from "../../protocol/command/Command.ts"
import type { UserId } from "../../protocol/values/Identity.ts"
import * as Monotonic from "../../protocol/values/Monotonic.ts"
import type { Commands } from "../Broker.ts"
import type { BrokerError } from "../BrokerError.ts"
import { dataBytes, digestOf } from "./CommandDigest.ts"
import * as CommandLimits from "./CommandLimits.ts"
import { undecided } from "./Undecided.ts"
import type { CommandReply } from "./CommandReply.ts"
import type { CommandCaller } from "./CommandCaller.ts"
import type { Digested, Inbox } from "./Inbox.ts"

// After so many milliseconds without an outcome a command is put again; then twice as many, up to the last.
const firstPauseMs = 200
const lastPauseMs = 1_000
// For so long a user of whom nothing is known may have been forgotten by a server that came back empty.
const forgottenMs = 1_000

// None is waited for longer than its outcome would be remembered.
const toWithinMs = (within: Duration.Duration): number => Math.min(Duration.toMillis(within), Command.outcomeMemoryMs)

/**
 * Makes `send` of a broker's commands.
 *
 * @category constructors
 * @since 0.2.0
 */
export const make = (caller: CommandCaller, inbox: Inbox): Effect.Effect<Commands["send"]> =>
  Effect.map(Clock.Clock, (clock) => {
    const now = (): number => Monotonic.millisUnsafe(clock)

    // What a reply says of the command for good, if it does.
    const outcomeIn = (reply: CommandReply): Command.Outcome | undefined => {
      switch (reply._tag) {
        case "Decided":
          return reply.outcome
        case "Conflict":
          return Command.refused("conflict")
        case "TooMany":
          return Command.refused("tooMany", {
            message:
              `of this user ${reply.open} commands wait to be decided, and ${reply.known} were sent in ten minutes`
          })
        case "Open":
        case "Taken":
        case "Unsure":
          return undefined
      }
    }

    // Puts the command and wakes its process; what fails is left to the next try.
    const attempt = (
      user: UserId,
      sent: Digested,
      leftMs: number,
      isFinal: boolean
    ): Effect.Effect<Command.Outcome | undefined, BrokerError> =>
      Effect.flatMap(caller.put(user, sent, leftMs, isFinal), (reply) => {
        const outcome = outcomeIn(reply)
        if (outcome !== undefined || reply._tag !== "Open" || reply.process === undefined) {
          return Effect.succeed(outcome)
        }
        return Effect.as(Effect.ignore(caller.post(reply.process, user, reply.number)), undefined)
      })

    const withdraw = (user: UserId, sent: Digested, startedAt: number): Effect.Effect<Command.Outcome, BrokerError> =>
      Effect.flatMap(caller.withdraw(user, sent), (reply) => {
        const outcome = outcomeIn(reply)
        return outcome === undefined
          ? Effect.fail(undecided(
            sent.command,
            now() - startedAt,
            new Error("the process that has the run took it, and did not decide in time")
          ))
          : Effect.succeed(outcome)
      })

    const sendUntilDone = (
      user: UserId,
      sent: Digested,
      withinMs: number,
      told: Deferred.Deferred<Command.Outcome>
    ): Effect.Effect<Command.Outcome, BrokerError> =>
      Effect.gen(function*() {
        const startedAt = now()
        let pauseMs = firstPauseMs
        while (true) {
          const elapsedMs = now() - startedAt
          const leftMs = withinMs - elapsedMs
          if (leftMs <= 0) return yield* withdraw(user, sent, startedAt)
          const isFinal = elapsedMs >= Math.min(forgottenMs, withinMs / 2)
          const found = yield* attempt(user, sent, leftMs, isFinal).pipe(
            // What is the user's own trouble is not better the next time.
            Effect.catchIf(({ blame }) => blame !== "user", () => Effect.succeed(undefined))
          )
          if (found !== undefined) return found
          const outcome = yield* Effect.timeoutOption(
            Deferred.await(told),
            Math.max(0, Math.min(pauseMs, withinMs - (now() - startedAt)))
          )
          if (outcome._tag === "Some") return outcome.value
          pauseMs = Math.min(2 * pauseMs, lastPauseMs)
        }
      })

    return (user, command, within) => {
      const refusal = CommandLimits.refusalOfData(dataBytes(command))
      if (refusal !== undefined) return Effect.succeed(refusal)
      const sent: Digested = { command, digest: digestOf(command) }
      return Effect.acquireUseRelease(
        Effect.sync(() => {
          const told = Deferred.makeUnsafe<Command.Outcome>()
          const resume = (outcome: Command.Outcome) => void Deferred.doneUnsafe(told, Effect.succeed(outcome))
          inbox.await(user, sent, resume)
          return { told, resume }
        }),
        ({ told }) => sendUntilDone(user, sent, toWithinMs(within), told),
        ({ resume }) => Effect.sync(() => inbox.done(user, sent, resume))
      )
    }
  })
