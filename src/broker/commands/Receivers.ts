/**
 * Those who decide about commands in this process.
 *
 * They are asked in turn, until one has the run. A receiver whose scope closes is
 * asked nothing more; what it is being asked it may finish, and its answer be settled,
 * within a second. One that dies or is interrupted may have acted or not, so nobody is asked after it.
 *
 * @since 0.2.0
 */
import * as Cause from "effect/Cause"
import type * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import type { UserId } from "../../protocol/values/Identity.ts"
import * as Command from "../../protocol/command/Command.ts"
import type { CommandReceiver, SentCommand } from "../Broker.ts"

/**
 * What came of asking: a receiver decided, nobody here has the run, or a receiver
 * did not finish, and it is not known whether it acted.
 *
 * @category models
 * @since 0.2.0
 */
export type Answer =
  | { readonly _tag: "Decided"; readonly outcome: Command.Outcome }
  | { readonly _tag: "Nobody" }
  | { readonly _tag: "Unknown"; readonly cause: Cause.Cause<never> }

/**
 * - `add` is `receive` of a broker's commands.
 * - `ask` asks about one command, and does with the answer what `settle` says.
 *   Interrupting it leaves what a receiver does to the receiver.
 *
 * @category models
 * @since 0.2.0
 */
export interface Receivers {
  readonly add: (receiver: CommandReceiver) => Effect.Effect<void, never, Scope.Scope>
  readonly ask: <A, E>(
    user: UserId,
    command: SentCommand,
    settle: (answer: Answer) => Effect.Effect<A, E>
  ) => Effect.Effect<A, E>
}

interface Registered {
  readonly receiver: CommandReceiver
  readonly context: Context.Context<never>
  readonly calls: Set<Fiber.Fiber<Command.Outcome | undefined>>
  // Calls whose answers are not settled yet.
  readonly open: Set<Deferred.Deferred<void>>
}

const nobody: Answer = { _tag: "Nobody" }

// What is remembered of each command must have a bound.
const maxText = 1_000
const bounded = (outcome: Command.Outcome): Command.Outcome => {
  if (outcome.outcome === "accepted") return outcome
  const { message, path, reason } = outcome
  return Command.refused(reason, {
    ...(path === undefined ? {} : { path: path.slice(0, maxText) }),
    ...(message === undefined ? {} : { message: message.slice(0, maxText) })
  })
}

const closingTime = Duration.seconds(1)

/**
 * Makes an empty list of receivers. What they do ends with the scope at the latest.
 *
 * @category constructors
 * @since 0.2.0
 */
export const make: Effect.Effect<Receivers, never, Scope.Scope> = Effect.map(Effect.scope, (scope): Receivers => {
  let registered: ReadonlyArray<Registered> = []

  const call = ({ calls, context, receiver }: Registered, user: UserId, command: SentCommand) =>
    Effect.suspend(() => receiver(user, command)).pipe(
      // As the program's own, whoever sends.
      Effect.updateContext((_: Context.Context<never>) => context),
      Effect.forkIn(scope, { startImmediately: true }),
      Effect.tap((fiber) =>
        Effect.sync(() => {
          calls.add(fiber)
          fiber.addObserver(() => void calls.delete(fiber))
        })
      ),
      Effect.uninterruptible,
      Effect.flatMap(Fiber.await)
    )

  // Nothing where this one does not have the run.
  const answerOf = (
    one: Registered,
    user: UserId,
    command: SentCommand
  ): Effect.Effect<Answer | undefined> =>
    Effect.gen(function*() {
      const exit = yield* call(one, user, command)
      if (Exit.isSuccess(exit)) {
        return exit.value === undefined ? undefined : { _tag: "Decided", outcome: bounded(exit.value) }
      }
      if (!Cause.hasInterruptsOnly(exit.cause)) {
        yield* Effect.logError(`A receiver of commands died of "${command.name}", of user ${user}`, exit.cause)
      }
      return { _tag: "Unknown", cause: exit.cause }
    })

  const askOne = <A, E>(
    one: Registered,
    user: UserId,
    command: SentCommand,
    settle: (answer: Answer) => Effect.Effect<A, E>
  ): Effect.Effect<Option.Option<A>, E> =>
    Effect.suspend(() => {
      const settled = Deferred.makeUnsafe<void>()
      one.open.add(settled)
      return answerOf(one, user, command).pipe(
        Effect.flatMap((answer) => answer === undefined ? Effect.succeedNone : Effect.asSome(settle(answer))),
        Effect.ensuring(Effect.sync(() => {
          one.open.delete(settled)
          Deferred.doneUnsafe(settled, Effect.void)
        }))
      )
    })

  return {
    add: (receiver) =>
      Effect.flatMap(Effect.context<never>(), (context) =>
        Effect.acquireRelease(
          Effect.sync(() => {
            const one: Registered = { receiver, context, calls: new Set(), open: new Set() }
            registered = [...registered, one]
            return one
          }),
          (one) =>
            Effect.suspend(() => {
              registered = registered.filter((other) => other !== one)
              return Effect.forEach(Array.from(one.open), Deferred.await, { discard: true }).pipe(
                Effect.timeoutOption(closingTime),
                Effect.andThen(Effect.suspend(() => Fiber.interruptAll(Array.from(one.calls))))
              )
            })
        )).pipe(Effect.asVoid),
    ask: (user, command, settle) =>
      Effect.gen(function*() {
        for (const one of registered) {
          // Its scope closed while another was asked.
          if (!registered.includes(one)) continue
          const settled = yield* askOne(one, user, command, settle)
          if (settled._tag === "Some") return settled.value
        }
        return yield* settle(nobody)
      })
  }
})
