/** What the Redis broker keeps, for how long, and what it asks of its options. */
import { assert, describe, it } from "@effect/vitest"
import { Config, ConfigProvider, Effect, Exit, Layer, Scope } from "effect"
import { Broker, type ConfigError } from "effect-emitter"
import type { Envelope } from "effect-emitter/protocol"
import { RedisBroker } from "effect-emitter/redis"
import { forSeeds } from "../../support/random.ts"
import { maxSpentSources } from "../../../src/broker/memory/SequenceSet.ts"
import { maxEndedRuns } from "../../../src/broker/redis/scripts/StandingLua.ts"
import { checkpoint } from "../../../src/broker/redis/scripts/CheckpointLua.ts"
import { RunId, type UserId } from "../../../src/protocol/values/Identity.ts"
import { envelope, eventually, idOf, newUser, numbered, plenty, start } from "../events.ts"
import { endOf, startOf } from "../suite/commanding.ts"
import * as LogState from "./logState.ts"
import { program, startNode, watch, withServer } from "./redisNode.ts"
import { redisProxy } from "./redisProxy.ts"
import { RunFold } from "../../../src/protocol/run/RunFold.ts"

const key = (user: UserId, part: string) => `emitter:{${user}}:${part}`

describe.skipIf(program === undefined)("RedisBroker, what it keeps", () => {
  it.live(
    "drops events past their age, and names them",
    () =>
      withServer({}, (server) =>
        Effect.gen(function*() {
          const broker = yield* startNode(server.url, { maxAge: "400 millis" })
          const user = newUser()
          const from = yield* start(broker, user)
          yield* broker.append(user, numbered(1, 2))
          yield* Effect.sleep("250 millis")
          yield* broker.append(user, numbered(3))
          yield* Effect.sleep("250 millis")
          yield* broker.append(user, numbered(4))
          const slice = yield* broker.pull(user, from, plenty)
          assert.deepStrictEqual(slice.gap, { epoch: from.epoch, from: 1, to: 2, reason: "retention" })
          assert.deepStrictEqual(slice.entries.map(idOf), ["s.3", "s.4"])
        })),
    120_000
  )

  it.live(
    "keeps a run ended that has, though its process was never answered that and it is forgotten since",
    () =>
      withServer({}, (server) =>
        Effect.gen(function*() {
          const patient = { deadline: "5 seconds", silence: "7 seconds", lease: "1 minute", poll: "1 hour" } as const
          const proxy = yield* redisProxy(server.port)
          const holder = yield* startNode(`redis://127.0.0.1:${proxy.port}`, patient)
          const other = yield* startNode(server.url, patient)
          const user = newUser()
          yield* start(holder, user)
          yield* holder.append(user, [startOf("r")])
          // As if its own answer had been lost.
          yield* other.append(user, [endOf("r")])
          // Of the same millisecond any would be forgotten.
          yield* Effect.sleep("10 millis")
          const names = Array.from({ length: 2 * maxEndedRuns }, (_, n) => `other-${n}`)
          yield* Effect.forEach(names, (name) => other.append(user, [startOf(name), endOf(name)]), { discard: true })
          const standing = server.send("HEXISTS", key(user, "meta"), "r")
          assert.strictEqual(yield* standing, ":0\r\n")
          assert.isTrue(yield* LogState.countsRuns(server, user))
          const touched = LogState.partOf(server, user, "touched")
          const before = yield* touched
          yield* proxy.cut
          yield* eventually(touched, (now) => now !== before, "its process to look how its runs stand")
          assert.strictEqual(yield* standing, ":0\r\n")
        })),
    180_000
  )

  it.live(
    "begins a log anew whose state is gone, with no run but those of what is appended",
    () =>
      withServer({}, (server) =>
        Effect.gen(function*() {
          const broker = yield* startNode(server.url, { poll: "1 hour" })
          const other = yield* startNode(server.url, { poll: "1 hour" })
          const user = newUser()
          yield* other.append(user, [startOf("q")])
          yield* broker.append(user, [startOf("r")])
          yield* server.send("HDEL", key(user, "meta"), " ")
          yield* broker.append(user, [envelope({ source: "of-r", sequence: 2, run: "r", thread: "t" })])
          assert.isTrue(yield* LogState.countsRuns(server, user))
          const found = yield* Effect.forEach(["r", "q"], (run) => server.send("HEXISTS", key(user, "meta"), run))
          assert.deepStrictEqual(found, [":1\r\n", ":0\r\n"])
        })),
    120_000
  )

  it.live(
    "forgets users of whom nothing is left, but not those that somebody reads",
    () =>
      withServer({}, (server) =>
        Effect.gen(function*() {
          const broker = yield* startNode(server.url, { maxAge: "500 millis", poll: "100 millis" })
          const [gone, read] = [newUser("gone"), newUser("read")]
          yield* broker.subscribe(read, () => {})
          const ofGone = yield* broker.append(gone, numbered(1))
          const ofRead = yield* broker.append(read, numbered(1))
          yield* eventually(
            server.send("EXISTS", ...["log", "meta", "sources", "runs", "readers"].map((part) => key(gone, part))),
            (answer) => answer === ":0\r\n",
            "no key of a user who is gone"
          )
          yield* Effect.sleep("2 seconds")
          assert.notStrictEqual((yield* broker.head(gone)).epoch, ofGone.epoch)
          assert.strictEqual((yield* broker.pull(gone, ofGone, plenty)).gap?.reason, "epoch")
          assert.deepStrictEqual(yield* broker.head(read), ofRead)
          const slice = yield* broker.pull(read, { ...ofRead, offset: 0 }, plenty)
          assert.deepStrictEqual(slice.gap, { epoch: ofRead.epoch, from: 1, to: 1, reason: "retention" })
        })),
    120_000
  )

  it.live(
    "bounds what is kept only to be folded, and all it knows of sources",
    () =>
      withServer({}, (server) =>
        Effect.gen(function*() {
          const broker = yield* startNode(server.url, { maxEvents: 10 })
          const user = newUser()
          for (let n = 1; n <= 400; n += 2) {
            const of = (m: number) => envelope({ source: `emitter${m}`, sequence: 1, run: `run${m % 40}` })
            yield* broker.append(user, [of(n), of(n + 1)])
          }
          yield* eventually(
            server.send("XLEN", key(user, "log")),
            (answer) => answer === ":5\r\n",
            "a stream of no more blocks of two than are served"
          )
          const count = (answer: string) => Number(answer.slice(1))
          // A field more in each, which says of what time it is.
          assert.isAtMost(count(yield* server.send("HLEN", key(user, "runs"))), 1 + 32)
          const sources = count(yield* server.send("HLEN", key(user, "sources")))
          assert.isAtLeast(sources, 10 + maxSpentSources)
          assert.isBelow(sources, 10 + maxSpentSources + 32)
        })),
    120_000
  )

  it.live(
    "folds long runs on whichever node appended them, and whichever asks",
    () =>
      withServer({}, (server) =>
        Effect.gen(function*() {
          const nodes = [yield* startNode(server.url), yield* startNode(server.url)] as const
          const user = newUser()
          const fold = new RunFold()
          let sequence = 0
          const say = (): Envelope.Envelope =>
            envelope({
              sequence: ++sequence,
              run: "run",
              type: "text_delta",
              at: sequence,
              data: { messageId: `m${sequence % 7}`, delta: `<${sequence}>` }
            })
          for (let round = 0; round < 40; round++) {
            const batch: [Envelope.Envelope, ...Array<Envelope.Envelope>] = [say()]
            while (batch.length < 50) batch.push(say())
            for (const { at, data, type } of batch) fold.apply(type, data, at)
            yield* nodes[round % 2 === 0 ? 0 : 1].append(user, batch)
          }
          for (const node of nodes) {
            const { position, snapshots } = yield* node.snapshots(user)
            assert.strictEqual(position.offset, 2000)
            assert.deepStrictEqual<unknown>(snapshots, [{ run: "run", offset: 2000, state: fold.snapshot() }])
          }
          assert.notStrictEqual(yield* LogState.partOf(server, user, "checkpoint"), "0")
        })),
    120_000
  )

  it.live(
    "keeps the newer of two checkpoints when a slower node comes late with the older",
    () =>
      withServer({}, (server) =>
        Effect.gen(function*() {
          const broker = yield* startNode(server.url, { maxEvents: 5 })
          const user = newUser()
          const { epoch } = yield* broker.append(user, numbered(1, 20, { run: "run" }))
          const saved = LogState.partOf(server, user, "checkpoint")
          yield* eventually(saved, (at) => at === "20", "a checkpoint at the head")
          const origin = yield* LogState.partOf(server, user, "server")
          const keys = ["log", "meta", "sources", "runs"].map((part) => key(user, part))
          const before = ["EVAL", checkpoint.lua, "4", ...keys, "new", `${origin} 60000 5 1000000 60000`, epoch]
          const save = (from: string, to: string) => server.send(...before, from, to, "0")
          assert.strictEqual(yield* save("0", "10"), ":0\r\n")
          assert.strictEqual(yield* saved, "20")
          assert.strictEqual(yield* save("20", "20"), ":1\r\n")
        })),
    120_000
  )

  it.live(
    "counts the readers of a process that was killed no longer than its lease",
    () =>
      withServer({}, (server) =>
        Effect.gen(function*() {
          const broker = yield* startNode(server.url)
          const user = newUser()
          yield* broker.subscribe(user, () => {})
          const inAMoment = Date.now() + 700
          yield* server.send("HSET", key(user, "readers"), "killed", `3:${inAMoment}`)
          assert.strictEqual(yield* broker.readers(user), 4)
          yield* eventually(broker.readers(user), (n) => n === 1, "only the reader that is here")
        })),
    120_000
  )

  it.live(
    "asks Redis for nothing that was published to readers who keep up, however many they are",
    () =>
      withServer({}, (server) =>
        Effect.gen(function*() {
          const [emitting, reading] = [yield* startNode(server.url), yield* startNode(server.url)]
          const user = newUser()
          const from = yield* start(reading, user)
          const readers = yield* Effect.replicateEffect(watch(reading, user, from), 3)
          yield* emitting.append(user, numbered(1))
          for (const { items } of readers) yield* eventually(items, (ids) => ids.length === 1, "the first event")
          yield* server.send("CONFIG", "RESETSTAT")
          for (let n = 2; n <= 20; n += 2) yield* emitting.append(user, numbered(n, n + 1))
          for (const { items } of readers) yield* eventually(items, (ids) => ids.length === 21, "all events")
          const stats = yield* server.send("INFO", "commandstats")
          assert.strictEqual(/cmdstat_evalsha:calls=(\d+)/.exec(stats)?.[1], "10")
          for (const { items } of readers) {
            assert.deepStrictEqual(yield* items, Array.from({ length: 21 }, (_, at) => `s.${at + 1}`))
          }
        })),
    120_000
  )

  it.live(
    "wakes whoever comes back while the subscription is being given up",
    () =>
      withServer({}, (server) =>
        Effect.gen(function*() {
          const broker = yield* startNode(server.url, { poll: "30 millis" })
          const user = newUser()
          yield* forSeeds({ count: 40 }, (draw, seed) =>
            Effect.gen(function*() {
              let woken = 0
              yield* broker.subscribe(user, () => void woken++)
              const before = woken
              yield* broker.append(user, numbered(seed))
              yield* eventually(Effect.sync(() => woken), (n) => n > before, "a wake-up")
            }).pipe(Effect.scoped, Effect.andThen(Effect.sleep(draw.below(70)))))
        })),
    120_000
  )

  it.live(
    "leaves no connection when its layer closes",
    () =>
      withServer({}, (server) =>
        Effect.gen(function*() {
          const scope = yield* Scope.make()
          const broker = yield* Scope.provide(startNode(server.url), scope)
          yield* Scope.provide(broker.subscribe(newUser(), () => {}), scope)
          const clients = Effect.map(server.send("CLIENT", "LIST"), (answer) => answer.match(/\bid=/g)?.length)
          assert.strictEqual(yield* clients, 3)
          yield* Scope.close(scope, Exit.void)
          yield* eventually(clients, (n) => n === 1, "no connection but the one that asks")
        })),
    120_000
  )
})

