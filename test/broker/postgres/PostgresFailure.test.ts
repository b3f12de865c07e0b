/** What comes of servers that die, freeze or are followed by a standby, and of appends whose answers are lost. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Result, Scope } from "effect"
import { RunId } from "../../../src/protocol/values/Identity.ts"
import { ownTimed } from "../../support/ownTime.ts"
import { envelope, eventually, idOf, newUser, numbered, plenty, start } from "../events.ts"
import { persist } from "../redis/redisNode.ts"
import { redisProxy } from "../redis/redisProxy.ts"
import { program, startNode, withServer } from "./postgresNode.ts"

const slow = { deadline: "2 seconds", silence: "3 seconds" } as const

describe.skipIf(program === undefined)("PostgresBroker, failures", () => {
  it.live(
    "fails in time while its server is dead or frozen, tells so, and has everything when it is back",
    () =>
      withServer({}, (server) =>
        Effect.gen(function*() {
          const [a, b] = [yield* startNode(server.url, slow), yield* startNode(server.url, slow)]
          const user = newUser()
          const from = yield* start(a, user)
          const signals: Array<unknown> = []
          yield* b.subscribe(user, (signal) => {
            if (typeof signal === "string") signals.push(signal)
          })
          yield* a.append(user, numbered(1))
          for (const [n, [stop, go]] of [[server.kill, server.start], [server.freeze, server.thaw]].entries()) {
            yield* stop ?? Effect.void
            const failed = yield* Effect.result(a.append(user, numbered(n + 2)))
            assert.isTrue(Result.isFailure(failed))
            if (Result.isFailure(failed)) assert.notStrictEqual(failed.failure.blame, "user")
            yield* eventually(
              Effect.sync(() => signals.filter((one) => one === "down").length),
              (count) => count > n,
              "down"
            )
            yield* go ?? Effect.void
            yield* persist(a.append(user, numbered(n + 2)))
            yield* eventually(
              Effect.sync(() => signals.filter((one) => one === "up").length),
              (count) => count > n,
              "up"
            )
          }
          const { entries, gap } = yield* persist(b.pull(user, from, plenty))
          assert.isUndefined(gap)
          assert.deepStrictEqual(entries.map(idOf), ["s.1", "s.2", "s.3"])
        }), 90),
    180_000
  )

  it.live("closes in time while Postgres is frozen", () =>
    withServer({}, (server) =>
      Effect.gen(function*() {
        const scope = yield* Scope.make()
        // Some calls come to their deadline, one after another; the connections themselves would take ten seconds.
        const node = yield* Scope.provide(startNode(server.url, { ...slow, deadline: "500 millis" }), scope)
        const user = newUser()
        yield* persist(node.append(user, numbered(1)))
        yield* persist(Scope.provide(node.subscribe(user, () => {}), scope))
        yield* server.freeze
        yield* Effect.forkChild(Effect.exit(node.append(user, numbered(2))), { startImmediately: true })
        const [ownMs] = yield* ownTimed(Scope.close(scope, Exit.void))
        assert.isBelow(ownMs, 6000)
      })), 120_000)

  it.live(
    "connects anew to hear, though the server never says that it is heard no more",
    () =>
      withServer({}, (server) =>
        Effect.gen(function*() {
          const proxy = yield* redisProxy(server.port)
          const listenUrl = server.url.replace(`:${server.port}/`, `:${proxy.port}/`)
          yield* startNode(server.url, { ...slow, silence: "1 second", listenUrl })
          yield* eventually(Effect.sync(proxy.answers), (said) => said.includes("\nc\t"), "what it tells itself")
          yield* proxy.strand
          yield* eventually(Effect.sync(proxy.connections), (count) => count === 2, "another one")
        })),
    120_000
  )

  it.live(
    "connects anew to hear where what it asks to hear is never answered",
    () =>
      withServer({}, (server) =>
        Effect.gen(function*() {
          const proxy = yield* redisProxy(server.port)
          const listenUrl = server.url.replace(`:${server.port}/`, `:${proxy.port}/`)
          yield* proxy.strandAt("LISTEN")
          yield* startNode(server.url, { ...slow, silence: "1 second", listenUrl })
          yield* eventually(Effect.sync(proxy.answers), (said) => said.includes("\nc\t"), "what it tells itself", 20)
          assert.isAtLeast(proxy.connections(), 2)
        })),
    120_000
  )

  it.live(
    "keeps its connections where answers come late, so that a slow server has no more to do for it",
    () =>
      withServer({}, (server) =>
        Effect.gen(function*() {
          const proxy = yield* redisProxy(server.port)
          const url = server.url.replace(`:${server.port}/`, `:${proxy.port}/`)
          const late = { deadline: "1 second", silence: "30 seconds", lease: "2 minutes" } as const
          const node = yield* startNode(url, { ...late, connections: 2, listenUrl: server.url })
          const user = newUser()
          yield* persist(Effect.all([node.append(user, numbered(1)), node.head(user)], { concurrency: 2 }))
          yield* eventually(Effect.as(persist(node.head(user)), proxy.connections()), (count) =>
            count === 2, "two of them")
          yield* proxy.delay(2_000)
          assert.isTrue(Result.isFailure(yield* Effect.result(node.append(user, numbered(2)))))
          yield* proxy.delay(0)
          yield* persist(node.append(user, numbered(2, 3)))
          assert.strictEqual((yield* persist(node.head(user))).offset, 3)
          assert.strictEqual(proxy.connections(), 2)
        }), 90),
    180_000
  )

  it.live(
    "appends nothing twice and loses nothing though answers are cut at random",
    () =>
      withServer({}, (server) =>
        Effect.gen(function*() {
          const proxy = yield* redisProxy(server.port)
          const url = server.url.replace(`:${server.port}/`, `:${proxy.port}/`)
          const node = yield* startNode(url, { ...slow, connections: 16 })
          const calm = yield* startNode(server.url, slow)
          const users = [newUser(), newUser(), newUser(), newUser()]
          const cutting = yield* Effect.forkChild(
            // After a while it stays whole, so that a machine on which connecting takes long comes to an end.
            Effect.repeat(Effect.andThen(Effect.sleep("400 millis"), proxy.cut), { times: 12 })
          )
          yield* Effect.forEach(
            Array.from({ length: 64 }, (_, n) => n),
            (n) =>
              Effect.gen(function*() {
                const user = users[n % users.length] ?? newUser()
                for (let batch = 0; batch < 4; batch++) {
                  yield* persist(node.append(user, numbered(batch * 3 + 1, batch * 3 + 3, { source: `a${n}` })))
                }
              }),
            { concurrency: "unbounded", discard: true }
          )
          yield* Fiber.interrupt(cutting)
          for (const user of users) {
            const { entries } = yield* calm.pull(user, { epoch: "another", offset: 0 }, plenty)
            assert.strictEqual(entries.length, 16 * 12)
            assert.strictEqual(new Set(entries.map(idOf)).size, 16 * 12)
            for (let n = 0; n < 64; n++) {
              const own = entries.map(idOf).filter((id) => id.startsWith(`a${n}.`))
              assert.deepStrictEqual(own, own.toSorted((a, b) => Number(a.split(".")[1]) - Number(b.split(".")[1])))
            }
          }
        }), 90),
    { tags: ["storm"], timeout: 180_000 }
  )

  it.live(
    "begins a new epoch on a standby that missed the last commits, and its runs go on",
    () =>
      withServer({ settings: { wal_level: "replica" } }, (server) =>
        Effect.gen(function*() {
          const standby = yield* server.standby
          const proxy = yield* redisProxy(server.port)
          const url = server.url.replace(`:${server.port}/`, `:${proxy.port}/`)
          const node = yield* startNode(url, slow)
          const user = newUser()
          const from = yield* start(node, user)
          yield* node.append(user, numbered(1, 2))
          yield* node.append(user, [
            envelope({ sequence: 3, run: "r", type: "agent_started", data: { agentName: "a" } })
          ])
          yield* eventually(
            Effect.promise(() => Effect.runPromise(standby.sql("select coalesce(max(head), 0) from emitter.users"))),
            (head) => head === "3",
            "the standby to follow"
          )
          // What it had in its buffers it would replay before it is promoted.
          yield* standby.kill
          const seen = yield* node.append(user, numbered(4, 6))
          yield* server.kill
          yield* standby.start
          yield* standby.promote
          yield* proxy.leadTo(standby.port)
          yield* persist(node.append(user, numbered(7)))
          const head = yield* persist(node.head(user))
          assert.notStrictEqual(head.epoch, from.epoch)
          const { entries, gap } = yield* persist(node.pull(user, seen, plenty))
          assert.strictEqual(gap?.reason, "epoch")
          assert.deepStrictEqual(entries.map(idOf), ["s.1", "s.2", "s.3", "s.7"])
          yield* persist(node.append(user, [
            envelope({ sequence: 8, run: "r", type: "agent_completed", data: { agentName: "a", durationMs: 1 } })
          ]))
          const { snapshot } = yield* node.snapshot(user, RunId.make("r"))
          assert.strictEqual(snapshot?.state.status, "completed")
        }), 90),
    180_000
  )
})
