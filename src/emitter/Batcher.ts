/**
 * Sends what may wait: one fiber for all users of a layer.
 *
 * A user with something pending is marked once, and its list goes out `maxDelay`
 * later, together with those of users that were marked soon after. Were all that
 * is marked within a delay sent together, events would come in bursts, and a
 * critical event that meets one would wait for its end. One shared fiber costs a
 * fraction of a microsecond per user, where one per user would cost hundreds.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"

/**
 * @category models
 * @since 0.1.0
 */
export interface Batcher<in A> {
  /** Puts something into the current group, or begins one. */
  readonly mark: (item: A) => void
}

// What was marked within this part of a delay is one group.
const part = 1 / 8

// So many items are sent in one turn: others have theirs before the rest of a large group.
const atOnce = 256

interface Group<A> {
  readonly since: number
  items: Array<A>
}

/**
 * `send` is called for each item, in the order of marking, not later than
 * `maxDelay` after it was marked if the event loop is free. It must not throw: a
 * batcher that dies is logged and started again, since every user depends on
 * it. The batcher ends with its scope, sending what is marked first.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function*<A>(options: {
  readonly maxDelay: Duration.Duration
  readonly send: (item: A) => void
}): Effect.fn.Return<Batcher<A>, never, Scope.Scope> {
  const clock = yield* Clock.Clock
  const delayMs = Duration.toMillis(options.maxDelay)
  const marked = Latch.makeUnsafe(false)
  // The oldest first; never more than fit into a delay, and one.
  const groups: Array<Group<A>> = []
  let isClosed = false

  const mark = (item: A): void => {
    if (isClosed) return
    const now = clock.currentTimeMillisUnsafe()
    const latest = groups.at(-1)
    if (latest !== undefined && now < latest.since + delayMs * part) {
      latest.items.push(item)
    } else {
      groups.push({ since: now, items: [item] })
      marked.openUnsafe()
    }
  }

  // Where one item cannot be sent, those after it stay for the next time.
  const sendSome = (group: Group<A>): void => {
    let sent = 0
    try {
      for (const item of group.items.slice(0, atOnce)) {
        sent++
        options.send(item)
      }
    } finally {
      group.items = group.items.slice(sent)
      if (group.items.length === 0) groups.shift()
    }
  }

  const sendOneGroup = Effect.gen(function*() {
    const [group] = groups
    if (group === undefined) {
      marked.closeUnsafe()
      return yield* marked.await
    }
    const waitMs = group.since + delayMs - clock.currentTimeMillisUnsafe()
    if (waitMs > 0) yield* Effect.sleep(waitMs)
    while (group.items.length > 0) {
      sendSome(group)
      if (group.items.length > 0) yield* Effect.yieldNow
    }
  })

  yield* Effect.forever(sendOneGroup).pipe(
    Effect.tapDefect((defect) => Effect.logError("The batcher died and starts again", defect)),
    Effect.sandbox,
    Effect.retry(Schedule.spaced("1 second")),
    Effect.orDie,
    Effect.forkScoped
  )

  const sendRest = Effect.sync(() => {
    isClosed = true
    for (let group = groups[0]; group !== undefined; group = groups[0]) sendSome(group)
  })
  yield* Effect.addFinalizer(() =>
    Effect.catchCause(sendRest, (cause) => Effect.logError("The batcher died while it ended", cause))
  )

  return { mark }
})
