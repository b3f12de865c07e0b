/**
 * Brings connections back that could not read their user's log.
 *
 * One fiber serves all connections of a node, and sleeps while there are none.
 * After growing, jittered waits it tries a few; once the broker answers, the
 * others follow, a bounded number at a time, so that a node full of connections
 * does not fall upon a broker that has just come back.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Random from "effect/Random"

/**
 * What is brought back. `retry` looks at the log once more, unless there is no
 * reason any more, and answers whether it could; if not, the connection has been
 * added again.
 *
 * @category models
 * @since 0.1.0
 */
export interface Degraded {
  readonly retry: () => Effect.Effect<boolean>
}

/**
 * How many look at a time, and how many must fail for the others to wait.
 *
 * @category constants
 * @since 0.1.0
 */
export const atOnce = 32

const firstDelayMs = 250
const maxDelayMs = 5_000

/**
 * The connections of one node that wait for their broker.
 *
 * @category models
 * @since 0.1.0
 */
export class Recovery {
  // In the order in which they will be tried: who failed goes to the end.
  private readonly waiting = new Set<Degraded>()
  private readonly ready = new Set<Degraded>()
  private readonly some = Latch.makeUnsafe(false)
  private readonly hurried = Latch.makeUnsafe(false)

  /** It could not read its log, and is to be tried after a while. */
  add(connection: Degraded): void {
    this.waiting.add(connection)
    this.some.openUnsafe()
  }

  /** Its broker has said that it is back: it is tried as soon as its turn comes. */
  hurry(connection: Degraded): void {
    this.waiting.delete(connection)
    this.ready.add(connection)
    this.some.openUnsafe()
    this.hurried.openUnsafe()
  }

  /** It is not to be tried. */
  delete(connection: Degraded): void {
    this.waiting.delete(connection)
    this.ready.delete(connection)
  }

  /** Tries, for ever. */
  readonly run: Effect.Effect<never> = Effect.gen({ self: this }, function*() {
    let failures = 0
    while (true) {
      this.some.closeUnsafe()
      if (this.waiting.size + this.ready.size === 0) yield* this.some.await
      this.hurried.closeUnsafe()
      if (this.ready.size === 0) {
        const delayMs = Math.min(maxDelayMs, firstDelayMs * 2 ** Math.min(failures, 10))
        yield* Effect.timeoutOption(this.hurried.await, delayMs * (0.5 + (yield* Random.next) / 2))
      }
      if (this.ready.size === 0) {
        for (const connection of this.waiting) this.ready.add(connection)
        this.waiting.clear()
      }
      failures = (yield* this.round()) ? 0 : failures + 1
    }
  })

  // Tries those that are ready, until too many have failed. Answers whether none did.
  private round(): Effect.Effect<boolean> {
    const tried = Array.from(this.ready)
    this.ready.clear()
    const untried: Array<Degraded> = []
    let failed = 0
    const one = (connection: Degraded) =>
      Effect.suspend(() => {
        if (failed >= atOnce) return Effect.sync(() => untried.push(connection))
        return Effect.map(connection.retry(), (could) => could ? failed : ++failed)
      })
    return Effect.map(Effect.forEach(tried, one, { concurrency: atOnce, discard: true }), () => {
      this.putFirst(untried)
      return failed === 0
    })
  }

  private putFirst(connections: ReadonlyArray<Degraded>): void {
    const others = Array.from(this.waiting)
    this.waiting.clear()
    for (const connection of [...connections, ...others]) this.waiting.add(connection)
  }
}
