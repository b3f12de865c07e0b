/** Behaviours of the scripts over a log that show only now and then. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Duration, Effect, Fiber, Option } from "effect"
import * as Leases from "../../../src/broker/leases/Leases.ts"
import { maxSpentSources } from "../../../src/broker/memory/SequenceSet.ts"
import { RunId } from "../../../src/protocol/values/Identity.ts"
import { envelope, eventually, newUser, numbered } from "../events.ts"
import { persist, program, startNode, startStore, withServer } from "./redisNode.ts"

const r = RunId.make("r")
const event = (type: string, sequence: number, source: string, at = 1_000) =>
  envelope({ source, sequence, run: "r", type: `agent_${type}`, at, data: { agentName: "a" } })

describe.skipIf(program === undefined)("RedisBroker, now and then", () => {
  it.live(
    "fault 45: forgets the sources whose last events are the oldest, and no other",
    () =>
      withServer({}, (server) =>
        Effect.gen(function*() {
          const broker = yield* startNode(server.url, { maxEvents: 1 })
          const user = newUser()
          const one = (source: string) => broker.append(user, [envelope({ source, sequence: 1 })])
          yield* persist(one("oldest"))
          for (let n = 0; n < maxSpentSources + 64; n++) yield* one(`s${n}`)
          const { offset } = yield* broker.head(user)
          yield* one(`s${64 + 1}`)
          assert.strictEqual((yield* broker.head(user)).offset, offset, "one that is among the latest")
          yield* one("oldest")
          assert.strictEqual((yield* broker.head(user)).offset, offset + 1, "the oldest")
        })),
    120_000
  )

  it.live(
    "fault 45: gives a stream that vanished its time to live again",
    () =>
      withServer({}, (server) =>
        Effect.gen(function*() {
          const broker = yield* startNode(server.url)
          const user = newUser()
          yield* persist(broker.append(user, numbered(1)))
          yield* server.send("DEL", `emitter:{${user}}:log`)
          yield* broker.append(user, numbered(2))
          assert.match(yield* server.send("PTTL", `emitter:{${user}}:log`), /^:\d{4,}\r\n$/)
        })),
    120_000
  )

  it.live(
    "fault 45: confirms nothing in a new epoch by what was acknowledged in the one before",
    () =>
      withServer({ durable: true }, (server) =>
        Effect.gen(function*() {
          const broker = yield* startNode(server.url)
          const user = newUser()
          const before = yield* broker.append(user, numbered(1, 3))
          yield* broker.acknowledge(user, before)
          yield* server.kill
          yield* server.start
          const after = yield* persist(broker.append(user, numbered(4)))
          assert.notStrictEqual(after.epoch, before.epoch)
          const wait = broker.acknowledged(user, { ...after, offset: 1 }).pipe(Effect.timeoutOption("200 millis"))
          assert.isTrue(Option.isNone(yield* persist(wait)))
          yield* broker.acknowledge(user, after)
          yield* broker.acknowledged(user, after)
        })),
    120_000
  )

  it.live(
    "fault 45: lets a process that was barred from a run start it anew, and takes what it has of it from then on",
    () =>
      withServer({}, (server) =>
        Effect.gen(function*() {
          const [a, b] = [yield* startNode(server.url), yield* startNode(server.url)]
          const user = newUser()
          yield* a.append(user, [event("started", 1, "a")])
          assert.strictEqual(yield* b.endLost(user, [r]), 1)
          const { reason } = yield* Effect.flip(a.append(user, [event("thinking", 2, "a")]))
          assert.strictEqual(reason._tag, "RunLost")
          yield* a.append(user, [event("started", 3, "a", 2_000)])
          // Another drains an event of it, and the run goes with whoever appended last.
          yield* b.append(user, [event("thinking", 1, "b", 2_000)])
          yield* a.append(user, [event("thinking", 4, "a", 2_000), event("completed", 5, "a", 3_000)])
          assert.strictEqual((yield* a.head(user)).offset, 6)
          assert.strictEqual(yield* b.endLost(user, [r]), 0)
        })),
    120_000
  )

  it.live(
    "fault 36: takes a late start of a run that another ended well, but not from a process that lost it before",
    () =>
      withServer({}, (server) =>
        Effect.gen(function*() {
          const [a, b] = [yield* startNode(server.url), yield* startNode(server.url)]
          const user = newUser()
          const isLost = (append: ReturnType<typeof a.append>) =>
            Effect.map(Effect.flip(append), ({ reason }) => assert.strictEqual(reason._tag, "RunLost"))
          yield* a.append(user, [event("started", 1, "a", 2_000)])
          assert.strictEqual(yield* b.endLost(user, [r]), 1)
          yield* b.append(user, [event("started", 1, "b", 3_000), event("completed", 2, "b", 4_000)])
          yield* b.append(user, [event("started", 3, "b", 3_000), event("thinking", 4, "b", 3_000)])
          yield* isLost(a.append(user, [event("thinking", 2, "a", 2_000)]))
          yield* isLost(a.append(user, [event("started", 3, "a", 2_000)]))
          assert.strictEqual(yield* b.endLost(user, [r]), 0)
          assert.strictEqual((yield* b.head(user)).offset, 6)
          yield* a.append(user, [event("started", 4, "a", 5_000), event("thinking", 5, "a", 5_000)])
          assert.strictEqual(yield* b.endLost(user, [r]), 1)
        })),
    30_000
  )

  it.live(
    "fault 45: moves to the new lease what was appended under one that was lost meanwhile",
    () =>
      withServer({}, (server) =>
        Effect.gen(function*() {
          const store = yield* startStore(server)
          let [lost, carried] = [0, 0]
          const leases = yield* Leases.make({
            name: "a",
            lease: Duration.seconds(30),
            store: {
              ...store,
              carryOver: (...args) => Effect.tap(store.carryOver(...args), () => Effect.sync(() => carried++))
            },
            notes: { runsEnded: () => {}, renewalFailed: () => {}, leaseLost: () => lost++ }
          })
          const [ada, bob] = [newUser(), newUser()]
          const [begun, release] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
          const active = `p:{${ada}}:meta`
          const append = yield* leases.hold(ada, (lease) =>
            Deferred.succeed(begun, undefined).pipe(
              Effect.andThen(Deferred.await(release)),
              Effect.andThen(server.send("HSET", active, "r", `${lease}\nt\n1\n`)),
              Effect.as(lease)
            )).pipe(Effect.forkScoped)
          yield* Deferred.await(begun)
          // Another process takes this one for dead, and it learns of it by what it does next.
          yield* server.send("ZREM", "p:{leases}:alive", "a.0")
          yield* server.send("ZADD", "p:{leases}:gone", "1", "a.0")
          yield* leases.hold(bob, () => Effect.void)
          assert.strictEqual(lost, 1)
          yield* eventually(Effect.sync(() => carried), (count) => count > 0, "all that had been appended is moved")
          yield* Deferred.succeed(release, undefined)
          assert.strictEqual(yield* Fiber.join(append), "a.0")
          yield* eventually(
            server.send("HGET", active, "r"),
            (found) => found.includes("a.1\n"),
            "so is what came after"
          )
        })),
    120_000
  )
})
