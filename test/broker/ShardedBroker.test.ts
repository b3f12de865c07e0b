import { assert, describe, it } from "@effect/vitest"
import { isReadonlyArrayNonEmpty, type NonEmptyReadonlyArray } from "effect/Array"
import { Context, Effect, Exit, Layer } from "effect"
import { Broker } from "effect-emitter"
import * as ShardedBroker from "../../src/broker/ShardedBroker.ts"
import { UserId } from "../../src/protocol/values/Identity.ts"
import { seeded } from "../support/random.ts"
import { brokerSuite, type Limits } from "./brokerSuite.ts"
import { idOf, newUser, numbered, plenty } from "./events.ts"

const memory = (options?: Parameters<typeof Broker.layerMemory>[0]) =>
  Effect.map(Layer.build(Layer.fresh(Broker.layerMemory(options))), (context) => Context.get(context, Broker.Broker))

const nonEmpty = <A>(all: ReadonlyArray<A>): NonEmptyReadonlyArray<A> => {
  if (isReadonlyArrayNonEmpty(all)) return all
  throw new RangeError("no shards")
}

const over = (names: ReadonlyArray<string>, limits: Limits = {}) =>
  Effect.map(
    Effect.forEach(names, (name) => Effect.map(memory(limits), (broker): ShardedBroker.Shard => ({ name, broker }))),
    nonEmpty
  )

brokerSuite(
  "three in memory, sharded",
  (limits) => Layer.effect(Broker.Broker, Effect.map(over(["a", "b", "c"], limits), ShardedBroker.make))
)

/** Ids as applications have them: counted, short, with words around them, and random ones. */
const kinds: Record<string, (n: number) => string> = {
  counted: (n) => String(n),
  "counted behind a word": (n) => `user-${n}`,
  addresses: (n) => `someone${n}@example.com`,
  random: (n) => Array.from({ length: 4 }, seeded(n + 1).next).map((part) => part.toString(36).slice(2, 10)).join("-")
}
const users = (kind: string, count = 20_000) =>
  Array.from({ length: count }, (_, n) => UserId.make((kinds[kind] ?? String)(n)))

const nobody = Effect.die(new Error("no broker is asked"))
const broker: Broker.Broker["Service"] = {
  append: () => nobody,
  pull: () => nobody,
  subscribe: () => nobody,
  head: () => nobody,
  snapshots: () => nobody,
  snapshot: () => nobody,
  readers: () => nobody,
  acknowledge: () => nobody,
  acknowledged: () => nobody,
  endLost: () => nobody,
  takeOver: () => nobody,
  letGo: () => nobody,
  claim: () => nobody,
  revoke: () => nobody,
  retentionMs: 1
}

type Weights = Readonly<Record<string, number>>

const locating = (weights: Weights) => {
  const shards = Object.entries(weights).map(([name, weight]): ShardedBroker.Shard => ({ name, weight, broker }))
  const locate = ShardedBroker.makeLocate(nonEmpty(shards))
  return (user: UserId) => locate(user).name
}

const hosts = (count: number): Weights =>
  Object.fromEntries(Array.from({ length: count }, (_, n) => [`10.0.0.${n + 1}:6379/0`, 1]))

describe("ShardedBroker, who belongs where", () => {
  for (const kind of Object.keys(kinds)) {
    it(`gives each shard its share, within a tenth, of ids that are ${kind}`, () => {
      for (const count of [2, 3, 5, 8]) {
        const locate = locating(hosts(count))
        const found: Record<string, number> = {}
        for (const user of users(kind)) found[locate(user)] = (found[locate(user)] ?? 0) + 1
        assert.deepStrictEqual(Object.keys(found).toSorted(), Object.keys(hosts(count)).toSorted())
        for (const had of Object.values(found)) assert.closeTo((had / 20_000) * count, 1, 0.1)
      }
    })

    it(`moves only to a new shard, and about its share of them, of ids that are ${kind}`, () => {
      for (const count of [1, 2, 4, 7]) {
        const [before, after] = [locating(hosts(count)), locating(hosts(count + 1))]
        const moved = users(kind).filter((user) => before(user) !== after(user))
        assert.deepStrictEqual(new Set(moved.map(after)), new Set([`10.0.0.${count + 1}:6379/0`]))
        assert.closeTo((moved.length / 20_000) * (count + 1), 1, 0.1)
      }
    })
  }

  it("is the same in whatever order shards are listed", () => {
    const [one, other] = [locating({ a: 1, b: 2, c: 1 }), locating({ c: 1, b: 2, a: 1 })]
    assert.deepStrictEqual(users("counted").map(one), users("counted").map(other))
  })

  it("stays the same: these are fixed, since users' logs lie by them", () => {
    const locate = locating({ a: 1, b: 1, c: 1, d: 1 })
    assert.strictEqual(users("counted", 16).map(locate).join(""), "acdadaaabdcbdabb")
  })

  it("follows the weights", () => {
    const found: Record<string, number> = {}
    const locate = locating({ small: 0.5, middle: 1, large: 2.5 })
    for (const user of users("counted")) found[locate(user)] = (found[locate(user)] ?? 0) + 1
    assert.closeTo((found["small"] ?? 0) / 20_000, 0.125, 0.015)
    assert.closeTo((found["large"] ?? 0) / 20_000, 0.625, 0.03)
  })

  it("refuses two shards of one name", () => {
    assert.throws(() => ShardedBroker.make([{ name: "a", broker }, { name: "a", broker }]), /Two shards.*"a"/)
  })
})