const quietStart = envelope({
  sequence: 1,
  run: "quiet",
  thread: "t",
  type: "agent_started",
  at: 1_000,
  data: { agentName: "waits" }
})

describe.skipIf(program === undefined)("RedisBroker, runs that say nothing", () => {
  it.live(
    "fault 39a: keep their log for as long as their process holds them, past every event's age",
    () =>
      withServer({}, (server) =>
        Effect.gen(function*() {
          const broker = yield* startNode(server.url, { maxAge: "500 millis", poll: "100 millis" })
          const [user, ended] = [newUser("quiet"), newUser("ended")]
          const { epoch } = yield* broker.append(user, [quietStart])
          const ofEnded = yield* broker.append(ended, [
            quietStart,
            envelope({ sequence: 2, run: "quiet", type: "agent_completed", at: 2_000 })
          ])
          yield* Effect.sleep("2500 millis")
          const { position, snapshots } = yield* broker.snapshots(user)
          assert.deepStrictEqual(position, { epoch, offset: 1 })
          assert.deepStrictEqual(
            snapshots.map(({ run, state: { agentName, status, thread } }) => ({
              run: String(run),
              agentName,
              status,
              thread
            })),
            [{ run: "quiet", agentName: "waits", status: "active", thread: "t" }]
          )
          assert.notStrictEqual((yield* broker.head(ended)).epoch, ofEnded.epoch)
        })),
    120_000
  )

  it.live(
    "fault 39a: are written down anew, with their thread, where the server forgot them, and who reads is told",
    () =>
      withServer({}, (server) =>
        Effect.gen(function*() {
          const broker = yield* startNode(server.url, { poll: "200 millis" })
          const [other, user] = [yield* startNode(server.url), newUser("emptied")]
          const position = yield* broker.append(user, [quietStart])
          const reader = yield* watch(other, user, position)
          yield* server.send("FLUSHALL")
          const active = Effect.map(
            other.snapshots(user),
            ({ snapshots }) =>
              snapshots.map(({ run, state: { agentName, status, thread } }) => ({ run, agentName, status, thread }))
          )
          const found = yield* eventually(active, (runs) => runs.length > 0, "the run that is still there")
          assert.deepStrictEqual<unknown>(found, [{ run: "quiet", agentName: "waits", status: "active", thread: "t" }])
          yield* eventually(reader.items, (items) => items.some((item) => item.startsWith("epoch ")), "a gap")
          assert.strictEqual(yield* other.endLost(user, [RunId.make("quiet")]), 1)
        })),
    120_000
  )
})

