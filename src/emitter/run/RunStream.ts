/**
 * Lets an effect of its own fiber pull a stream, as fast as its consumer asks.
 *
 * A run is an effect on a fiber of its own, while a stream is pulled by its consumer's
 * fiber. This module hands each element from the one to the other. Nothing is pulled
 * before the consumer asks for it.
 *
 * @since 0.1.0
 */
import * as Arr from "effect/Array"
import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Pull from "effect/Pull"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"

/**
 * Makes a stream of another, pulled within the effect that `within` makes of what
 * pulls it. That effect begins with the consumer's first pull, and gives the last
 * element.
 *
 * - The stream ends once the effect has ended: as the effect did.
 * - A consumer that leaves before interrupts the effect, and waits for its end.
 * - Each consumer has an effect of its own.
 *
 * @category combinators
 * @since 0.1.0
 */
export const pulledWithin = <A, E, R, E2, R2>(
  self: Stream.Stream<A, E, R>,
  within: (
    pulling: Effect.Effect<Option.Option<A>, E, Exclude<R, Scope.Scope>>
  ) => Effect.Effect<Option.Option<A>, E2, R2>
): Stream.Stream<A, E2, Exclude<R2, Scope.Scope>> =>
  Stream.unwrap(Effect.gen(function*() {
    const demand = yield* Queue.bounded<void>(1)
    const answers = yield* Queue.bounded<Arr.NonEmptyReadonlyArray<A>, E2 | Cause.Done>(1)
    const effect = Effect.onExit(
      within(Effect.scoped(pulling(self, demand, answers))),
      (exit) => Exit.isSuccess(exit) ? Queue.end(answers) : Queue.failCause(answers, exit.cause)
    )
    yield* Effect.acquireRelease(Effect.forkDetach(effect), Fiber.interrupt)
    return Stream.fromPull(Effect.succeed(Effect.andThen(Queue.offer(demand, undefined), Queue.take(answers))))
  }))

const pulling = <A, E, R>(
  self: Stream.Stream<A, E, R>,
  demand: Queue.Dequeue<void>,
  answers: Queue.Enqueue<Arr.NonEmptyReadonlyArray<A>, never>
): Effect.Effect<Option.Option<A>, E, R | Scope.Scope> =>
  Effect.gen(function*() {
    const pull = yield* Stream.toPull(self)
    let last = Option.none<A>()
    const answer = Effect.gen(function*() {
      while (true) {
        yield* Queue.take(demand)
        const elements = yield* pull
        last = Option.some(Arr.lastNonEmpty(elements))
        yield* Queue.offer(answers, elements)
      }
    })
    return yield* Pull.catchDone(answer, () => Effect.succeed(last))
  })
