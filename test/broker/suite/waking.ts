/** Wake-ups, and who counts as a reader. */
import { assert } from "@effect/vitest"
import { Effect, Exit, Latch, Scope } from "effect"
import type { Broker } from "effect-emitter"
import { forSeeds } from "../../support/random.ts"
import type { BrokerTest } from "../brokerSuite.ts"
import { eventually, newUser, numbered, start } from "../events.ts"
import { ownTimed } from "../../support/ownTime.ts"
import { patience } from "../../support/patience.ts"

const counter = () => {
  let count = 0
  return { wake: () => void count++, count: Effect.sync(() => count) }
}

export const waking = (test: BrokerTest) => {
  test("wakes every reader of a user, and no other", (broker) =>
    Effect.gen(function*() {
      const [ada, bob] = [newUser("ada"), newUser("bob")]
      const [one, two, other] = [counter(), counter(), counter()]
      yield* broker.subscribe(ada, one.wake)
      yield* broker.subscribe(ada, two.wake)
      yield* broker.subscribe(bob, other.wake)
      const before = yield* other.count
      yield* broker.append(ada, numbered(1))
      yield* eventually(one.count, (n) => n > 0, "a wake-up of the first reader")
      yield* eventually(two.count, (n) => n > 0, "a wake-up of the second reader")
      assert.strictEqual(yield* other.count, before)
    }))

  test("says that a critical event is among what is new, and of others only that something is", (broker) =>
    Effect.gen(function*() {
      const user = newUser()
      const told: Array<Broker.Signal | undefined> = []
      const signals = Effect.sync(() => [...told])
      yield* broker.subscribe(user, (signal) => void told.push(signal))
      yield* broker.append(user, numbered(1, 2, { delivery: "batched" }))
      yield* eventually(signals, (all) => all.includes(undefined), "a wake-up")
      assert.notInclude(told, "critical")
      const [critical] = numbered(4, 4, { delivery: "critical" })
      const [after] = numbered(5, 5, { delivery: "batched" })
      yield* broker.append(user, [...numbered(3, 3, { delivery: "batched" }), critical, after])
      yield* eventually(signals, (all) => all.includes("critical"), "a wake-up for a critical event")
    }))

  test("takes a function that is given twice for two readers", (broker) =>
    Effect.gen(function*() {
      const user = newUser()
      const both = counter()
      const scope = yield* Scope.make()
      yield* Scope.provide(broker.subscribe(user, both.wake), scope)
      yield* broker.subscribe(user, both.wake)
      yield* eventually(broker.readers(user), (n) => n === 2, "two readers")
      yield* Scope.close(scope, Exit.void)
      yield* eventually(broker.readers(user), (n) => n === 1, "one reader")
      const before = yield* both.count
      yield* broker.append(user, numbered(1))
      yield* eventually(both.count, (n) => n > before, "a wake-up of the reader that stayed")
    }))

  test("wakes nobody whose scope has closed", (broker) =>
    Effect.gen(function*() {
      const user = newUser()
      const [gone, here] = [counter(), counter()]
      yield* Effect.scoped(broker.subscribe(user, gone.wake))
      yield* broker.subscribe(user, here.wake)
      const before = yield* gone.count
      yield* broker.append(user, numbered(1))
      yield* eventually(here.count, (n) => n > 0, "a wake-up of the reader that is here")
      assert.strictEqual(yield* gone.count, before)
    }))

  test("counts readers that come and go in the same moment", (broker) =>
    Effect.gen(function*() {
      const users = Array.from({ length: 60 }, () => newUser())
      const all = { concurrency: "unbounded", discard: true } as const
      const readOn = (user: (typeof users)[number]) => broker.subscribe(user, () => undefined)
      yield* Effect.forEach(
        users,
        (user) => Effect.all([readOn(user), Effect.scoped(readOn(user)), readOn(user)], all),
        all
      )
      // Long before all of them are counted again, which is done now and then.
      yield* Effect.forEach(users, (user) => eventually(broker.readers(user), (n) => n === 2, "two readers"), all).pipe(
        Effect.timeout("20 seconds")
      )
    }))

  test("counts the readers of each user", (broker) =>
    Effect.gen(function*() {
      const [ada, bob] = [newUser("ada"), newUser("bob")]
      const [first, second] = [yield* Scope.make(), yield* Scope.make()]
      assert.strictEqual(yield* broker.readers(ada), 0)
      yield* Scope.provide(broker.subscribe(ada, () => {}), first)
      yield* Scope.provide(broker.subscribe(ada, () => {}), second)
      yield* eventually(broker.readers(ada), (n) => n === 2, "two readers")
      assert.strictEqual(yield* broker.readers(bob), 0)
      yield* Scope.close(first, Exit.void)
      yield* eventually(broker.readers(ada), (n) => n === 1, "one reader")
      yield* Scope.close(second, Exit.void)
      yield* eventually(broker.readers(ada), (n) => n === 0, "no reader")
    }))

  test("counts a reader that was interrupted no longer", (broker) =>
    Effect.gen(function*() {
      const user = newUser()
      const fiber = yield* broker.subscribe(user, () => {}).pipe(
        Effect.andThen(Effect.never),
        Effect.scoped,
        Effect.forkChild
      )
      yield* eventually(broker.readers(user), (n) => n === 1, "one reader")
      fiber.interruptUnsafe()
      yield* eventually(broker.readers(user), (n) => n === 0, "no reader")
    }))

  test("loses no wake-up: whoever pulls only when woken gets everything", (broker) =>
    forSeeds({ count: 12 }, (draw) =>
      Effect.gen(function*() {
        const user = newUser()
        const total = 40
        let position = yield* start(broker, user)
        const latch = Latch.makeUnsafe(false)
        yield* broker.subscribe(user, () => latch.openUnsafe())
        const reader = Effect.gen(function*() {
          while (position.offset < total) {
            yield* latch.await
            latch.closeUnsafe()
            while (true) {
              const slice = yield* broker.pull(user, position, { maxEvents: 1 + draw.below(8), maxBytes: 10_000 })
              assert.isUndefined(slice.gap)
              if (slice.entries.length === 0) break
              position = slice.next
            }
          }
        })
        const appender = Effect.gen(function*() {
          for (let n = 1; n <= total;) {
            const to = Math.min(total, n + draw.below(4))
            yield* broker.append(user, numbered(n, to))
            n = to + 1
            if (draw.chance(0.5)) yield* Effect.yieldNow
            if (draw.chance(0.1)) yield* Effect.sleep(draw.below(3))
          }
        })
        const [ownMs] = yield* ownTimed(Effect.all([reader, appender], { concurrency: "unbounded" })).pipe(
          Effect.timeoutOrElse({
            duration: 4_000 * patience,
            orElse: () => Effect.die(new Error(`a wake-up was lost at offset ${position.offset} of ${total}`))
          })
        )
        // A wake-up that is lost is found in the end by a look of the broker's own.
        assert.isBelow(ownMs, 4_000)
      }).pipe(Effect.scoped)))
}