describe("ShardedBroker", () => {
  it.effect("keeps a user's log on one shard, and names them as domains", () =>
    Effect.gen(function*() {
      const shards = yield* over(["a", "b", "c"])
      const sharded = ShardedBroker.make(shards)
      assert.deepStrictEqual(sharded.domains?.names, ["a", "b", "c"])
      for (let n = 0; n < 30; n++) {
        const user = newUser()
        const position = yield* sharded.append(user, numbered(1, 2))
        const owner = sharded.domains?.of(user)
        for (const { broker, name } of shards) {
          const head = yield* broker.head(user)
          if (name === owner) assert.deepStrictEqual(head, position)
          else assert.strictEqual(head.offset, 0)
        }
      }
    }))

  it.effect("appends within a call only where every shard can", () =>
    Effect.gen(function*() {
      const [a, b] = yield* over(["a", "b"])
      if (b === undefined) return assert.fail("two shards")
      const user = newUser()
      assert.strictEqual(ShardedBroker.make([a, b]).appendUnsafe?.(user, numbered(1, 3))?.offset, 3)
      const { appendUnsafe: _, ...late } = b.broker
      assert.isUndefined(ShardedBroker.make([a, { name: "b", broker: late }]).appendUnsafe)
    }))

  it.effect("promises the shortest retention of its shards", () =>
    Effect.gen(function*() {
      const [long, short] = [yield* memory({ maxAge: "2 hours" }), yield* memory({ maxAge: "10 minutes" })]
      const sharded = ShardedBroker.make([{ name: "long", broker: long }, { name: "short", broker: short }])
      assert.strictEqual(sharded.retentionMs, 600_000)
    }))

  it.effect("is the broker itself where there is only one", () =>
    Effect.gen(function*() {
      const [only] = yield* over(["a"])
      assert.strictEqual(ShardedBroker.make([only]), only.broker)
    }))

  it.effect("tells the devices of users who moved to a new shard by a gap, and leaves all others as they were", () =>
    Effect.gen(function*() {
      const [a, b, c] = yield* over(["a", "b", "c"])
      if (b === undefined || c === undefined) return assert.fail("three shards")
      const [before, after] = [ShardedBroker.make([a, b]), ShardedBroker.make([a, b, c])]
      let moved = 0
      for (let n = 0; n < 300; n++) {
        const user = newUser()
        const position = yield* before.append(user, numbered(1, 3))
        yield* after.append(user, numbered(4))
        const slice = yield* after.pull(user, { ...position, offset: 2 }, plenty)
        if (before.domains?.of(user) === after.domains?.of(user)) {
          assert.isUndefined(slice.gap)
          assert.deepStrictEqual(slice.entries.map(idOf), ["s.3", "s.4"])
        } else {
          moved++
          assert.deepStrictEqual(slice.gap, { epoch: slice.next.epoch, from: 1, to: 0, reason: "epoch" })
          assert.notStrictEqual(slice.next.epoch, position.epoch)
          assert.deepStrictEqual(slice.entries.map(idOf), ["s.4"])
        }
      }
      assert.closeTo(moved / 300, 1 / 3, 0.1)
    }))

  it.effect("fails for the users of a shard that fails, and for no others", () =>
    Effect.gen(function*() {
      const [a, b] = yield* over(["a", "b"])
      if (b === undefined) return assert.fail("two shards")
      const reason = new Broker.BrokerUnavailable({ operation: "append", afterMs: 0, cause: "down" })
      const down = { ...b.broker, append: () => Effect.fail(new Broker.BrokerError({ reason })) }
      const sharded = ShardedBroker.make([a, { name: "b", broker: down }])
      for (let n = 0; n < 20; n++) {
        const user = newUser()
        const exit = yield* Effect.exit(sharded.append(user, numbered(1)))
        assert.strictEqual(Exit.isSuccess(exit), sharded.domains?.of(user) === "a")
      }
    }))
})
