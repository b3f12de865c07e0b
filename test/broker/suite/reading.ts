/** From retained to live, without a hole and without a repeat. */
import { assert } from "@effect/vitest"
import { Effect, Fiber, Option, Stream } from "effect"
import { Broker, type Position } from "effect-emitter"
import { type Draw, forSeeds } from "../../support/random.ts"
import type { BrokerService, BrokerTest } from "../brokerSuite.ts"
import { eventually, idOf, newUser, numbered, start } from "../events.ts"
import { patience } from "../../support/patience.ts"
import * as LogReader from "../../../src/broker/LogReader.ts"

const summary = (item: Broker.LogItem) =>
  item._tag === "Event" ? idOf(item.entry) : `gap ${item.gap.from}-${item.gap.to} ${item.gap.reason}`

/** The items up to the event at `last`. */
const readUntil = (
  broker: BrokerService,
  user: Parameters<BrokerService["head"]>[0],
  from: Position.Position,
  last: number
) =>
  LogReader.read(broker, user, Option.some(from)).pipe(
    Stream.takeUntil((item) => item._tag === "Event" ? item.entry.offset >= last : item.gap.to >= last),
    Stream.runCollect
  )

const pause = (draw: Draw) =>
  draw.chance(0.4) ? Effect.yieldNow : draw.chance(0.1) ? Effect.sleep(draw.below(4)) : Effect.void

/** Every offset after `from` once and in order, or named by a gap. */
const assertWhole = (items: ReadonlyArray<Broker.LogItem>, from: number, to: number) => {
  let offset = from
  for (const item of items) {
    if (item._tag === "Gap") {
      assert.strictEqual(item.gap.reason, "retention")
      assert.strictEqual(item.gap.from, offset + 1)
      assert.isAtLeast(item.gap.to, item.gap.from)
      offset = item.gap.to
    } else {
      assert.strictEqual(item.entry.offset, offset + 1)
      assert.strictEqual(idOf(item.entry), `s.${item.entry.offset}`)
      offset = item.entry.offset
    }
  }
  assert.strictEqual(offset, to)
}

const race = (broker: BrokerService, draw: Draw) =>
  Effect.gen(function*() {
    const user = newUser()
    const total = 60
    const { epoch } = yield* start(broker, user)
    let appended = 0
    const appender = Effect.gen(function*() {
      while (appended < total) {
        const to = Math.min(total, appended + 1 + draw.below(5))
        yield* broker.append(user, numbered(appended + 1, to))
        appended = to
        yield* pause(draw)
      }
    })
    const reader = Effect.gen(function*() {
      for (let wait = draw.below(8); wait > 0; wait--) yield* pause(draw)
      const from = draw.below(appended + 1)
      const items = yield* readUntil(broker, user, { epoch, offset: from }, total)
      assertWhole(items, from, total)
      return items
    })
    yield* Effect.all([appender, reader, reader, reader], { concurrency: "unbounded" })
  }).pipe(
    Effect.timeoutOrElse({
      duration: 5_000 * patience,
      orElse: () => Effect.die(new Error("a reader never came to the end"))
    })
  )

export const reading = (test: BrokerTest) => {
  test("gives what is retained, then what comes", (broker) =>
    Effect.gen(function*() {
      const user = newUser()
      const from = yield* start(broker, user)
      yield* broker.append(user, numbered(1, 3))
      const reader = yield* Effect.forkChild(readUntil(broker, user, from, 5))
      yield* eventually(broker.readers(user), (n) => n === 1, "a reader")
      yield* broker.append(user, numbered(4))
      yield* broker.append(user, numbered(5))
      assert.deepStrictEqual((yield* Fiber.join(reader)).map(summary), ["s.1", "s.2", "s.3", "s.4", "s.5"])
    }))

  test("begins behind the given position", (broker) =>
    Effect.gen(function*() {
      const user = newUser()
      const { epoch } = yield* broker.append(user, numbered(1, 5))
      const items = yield* readUntil(broker, user, { epoch, offset: 3 }, 5)
      assert.deepStrictEqual(items.map(summary), ["s.4", "s.5"])
      assert.isTrue(items.every((item) => item._tag === "Event" && item.epoch === epoch))
    }))

  test("gives only what comes when no position is given", (broker) =>
    Effect.gen(function*() {
      const user = newUser()
      yield* broker.append(user, numbered(1, 3))
      const reader = yield* LogReader.read(broker, user, Option.none()).pipe(
        Stream.take(2),
        Stream.runCollect,
        Effect.forkChild
      )
      yield* eventually(broker.readers(user), (n) => n === 1, "a reader")
      // The reader takes its place once it is counted, so what comes a moment later is live.
      yield* Effect.sleep("50 millis")
      yield* broker.append(user, numbered(4, 5))
      assert.deepStrictEqual((yield* Fiber.join(reader)).map(summary), ["s.4", "s.5"])
    }))

  test("begins with a gap where the position can no longer be served", (broker) =>
    Effect.gen(function*() {
      const user = newUser()
      const { epoch } = yield* broker.append(user, numbered(1, 6))
      const late = yield* readUntil(broker, user, { epoch, offset: 1 }, 6)
      assert.deepStrictEqual(late.map(summary), ["gap 2-2 retention", "s.3", "s.4", "s.5", "s.6"])
      const foreign = yield* readUntil(broker, user, { epoch: "another", offset: 1 }, 6)
      assert.deepStrictEqual(foreign.map(summary), ["gap 1-2 epoch", "s.3", "s.4", "s.5", "s.6"])
    }), { maxEvents: 4 })

  test("gives more than one pull can hold", (broker) =>
    Effect.gen(function*() {
      const user = newUser()
      const from = yield* start(broker, user)
      yield* broker.append(user, numbered(1, 1500))
      assertWhole(yield* readUntil(broker, user, from, 1500), 0, 1500)
    }))

  test("stops counting as a reader when it ends", (broker) =>
    Effect.gen(function*() {
      const user = newUser()
      const from = yield* start(broker, user)
      yield* broker.append(user, numbered(1))
      yield* readUntil(broker, user, from, 1)
      yield* eventually(broker.readers(user), (n) => n === 0, "no reader")
    }))

  test("leaves no hole and repeats nothing while appends race it", (broker) =>
    forSeeds({ count: 20 }, (draw) => race(broker, draw)))

  test(
    "names every hole while appends race it and drop events",
    (broker) => forSeeds({ count: 20 }, (draw) => race(broker, draw)),
    { maxEvents: 7 }
  )
}
