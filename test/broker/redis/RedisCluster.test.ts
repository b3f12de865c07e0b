/** The key rules of Redis Cluster, on a server in cluster mode that has all slots. */
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { Effect, Exit, Layer, Scope } from "effect"
import { RedisBroker } from "effect-emitter/redis"
import { once } from "node:events"
import { connect } from "node:net"
import { RunId } from "../../../src/protocol/values/Identity.ts"
import { type RedisServer, redisServer } from "../../support/redis.ts"
import { brokerSuite } from "../brokerSuite.ts"
import { envelope, eventually, newUser, numbered, plenty } from "../events.ts"
import { command, receiving, send } from "../suite/commanding.ts"
import * as LogState from "./logState.ts"
import { connected, program, startNode } from "./redisNode.ts"

/** A cluster of one node. */
const cluster = Effect.gen(function*() {
  const server = yield* redisServer(program ?? "", { args: ["--cluster-enabled", "yes"] })
  yield* server.send("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
  yield* eventually(server.send("CLUSTER", "INFO"), (info) => info.includes("cluster_state:ok"), "a cluster that works")
  return server
})

/** What the server is asked to do from now on: the words of each command, and whether a script asked. */
const monitor = Effect.fnUntraced(function*({ port }: RedisServer) {
  const socket = yield* Effect.acquireRelease(
    Effect.sync(() => connect(port, "127.0.0.1")),
    (socket) => Effect.sync(() => socket.destroy())
  )
  let text = ""
  socket.on("data", (data) => void (text += data.toString("latin1")))
  socket.write("MONITOR\r\n")
  yield* Effect.promise(() => once(socket, "data"))
  return Effect.sync(() =>
    text.split("\r\n").flatMap((line) => {
      const [, source, rest] = /^\+[\d.]+ \[\d+ ([^\]]+)\] (.*)$/u.exec(line) ?? []
      if (source === undefined || rest === undefined) return []
      const words = Array.from(rest.matchAll(/"((?:[^"\\]|\\.)*)"/gu), ([, word = ""]) => word)
      return [{ byScript: source === "lua", words }]
    })
  )
})

describe.skipIf(program === undefined)("RedisBroker, on a server in cluster mode", () => {
  let scope: Scope.Closeable | undefined
  let server: RedisServer | undefined
  beforeAll(async () => {
    const opened = Effect.runSync(Scope.make())
    scope = opened
    server = await Effect.runPromise(Scope.provide(cluster, opened))
  })
  afterAll(async () => {
    if (scope !== undefined) await Effect.runPromise(Scope.close(scope, Exit.void))
  })

  const running = Effect.suspend(() => server === undefined ? Effect.die("no server") : Effect.succeed(server))

  brokerSuite(
    "a Redis cluster of one node",
    (limits) =>
      connected(Layer.suspend(() => RedisBroker.layer({ url: server?.url ?? "", deadline: "5 seconds", ...limits }))),
    { isShared: true }
  )

  it.live("refuses a script whose keys have two hash tags, so that what passes here keeps to one", () =>
    Effect.gen(function*() {
      const { send } = yield* running
      assert.match(yield* send("EVAL", "return 1", "2", "emitter:{a}:log", "emitter:{b}:log"), /^-CROSSSLOT/)
      assert.match(yield* send("EVAL", "return 1", "2", "emitter:{a}:log", "emitter:{a}:meta"), /^:1/)
    }))

  it.live("touches from its scripts no key that was not declared", () =>
    Effect.gen(function*() {
      const one = yield* running
      const commands = yield* monitor(one)
      const broker = yield* startNode(one.url, { maxEvents: 40, deadline: "5 seconds", poll: "200 millis" })
      const user = newUser()
      yield* broker.subscribe(user, () => {})
      // A checkpoint, trimming, many sources, repeats, gaps with their runs, acknowledgements.
      for (let n = 1; n <= 70; n++) {
        yield* broker.append(user, [
          envelope({ sequence: n, run: `r${n % 3}` }),
          envelope({ source: `t${n}`, sequence: 1, run: "r1" })
        ])
      }
      yield* broker.append(user, numbered(70))
      const position = yield* broker.head(user)
      yield* broker.pull(user, { ...position, offset: 1 }, plenty)
      yield* broker.pull(user, { epoch: "another", offset: 1 }, plenty)
      yield* broker.snapshots(user, 1)
      yield* broker.readers(user)
      yield* broker.acknowledge(user, position)
      yield* broker.acknowledged(user, position)
      yield* broker.revoke(user)
      yield* receiving(broker, user)
      for (const run of ["r2", "r1", "never"]) yield* send(broker, user, command({ run: RunId.make(run) }))
      yield* broker.endLost(user, [RunId.make("r1")])
      yield* send(broker, user, command({ run: RunId.make("r1") }))
      yield* eventually(LogState.partOf(one, user, "checkpoint"), (offset) => offset !== "0", "a checkpoint")

      const touched = new Map<string, Set<string>>()
      let declared: ReadonlyArray<string> = []
      let byScripts = 0
      for (const { byScript, words } of yield* commands) {
        const [name = "", ...args] = words
        if (/^evalsha$|^eval$/iu.test(name)) {
          declared = args.slice(2, 2 + Number(args[1]))
        } else if (byScript && !/^(time|publish)$/iu.test(name)) {
          byScripts++
          const keys = /^(del|exists)$/iu.test(name) ? args : args.slice(0, 1)
          for (const key of keys) {
            if (!declared.includes(key)) touched.set(name, (touched.get(name) ?? new Set()).add(key))
          }
        }
      }
      assert.deepStrictEqual(touched, new Map())
      assert.isAbove(byScripts, 500)
    }), 120_000)
})