const refusal = (
  layer: Layer.Layer<Broker.Broker, ConfigError.ConfigError | RedisBroker.LayoutMismatch>
) => Effect.map(Effect.flip(Effect.scoped(Layer.build(layer))), (error) => error.message)

describe("RedisBroker, its options", () => {
  it.effect("are refused, all of them at once and with their path, when wrong or unknown", () =>
    Effect.gen(function*() {
      const unknown = { maxEvent: 3 }
      const message = yield* refusal(
        RedisBroker.layer({
          url: "http://localhost",
          prefix: "a b",
          maxEvents: 0,
          maxAge: "0 seconds",
          deadline: "soon" as never,
          ...unknown
        })
      )
      for (const path of ["url", "prefix", "maxEvents", "maxAge", "deadline", "maxEvent"]) {
        assert.match(message, new RegExp(`^  ${path}: `, "mu"))
      }
    }))

  it.effect("are refused without telling the password", () =>
    Effect.gen(function*() {
      const message = yield* refusal(RedisBroker.layer({ url: "redis:/user:secret@host", maxRuns: -1 }))
      assert.include(message, "url")
      assert.notInclude(message, "secret")
    }))

  it.effect("may come from Config", () =>
    Effect.gen(function*() {
      const layer = RedisBroker.layerConfig({ url: Config.String("REDIS_URL"), maxEvents: Config.Int("MAX_EVENTS") })
      const provide = (entries: Record<string, string>) =>
        Layer.provide(layer, ConfigProvider.layer(ConfigProvider.fromUnknown(entries)))
      assert.include(yield* refusal(provide({ MAX_EVENTS: "5" })), "REDIS_URL")
      assert.include(yield* refusal(provide({ REDIS_URL: "redis://127.0.0.1:1", MAX_EVENTS: "0" })), "maxEvents")
    }))
})
