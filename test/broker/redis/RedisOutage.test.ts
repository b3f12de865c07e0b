/** An outage of Redis as programs and devices see it, with emitters on one node and devices on another. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Schema } from "effect"
import { Broker, EmitterLayer, Emitters, Event } from "effect-emitter"
import { RedisBroker } from "effect-emitter/redis"
import { ownTimed } from "../../support/ownTime.ts"
import { redisServer } from "../../support/redis.ts"
import { eventually, idOf, newUser, numbered, plenty, start } from "../events.ts"
import { persist, program, startNode, watch, withServer } from "./redisNode.ts"
import { redisProxy } from "./redisProxy.ts"

const Step = Event.make("step", { payload: { n: Schema.Int }, delivery: "critical" })

const stepOf = ({ body }: { readonly body: string }): number => {
  const wire: { readonly data: { readonly n: number } } = JSON.parse(`{${body}`)
  return wire.data.n
}

const total = 60

describe.skipIf(program === undefined)("An outage of Redis", () => {
  it.live(
    "costs a program nothing but time: its spool takes over, and everything arrives once and in order",
    () =>
      withServer({ durable: true }, (server) =>
        Effect.gen(function*() {
          const options = { url: server.url, trustRestarts: true, deadline: "300 millis" } as const
          const device = yield* startNode(server.url, options)
          const user = newUser()
          const from = yield* persist(device.head(user))
          const steps = Effect.map(persist(device.pull(user, from, plenty)), ({ entries }) => entries.map(stepOf))

          yield* Effect.gen(function*() {
            const { forUser, stats } = yield* Emitters
            const emitter = yield* forUser({ userId: user })
            for (let n = 1; n <= total; n++) {
              if (n === 20) yield* server.kill
              if (n === 40) {
                assert.isAbove((yield* stats).delivery.spool?.events ?? 0, 0)
                yield* server.start
              }
              yield* emitter.emit(Step.make({ n }))
              yield* Effect.sleep("10 millis")
            }
            yield* eventually(steps, ({ length }) => length >= total, "all events, after the outage")
            const { deadLettered, pending } = yield* stats
            assert.deepStrictEqual({ deadLettered, pending }, { deadLettered: 0, pending: 0 })
          }).pipe(
            Effect.scoped,
            Effect.provide(EmitterLayer({ profile: "lowLatency" }).pipe(Layer.provide(RedisBroker.layer(options))))
          )
          assert.deepStrictEqual(yield* steps, Array.from({ length: total }, (_, n) => n + 1))
        })),
    120_000
  )

  /** What has been emitted by an emitter over the server comes back out of its spool, once and in order. */
  const spoolTakesOver = Effect.fnUntraced(function*(
    url: string,
    trouble: {
      readonly begin: Effect.Effect<unknown>
      readonly end: Effect.Effect<unknown>
      readonly reason: Broker.BrokerError["reason"]["_tag"]
    }
  ) {
    const options = { url, deadline: "300 millis", silence: "7 seconds" } as const
    yield* Effect.gen(function*() {
      const broker = yield* Broker.Broker
      const user = newUser()
      const from = yield* persist(broker.head(user))
      const { forUser, stats } = yield* Emitters
      const emitter = yield* forUser({ userId: user })
      const others = yield* Effect.forEach([1, 2, 3, 4, 5], () => forUser({ userId: newUser() }))
      for (let n = 1; n <= 10; n++) yield* emitter.emit(Step.make({ n }))
      yield* trouble.begin
      const error = yield* Effect.flip(broker.append(newUser(), numbered(1)))
      assert.strictEqual(error.reason._tag, trouble.reason)
      for (let n = 11; n <= 30; n++) yield* emitter.emit(Step.make({ n }))
      const open = yield* eventually(stats, ({ breaker }) => breaker === "open", "an open breaker")
      assert.isAtLeast(open.delivery.spool?.events ?? 0, 20)
      // Once it is open, nobody waits for the deadline any more but a probe, of which there is one.
      const waits: Array<number> = []
      for (const other of others) {
        const [ownMs, receipt] = yield* ownTimed(other.emit(Step.make({ n: 1 })))
        waits.push(ownMs)
        assert.deepInclude(receipt, { _tag: "HandedOver", channel: "spool" })
      }
      const [longest = 0, ...rest] = waits.toSorted((a, b) => b - a)
      assert.isBelow(longest, 2_000)
      for (const wait of rest) assert.isBelow(wait, 250)
      yield* trouble.end
      yield* eventually(stats, ({ delivery }) => delivery.spool?.events === 0, "an empty spool")
      for (let n = 31; n <= 40; n++) {
        assert.strictEqual((yield* emitter.emit(Step.make({ n })))._tag, "Appended")
      }
      const { entries, gap } = yield* broker.pull(user, from, plenty)
      assert.isUndefined(gap)
      assert.deepStrictEqual(entries.map(stepOf), Array.from({ length: 40 }, (_, n) => n + 1))
      const { breaker, deadLettered, pending } = yield* stats
      assert.deepStrictEqual({ breaker, deadLettered, pending }, { breaker: "closed", deadLettered: 0, pending: 0 })
    }).pipe(
      Effect.scoped,
      Effect.provide(EmitterLayer({ profile: "lowLatency" }).pipe(Layer.provideMerge(RedisBroker.layer(options))))
    )
  })

  it.live(
    "of memory is one as well: what Redis refuses waits in the spool until there is room",
    () =>
      withServer({ args: ["--maxmemory-policy", "noeviction"] }, ({ send, url }) =>
        spoolTakesOver(url, {
          begin: send("CONFIG", "SET", "maxmemory", "1"),
          end: send("CONFIG", "SET", "maxmemory", "0"),
          reason: "BrokerRefused"
        })),
    120_000
  )

  it.live(
    "is also a Redis that answers too late: what was taken all the same is not taken twice",
    () =>
      withServer(
        {},
        ({ port }) =>
          Effect.flatMap(redisProxy(port), ({ delay, url }) =>
            spoolTakesOver(url, { begin: delay(600), end: delay(0), reason: "BrokerUnavailable" }))
      ),
    120_000
  )

  it.live(
    "that ends with a replica which lacks the last writes is told by a new epoch, and what was lost is named",
    () =>
      withServer({ args: ["--repl-diskless-sync-delay", "0"] }, (primary) =>
        Effect.gen(function*() {
          const replica = yield* redisServer(program ?? "")
          const link = yield* redisProxy(primary.port)
          const door = yield* redisProxy(primary.port)
          const broker = yield* startNode(door.url)
          const user = newUser()
          const from = yield* persist(start(broker, user))
          const reader = yield* watch(broker, user, from)
          yield* broker.append(user, numbered(1, 3))
          yield* replica.send("REPLICAOF", "127.0.0.1", String(link.port))
          const copied = Effect.map(replica.send("EXISTS", `emitter:{${user}}:log`), (answer) => answer === ":1\r\n")
          yield* eventually(copied, (isThere) => isThere, "a copy of the log")
          // The link breaks, and what is appended from now on is on the primary alone.
          yield* link.leadTo(1)
          const before = yield* broker.append(user, numbered(4, 5))
          yield* eventually(reader.items, (items) => items.includes("s.5"), "what the device saw")
          yield* primary.kill
          yield* replica.send("REPLICAOF", "NO", "ONE")
          yield* door.leadTo(replica.port)

          // An emitter that goes on has its next events at offsets that meant others before.
          const after = yield* persist(broker.append(user, numbered(6)))
          assert.strictEqual(after.offset, 4)
          assert.notStrictEqual(after.epoch, before.epoch)
          const slice = yield* persist(broker.pull(user, before, plenty))
          assert.deepStrictEqual(slice.gap, { epoch: after.epoch, from: 1, to: 0, reason: "epoch" })
          assert.deepStrictEqual(slice.entries.map(idOf), ["s.1", "s.2", "s.3", "s.6"])
        })),
    120_000
  )

  it.live(
    "is none where a primary was demoted but keeps its connections: its place is found anew",
    () =>
      withServer({ args: ["--repl-diskless-sync-delay", "0"] }, (demoted) =>
        Effect.gen(function*() {
          const promoted = yield* redisServer(program ?? "")
          const door = yield* redisProxy(demoted.port)
          const broker = yield* startNode(door.url)
          const user = newUser()
          let woken = 0
          yield* persist(broker.subscribe(user, () => void woken++))
          yield* broker.append(user, numbered(1))
          yield* demoted.send("REPLICAOF", "127.0.0.1", String(promoted.port))
          yield* door.leadTo(promoted.port, { staying: true })
          yield* persist(broker.append(user, numbered(2)))
          const before = woken
          yield* persist(broker.append(user, numbered(3)))
          yield* eventually(Effect.sync(() => woken), (n) => n > before, "a wake-up of an event")
        })),
    120_000
  )
})
