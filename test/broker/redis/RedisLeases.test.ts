/** Leases, and where runs stand, as scripts on a real server keep them. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Layer } from "effect"
import { Broker } from "effect-emitter"
import { RedisBroker } from "effect-emitter/redis"
import * as LeaseLua from "../../../src/broker/redis/leases/LeaseLua.ts"
import { RunId } from "../../../src/protocol/values/Identity.ts"
import { envelope, newUser, plenty, start } from "../events.ts"
import { leaseStoreSuite } from "../leases/leaseStoreSuite.ts"
import * as LogState from "./logState.ts"
import { program, startNode, startStore, withServer } from "./redisNode.ts"

leaseStoreSuite({
  name: "Redis",
  skip: program === undefined,
  provide: (body) => withServer({}, (server) => Effect.flatMap(startStore(server), body))
})

describe.skipIf(program === undefined)("RedisLeases", () => {
  it("fault 35: ask for no time, since the server's clock may step", () => {
    for (const { lua } of Object.values(LeaseLua)) assert.notMatch(lua, /TIME/u)
  })
})

const r = RunId.make("r")
const event = (type: string, sequence: number, source: string, run = "r", at = 1_000) =>
  envelope({ source, sequence, run, type: `agent_${type}`, at, data: { agentName: "a" } })
// Who starts a run anew does so later than it ended.
const startAnew = (sequence: number, source: string, at = Date.now() + 60_000) =>
  event("started", sequence, source, "r", at)

const typesOf = Effect.fnUntraced(function*(broker: Broker.Broker["Service"], user: ReturnType<typeof newUser>) {
  const { entries } = yield* broker.pull(user, yield* start(broker, user), plenty)
  return entries.map(({ type }) => type.replace("agent_", ""))
})

const isRefused = (append: ReturnType<Broker.Broker["Service"]["append"]>) =>
  Effect.map(
    Effect.flip(append),
    ({ reason }) => assert.deepStrictEqual(reason._tag === "RunLost" ? reason.runs : reason, [r])
  )

describe.skipIf(program === undefined)("RedisBroker, where runs stand", () => {
  it.live(
    "has a run ended once, though several processes do so together",
    () =>
      withServer({}, (server) =>
        Effect.gen(function*() {
          const nodes = yield* Effect.all([1, 2, 3].map(() => startNode(server.url, { deadline: "5 seconds" })))
          const [node = yield* startNode(server.url)] = nodes
          for (let n = 0; n < 25; n++) {
            const user = newUser()
            yield* node.append(user, [event("started", 1, "s"), event("started", 2, "s", "other")])
            const ended = yield* Effect.all(
              nodes.map((one) => one.endLost(user, [r, RunId.make("other")])),
              { concurrency: "unbounded" }
            )
            assert.strictEqual(ended.reduce((sum, count) => sum + count, 0), 2)
            assert.deepStrictEqual(yield* typesOf(node, user), ["started", "started", "error", "error"])
          }
        })),
    120_000
  )

  it.live(
    "keeps what a process still has of a run from the one that started it anew",
    () =>
      withServer({}, (server) =>
        Effect.gen(function*() {
          const [a, b] = [yield* startNode(server.url), yield* startNode(server.url)]
          const user = newUser()
          yield* a.append(user, [event("started", 1, "a")])
          yield* b.endLost(user, [r])
          yield* b.append(user, [startAnew(1, "b")])
          yield* isRefused(a.append(user, [event("thinking", 2, "a")]))
          yield* b.append(user, [event("thinking", 2, "b")])
          yield* isRefused(a.append(user, [event("thinking", 2, "a")]))
          yield* b.append(user, [event("completed", 3, "b")])
          yield* isRefused(a.append(user, [event("completed", 3, "a")]))
          assert.strictEqual(yield* b.endLost(user, [r]), 0)
          yield* a.append(user, [startAnew(4, "a"), event("thinking", 5, "a")])
          yield* a.append(user, [event("completed", 6, "a")])
          assert.deepStrictEqual(yield* typesOf(b, user), [
            "started",
            "error",
            "started",
            "thinking",
            "completed",
            "started",
            "thinking",
            "completed"
          ])
        })),
    120_000
  )

  it.live(
    "sees it from what is new of a batch, and from nothing that is repeated",
    () =>
      withServer({}, (server) =>
        Effect.gen(function*() {
          const node = yield* startNode(server.url)
          const user = newUser()
          const standing = LogState.partOf(server, user, "active")
          yield* node.append(user, [event("started", 1, "s"), event("thinking", 2, "s")])
          assert.strictEqual(yield* standing, "1")
          yield* node.append(user, [event("thinking", 2, "s"), event("completed", 3, "s")])
          assert.strictEqual(yield* standing, "0")
          yield* node.append(user, [event("started", 1, "s"), event("thinking", 2, "s")])
          yield* node.append(user, [event("thinking", 2, "s"), envelope({ source: "s", sequence: 4 })])
          assert.strictEqual(yield* standing, "0")
          // Blocks of which one is known and one is new.
          const many = Array.from({ length: 70 }, (_, n) => event("thinking", n + 10, "t", `run${n % 3}`))
          const [first, ...others] = many
          if (first === undefined) return
          yield* node.append(user, [first, ...others.slice(0, 30)])
          yield* node.append(user, [first, ...others, event("completed", 80, "t", "run1")])
          assert.strictEqual(yield* standing, "2")
          assert.strictEqual(yield* node.endLost(user, ["run0", "run1", "run2"].map((run) => RunId.make(run))), 2)
          yield* node.append(user, [first, ...others])
          assert.strictEqual((yield* node.head(user)).offset, 3 + 1 + 71 + 2)
        })),
    120_000
  )

  it.live(
    "leaves nothing of a user whose keys have no time to live",
    () =>
      withServer({}, (server) =>
        Effect.gen(function*() {
          const node = yield* startNode(server.url)
          const user = newUser()
          yield* node.append(user, [envelope({ sequence: 1 })])
          yield* node.append(user, [event("started", 2, "s")])
          yield* node.endLost(user, [r])
          assert.match(yield* server.send("PTTL", `emitter:{${user}}:meta`), /^:\d{4,}\r\n$/)
        })),
    120_000
  )

  it.effect("refuses a lease that is too short for its process to be late once", () =>
    Effect.gen(function*() {
      const exit = yield* Effect.exit(Effect.scoped(Layer.build(
        RedisBroker.layer({ url: "redis://127.0.0.1:1", lease: "2900 millis" })
      )))
      assert.isTrue(Exit.isFailure(exit))
      assert.match(String(exit), /lease \(2900 ms\) must be at least 6000 ms/)
    }))
})
