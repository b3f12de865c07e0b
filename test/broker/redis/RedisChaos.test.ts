/**
 * Nodes and readers over a Redis that is frozen, cut off and killed at random. `SEED=n` replays one
 * schedule of faults,
 * `CHAOS_SECONDS` makes it longer.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Option, Stream } from "effect"
import { Broker, type Position } from "effect-emitter"
import type { UserId } from "../../../src/protocol/values/Identity.ts"
import { type Draw, forSeeds, seeded } from "../../support/random.ts"
import type { RedisServer } from "../../support/redis.ts"
import { eventually, idOf, newUser, numbered, start } from "../events.ts"
import { persist, program, startNode, withServer } from "./redisNode.ts"
import * as LogReader from "../../../src/broker/LogReader.ts"

type BrokerService = Broker.Broker["Service"]

const seconds = Number(process.env["CHAOS_SECONDS"] ?? 4)
const seed = Number(process.env["SEED"] ?? 1)

interface Reader {
  readonly user: UserId
  readonly items: Array<Broker.LogItem>
  position: Position.Position
  resumed: number
}

/** Reads for ever, and goes on from where it was whenever the broker fails, as a device does. */
const follow = (broker: BrokerService, reader: Reader) =>
  Effect.suspend(() =>
    LogReader.read(broker, reader.user, Option.some(reader.position)).pipe(
      Stream.runForEach((item) =>
        Effect.sync(() => {
          reader.items.push(item)
          reader.position = item._tag === "Gap"
            ? { epoch: item.gap.epoch, offset: item.gap.to }
            : { epoch: item.epoch, offset: item.entry.offset }
        })
      )
    )
  ).pipe(
    Effect.catch(() => Effect.andThen(Effect.sync(() => reader.resumed++), Effect.sleep("20 millis"))),
    Effect.forever
  )

const kinds = ["freeze", "kill", "cut subscriptions", "cut all"] as const

const strike = (server: RedisServer, draw: Draw, kind: typeof kinds[number]) =>
  Effect.gen(function*() {
    switch (kind) {
      case "freeze": {
        yield* server.freeze
        yield* Effect.sleep(50 + draw.below(900))
        return yield* server.thaw
      }
      case "kill": {
        yield* server.kill
        yield* Effect.sleep(draw.below(300))
        return yield* server.start
      }
      case "cut subscriptions":
        return void (yield* server.send("CLIENT", "KILL", "TYPE", "pubsub"))
      case "cut all":
        return void (yield* server.send("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"))
    }
  })

/** Two nodes, three users, an appender and two readers for each; then everything is quiet, and who read what is given. */
const storm = (server: RedisServer, draw: Draw, trustRestarts: boolean) =>
  Effect.gen(function*() {
    const options = { deadline: "300 millis", silence: "600 millis", poll: "1 second", trustRestarts } as const
    const nodes = [yield* startNode(server.url, options), yield* startNode(server.url, options)] as const
    const readers: Array<Reader> = []
    const appended = new Map<UserId, number>()
    const weather = { isOver: false }
    let failures = 0

    const appender = (user: UserId) =>
      Effect.gen(function*() {
        let sequence = 0
        while (!weather.isOver) {
          const batch = numbered(sequence + 1, sequence + 1 + draw.below(6))
          sequence += batch.length
          // Whichever node: the other may take over what the first could not finish.
          yield* Effect.suspend(() => nodes[draw.chance(0.5) ? 0 : 1].append(user, batch)).pipe(
            Effect.tapError(() => Effect.sync(() => failures++)),
            persist
          )
          appended.set(user, sequence)
          yield* Effect.sleep(draw.below(8))
        }
      })
    const appenders = yield* Effect.forEach(["a", "b", "c"], (name) =>
      Effect.gen(function*() {
        const user = newUser(name)
        const position = yield* persist(start(nodes[0], user))
        for (const node of nodes) {
          const reader: Reader = { user, items: [], position, resumed: 0 }
          readers.push(reader)
          yield* Effect.forkScoped(follow(node, reader))
        }
        return yield* Effect.forkChild(appender(user))
      }))

    // Each kind of fault at least once, however slow the machine; drawn apart from what the nodes do meanwhile.
    const faults = seeded(seed)
    const end = performance.now() + seconds * 1000
    for (let strikes = 0; performance.now() < end || strikes < kinds.length; strikes++) {
      yield* Effect.sleep(100 + faults.below(400))
      yield* strike(server, faults, strikes < kinds.length ? kinds[(seed + strikes) % 4] ?? "kill" : faults.pick(kinds))
    }
    weather.isOver = true
    for (const fiber of appenders) yield* Fiber.join(fiber)
    assert.isAbove(failures + readers.reduce((sum, { resumed }) => sum + resumed, 0), 0, "nothing happened")
    for (const reader of readers) {
      const last = `s.${appended.get(reader.user)}`
      yield* eventually(
        Effect.sync(() => reader.items.at(-1)),
        (item) => item?._tag === "Event" && idOf(item.entry) === last,
        `the last event of ${reader.user}, ${last}`
      )
    }
    return { readers, appended }
  })

/** Within an epoch each offset once and in order, or named by a gap; a new epoch only behind its gap. */
const assertNoSilentLoss = ({ items, user }: Reader, meanings: Map<string, string>) => {
  let at: Position.Position | undefined
  for (const item of items) {
    if (item._tag === "Gap") {
      const { epoch, from, reason, to } = item.gap
      assert.strictEqual(from, reason === "epoch" ? 1 : (at?.offset ?? 0) + 1)
      at = { epoch, offset: to }
    } else {
      const { offset } = item.entry
      assert.strictEqual(item.epoch, at?.epoch ?? item.epoch, "a new epoch without a gap")
      assert.strictEqual(offset, (at?.offset ?? 0) + 1, "an offset left out or repeated")
      const key = `${user} ${item.epoch}:${offset}`
      const meaning = meanings.get(key) ?? idOf(item.entry)
      assert.strictEqual(idOf(item.entry), meaning, `${key} means two events`)
      meanings.set(key, meaning)
      at = { epoch: item.epoch, offset }
    }
  }
}

describe.skipIf(program === undefined)("RedisBroker, in chaos", { tags: ["storm"] }, () => {
  const afterStorm = (
    options: { readonly durable: boolean },
    check: (readers: ReadonlyArray<Reader>, appended: ReadonlyMap<UserId, number>) => void
  ) =>
    withServer(
      options,
      (server) =>
        forSeeds({ from: seed, count: 1 }, (draw) =>
          Effect.map(storm(server, draw, options.durable), ({ appended, readers }) => check(readers, appended)))
    )

  it.live(
    "delivers every event once and in order to every reader, while Redis keeps its data",
    () =>
      afterStorm({ durable: true }, (readers, appended) => {
        for (const { items, user } of readers) {
          assert.deepStrictEqual(
            items.map((item) => item._tag === "Event" ? idOf(item.entry) : item.gap.reason),
            Array.from({ length: appended.get(user) ?? 0 }, (_, n) => `s.${n + 1}`)
          )
        }
      }),
    120_000
  )

  it.live(
    "loses nothing silently, and gives no offset two meanings, while Redis loses its data",
    () =>
      afterStorm({ durable: false }, (readers) => {
        const meanings = new Map<string, string>()
        for (const reader of readers) assertNoSilentLoss(reader, meanings)
        assert.isTrue(readers.some(({ items }) => items.some((item) => item._tag === "Gap")), "no data was lost")
      }),
    120_000
  )
})
