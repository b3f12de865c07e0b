/**
 * Brings connections back that could not read their user's log.
 *
 * One fiber does that for all connections of a node. It sleeps while there are
 * none. As long as the broker fails it tries 32 connections a round, and waits
 * between rounds: 250 ms at first, twice as long after each round that failed, up
 * to 5 s, at random between half of that and all of it. Once the broker answers,
 * the other connections follow, 32 at a time, so that a full node does not
 * overload a broker that has just come back.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Random from "effect/Random"

/**
 * A connection that could not read its log.
 *
 * `retry` reads the log once more, and says whether that worked. It also says so
 * where there is nothing to retry any more. If it did not work, the connection has
 * been added to the recovery again.
 *
 * @category models
 * @since 0.1.0
 */
export interface Degraded {
  readonly retry: () => Effect.Effect<boolean>
}

/**
 * How many connections are tried at a time. After so many failures in a round the
 * others of that round wait for the next.
 *
 * @category constants
 * @since 0.1.0
 */
export const atOnce = 32

const firstDelayMs = 250
const maxDelayMs = 5_000

/**
 * The connections of one node that wait for their broker. Mutable: connections
 * come and go by plain calls, in any turn.
 *
 * @category models
 * @since 0.1.0
 */
export class Recovery {
  // Those that are tried after the next wait, in this order. A connection that failed goes to the end.
  private readonly waiting = new Set<Degraded>()
  // Those that are tried without a wait.
  private readonly ready = new Set<Degraded>()
  private readonly hasAny = Latch.makeUnsafe(false)
  private readonly hasReady = Latch.makeUnsafe(false)

  /** The connection could not read its log. It is tried after the next wait. */
  add(connection: Degraded): void {
    this.waiting.add(connection)
    this.hasAny.openUnsafe()
  }

  /** The broker has told the connection that it is back. The connection is tried without a wait. */
  addReady(connection: Degraded): void {
    this.waiting.delete(connection)
    this.ready.add(connection)
    this.hasAny.openUnsafe()
    this.hasReady.openUnsafe()
  }

  /** The connection is not tried any more. */
  delete(connection: Degraded): void {
    this.waiting.delete(connection)
    this.ready.delete(connection)
  }

  /** Goes on for ever. */
  readonly run: Effect.Effect<never> = Effect.gen({ self: this }, function*() {
    let failedRounds = 0
    while (true) {
      this.hasAny.closeUnsafe()
      if (this.waiting.size + this.ready.size === 0) yield* this.hasAny.await
      this.hasReady.closeUnsafe()
      if (this.ready.size === 0) {
        const delayMs = Math.min(maxDelayMs, firstDelayMs * 2 ** Math.min(failedRounds, 10))
        yield* Effect.timeoutOption(this.hasReady.await, delayMs * (0.5 + (yield* Random.next) / 2))
      }
      if (this.ready.size === 0) {
        for (const connection of this.waiting) this.ready.add(connection)
        this.waiting.clear()
      }
      failedRounds = (yield* this.round()) ? 0 : failedRounds + 1
    }
  })

  // Tries those that are ready, and stops once too many have failed. Tells whether none did.
  private round(): Effect.Effect<boolean> {
    const round = Array.from(this.ready)
    this.ready.clear()
    const untried: Array<Degraded> = []
    let failures = 0
    const one = (connection: Degraded) =>
      Effect.suspend(() => {
        if (failures >= atOnce) return Effect.sync(() => untried.push(connection))
        return Effect.map(connection.retry(), (worked) => worked ? failures : ++failures)
      })
    return Effect.map(Effect.forEach(round, one, { concurrency: atOnce, discard: true }), () => {
      this.putFirst(untried)
      return failures === 0
    })
  }

  private putFirst(connections: ReadonlyArray<Degraded>): void {
    const others = Array.from(this.waiting)
    this.waiting.clear()
    for (const connection of [...connections, ...others]) this.waiting.add(connection)
  }
}
