/**
 * Sends what may wait: one stream for all users of a layer.
 *
 * A user with something pending is marked once. `Stream.groupedWithin` collects
 * marked users for at most `maxDelay`, counted from the first, and each group's
 * lists go out together. One shared stream costs a fraction of a microsecond
 * per user, where a stream per user would cost a fiber.
 *
 * @since 0.1.0
 */
import { isReadonlyArrayNonEmpty } from "effect/Array"
import type { Done } from "effect/Cause"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Queue from "effect/Queue"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"

/**
 * - `mark` puts something into the current group, or begins one.
 * - `run` starts sending: `send` is called for each item of a group, in order, some
 *   of a large group at a time. It must not throw: a batcher that dies is logged and
 *   started again, since every user depends on it. Sending ends with its scope, with
 *   what is marked by then.
 *
 * @category models
 * @since 0.1.0
 */
export interface Batcher<A> {
  readonly mark: (item: A) => void
  readonly run: (send: (item: A) => void) => Effect.Effect<void, never, Scope.Scope>
}

// A group of so many users goes out before its time is up.
const maxUsers = 1024

// So many are sent in one turn: others have theirs before the rest of a large group. A list may hold many events.
const atOnce = 32

/**
 * Makes a batcher that has not begun to send.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <A>(maxDelay: Duration.Duration): Effect.Effect<Batcher<A>> =>
  Effect.map(Queue.unbounded<A, Done>(), (queue) => {
    // Bounded pulls keep groupedWithin linear in a backlog.
    const take = Effect.flatMap(
      Queue.takeBetween(queue, 1, maxUsers),
      (items) => isReadonlyArrayNonEmpty(items) ? Effect.succeed(items) : Effect.die("takeBetween gave less than asked")
    )
    const groups = Stream.fromPull(Effect.succeed(take)).pipe(Stream.groupedWithin(maxUsers, maxDelay))
    return {
      mark: (item) => {
        Queue.offerUnsafe(queue, item)
      },
      run: Effect.fnUntraced(function*(send) {
        const fiber = yield* groups.pipe(
          Stream.runForEach((group) => sendGroup(queue, group, send)),
          Effect.tapDefect((defect) => Effect.logError("The batcher died and starts again", defect)),
          Effect.sandbox,
          Effect.retry(Schedule.spaced("1 second")),
          Effect.orDie,
          Effect.forkScoped
        )
        yield* Effect.addFinalizer(() =>
          Queue.end(queue).pipe(Effect.andThen(Fiber.await(fiber)), Effect.timeoutOption(maxDelay))
        )
      })
    }
  })

const sendGroup = <A>(
  queue: Queue.Queue<A, Done>,
  group: ReadonlyArray<A>,
  send: (item: A) => void
): Effect.Effect<void> => {
  let sent = 0
  const sendSome = Effect.suspend(() => {
    try {
      for (const item of group.slice(sent, sent + atOnce)) {
        sent++
        send(item)
      }
    } catch (defect) {
      // Where one could not be sent, the others of its group are for the next.
      Queue.offerAllUnsafe(queue, group.slice(sent))
      return Effect.die(defect)
    }
    return sent < group.length ? Effect.yieldNow : Effect.void
  })
  return Effect.whileLoop({ while: () => sent < group.length, body: () => sendSome, step: () => {} })
}
