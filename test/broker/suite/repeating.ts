/** An append whose outcome is unknown may be repeated. */
import { assert } from "@effect/vitest"
import type { NonEmptyReadonlyArray } from "effect/Array"
import { Array, Effect } from "effect"
import type { Envelope } from "effect-emitter/protocol"
import { forSeeds } from "../../support/random.ts"
import { maxSpentSources } from "../../../src/broker/memory/SequenceSet.ts"
import type { BrokerTest } from "../brokerSuite.ts"
import { envelope, idsAfter, newUser, numbered, start } from "../events.ts"

const inOrder = (ids: ReadonlyArray<string>) => ids.map((id, n) => [n + 1, id])

export const repeating = (test: BrokerTest) => {
  test("adds nothing, and gives the same position", (broker) =>
    Effect.gen(function*() {
      const user = newUser()
      const from = yield* start(broker, user)
      const first = yield* broker.append(user, numbered(1, 3))
      const second = yield* broker.append(user, numbered(4, 5))
      assert.deepStrictEqual(yield* broker.append(user, numbered(1, 3)), first)
      assert.deepStrictEqual(yield* broker.append(user, numbered(4, 5)), second)
      assert.deepStrictEqual(yield* idsAfter(broker, user, from), inOrder(["s.1", "s.2", "s.3", "s.4", "s.5"]))
    }))

  test("adds only what is new of a batch", (broker) =>
    Effect.gen(function*() {
      const user = newUser()
      const from = yield* start(broker, user)
      yield* broker.append(user, numbered(1, 3))
      assert.strictEqual((yield* broker.append(user, numbered(2, 5))).offset, 5)
      assert.deepStrictEqual(yield* idsAfter(broker, user, from), inOrder(["s.1", "s.2", "s.3", "s.4", "s.5"]))
    }))

  test("adds only what is new of a large batch, whatever pieces of it are known", (broker) =>
    Effect.gen(function*() {
      const user = newUser()
      const from = yield* start(broker, user)
      yield* broker.append(user, numbered(30, 150))
      yield* broker.append(user, numbered(200, 201))
      assert.strictEqual((yield* broker.append(user, numbered(1, 300))).offset, 300)
      const rest = [...Array.range(1, 29), ...Array.range(151, 199), ...Array.range(202, 300)]
      assert.deepStrictEqual(
        yield* idsAfter(broker, user, from),
        inOrder([...Array.range(30, 150), 200, 201, ...rest].map((n) => `s.${n}`))
      )
    }))

  test("takes an envelope once that comes twice in one batch", (broker) =>
    Effect.gen(function*() {
      const user = newUser()
      const from = yield* start(broker, user)
      const [one, two] = [envelope({ sequence: 1 }), envelope({ sequence: 2 })]
      assert.strictEqual((yield* broker.append(user, [one, two, one])).offset, 1)
      assert.deepStrictEqual(yield* idsAfter(broker, user, from), inOrder(["s.1", "s.2"]))
    }))

  test("takes numbers of one source that other sources have used", (broker) =>
    Effect.gen(function*() {
      const user = newUser()
      const from = yield* start(broker, user)
      yield* broker.append(user, [envelope({ sequence: 1 }), envelope({ source: "t", sequence: 1 })])
      yield* broker.append(user, [envelope({ source: "t", sequence: 1 }), envelope({ source: "u", sequence: 1 })])
      assert.deepStrictEqual(yield* idsAfter(broker, user, from), inOrder(["s.1", "t.1", "u.1"]))
    }))

  test("takes a number that was left out when it comes late, and takes it once", (broker) =>
    Effect.gen(function*() {
      const user = newUser()
      const from = yield* start(broker, user)
      yield* broker.append(user, [
        envelope({ sequence: 3 }),
        envelope({ sequence: 6 }),
        envelope({ sequence: 1_000_000_000 })
      ])
      for (const late of [5, 1, 4, 5, 2, 1, 999, 6, 999]) yield* broker.append(user, numbered(late))
      assert.deepStrictEqual(
        yield* idsAfter(broker, user, from),
        inOrder(["s.3", "s.6", "s.1000000000", "s.5", "s.1", "s.4", "s.2", "s.999"])
      )
    }))

  test(
    "takes a number that never came, also after all of its source's events were dropped",
    (broker) =>
      Effect.gen(function*() {
        const user = newUser()
        yield* broker.append(user, [envelope({ sequence: 1 }), envelope({ sequence: 3 })])
        yield* broker.append(user, numbered(1, 4, { source: "t" }))
        yield* broker.append(user, numbered(4))
        yield* broker.append(user, numbered(2))
        assert.strictEqual((yield* broker.append(user, numbered(2))).offset, 8)
        const from = { ...(yield* broker.head(user)), offset: 6 }
        assert.deepStrictEqual(yield* idsAfter(broker, user, from), [[7, "s.4"], [8, "s.2"]])
      }),
    { maxEvents: 4 }
  )

  test("is told from a new event also when what it repeats is no longer kept", (broker) =>
    Effect.gen(function*() {
      const user = newUser()
      const { epoch } = yield* broker.append(user, numbered(1, 10))
      const { offset } = yield* broker.append(user, numbered(1, 2))
      assert.isAtMost(offset, 6)
      assert.deepStrictEqual(yield* broker.head(user), { epoch, offset: 10 })
    }), { maxEvents: 4 })

  test("adds nothing also after the log has dropped every event of its source", (broker) =>
    Effect.gen(function*() {
      const user = newUser()
      yield* broker.append(user, numbered(1, 3))
      for (let other = 1; other <= maxSpentSources; other++) {
        yield* broker.append(user, [envelope({ source: `other${other}`, sequence: 1 })])
      }
      const head = yield* broker.head(user)
      assert.isBelow((yield* broker.append(user, numbered(1, 3))).offset, head.offset)
      assert.strictEqual((yield* broker.append(user, numbered(2, 4))).offset, head.offset + 1)
      assert.deepStrictEqual(yield* idsAfter(broker, user, head), [[head.offset + 1, "s.4"]])
    }), { maxEvents: 4 })

  test("holds against a model, in whatever order numbers come", (broker) =>
    forSeeds({ count: 15 }, (draw) =>
      Effect.gen(function*() {
        const user = newUser()
        const from = yield* start(broker, user)
        const expected: Array<string> = []
        for (let append = 0; append < 12; append++) {
          const one = (): Envelope.Envelope =>
            envelope({ source: draw.pick(["a", "b", "c"]), sequence: 1 + draw.below(30) })
          const batch: NonEmptyReadonlyArray<Envelope.Envelope> = draw.chance(0.5)
            ? Array.makeBy(1 + draw.below(8), one)
            : numbered(1 + draw.below(30), 30, { source: draw.pick(["a", "b", "c"]) })
          for (const { id } of batch) if (!expected.includes(id)) expected.push(id)
          const { offset } = yield* broker.append(user, batch)
          assert.strictEqual(offset, expected.indexOf(Array.lastNonEmpty(batch).id) + 1)
        }
        assert.deepStrictEqual(yield* idsAfter(broker, user, from), inOrder(expected))
      })))
}
