/** Two databases of one Redis: what one holds, tells and watches is nothing to the other. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import type { Broker } from "effect-emitter"
import { envelope, eventually, idsAfter, newUser, numbered, start } from "../events.ts"
import { persist, program, startNode, withServer } from "./redisNode.ts"

const quick = { lease: "6 seconds", deadline: "2 seconds", silence: "3 seconds", poll: "1 hour" } as const

describe.skipIf(program === undefined)("RedisBroker, in two databases of one server", () => {
  it.live(
    "fault 11: revokes, wakes and acknowledges in its own, and nowhere else",
    () =>
      withServer({}, ({ url }) =>
        Effect.gen(function*() {
          const [one, two] = [yield* startNode(`${url}/1`, quick), yield* startNode(`${url}/2`, quick)]
          const user = newUser()
          const from = [yield* persist(start(one, user)), yield* persist(start(two, user))] as const
          const told: Record<"one" | "two", Array<Broker.Signal | "wake">> = { one: [], two: [] }
          yield* one.subscribe(user, (news) => void told.one.push(news ?? "wake"))
          yield* two.subscribe(user, (news) => void told.two.push(news ?? "wake"))
          told.one.length = told.two.length = 0

          yield* two.append(user, numbered(1, 2))
          yield* two.revoke(user)
          yield* eventually(Effect.sync(() => told.two), ({ length }) => length >= 2, "what its own is told", 20)
          // What went to it after these would have come by then.
          yield* one.append(user, numbered(7))
          yield* eventually(Effect.sync(() => told.one), ({ length }) => length > 0, "a wake-up", 20)
          assert.deepStrictEqual(told.one, ["critical"])
          assert.deepInclude(told.two.at(-1), { isNew: true })
          assert.deepStrictEqual(yield* idsAfter(one, user, from[0]), [[1, "s.7"]])
          assert.deepStrictEqual(yield* idsAfter(two, user, from[1]), [[1, "s.1"], [2, "s.2"]])
          assert.deepStrictEqual([yield* one.readers(user), yield* two.readers(user)], [1, 1])

          // Both logs have an event at offset 1; it is acknowledged in one of them.
          const waits = [
            one.acknowledged(user, { ...from[0], offset: 1 }),
            two.acknowledged(user, { ...from[1], offset: 1 })
          ]
          const [ofOne, ofTwo] = yield* Effect.forEach(waits, (wait) => Effect.forkChild(wait))
          yield* two.acknowledge(user, { ...from[1], offset: 1 })
          if (ofOne === undefined || ofTwo === undefined) return assert.fail("two waits were begun")
          yield* Fiber.join(ofTwo)
          yield* Effect.sleep("200 millis")
          assert.isUndefined(ofOne.pollUnsafe())
          yield* one.acknowledge(user, { ...from[0], offset: 1 })
          yield* Fiber.join(ofOne)
        }), 55),
    120_000
  )

  it.live(
    "fault 11: ends runs of processes that died in its own, and nowhere else",
    () =>
      withServer({}, ({ url }) =>
        Effect.gen(function*() {
          const [one, two] = [yield* startNode(`${url}/1`, quick), yield* startNode(`${url}/2`, quick)]
          const [ada, bob] = [newUser(), newUser()]
          const begin = { source: "r", sequence: 1, run: "r", type: "agent_started", data: { agentName: "a" } }
          // The processes of both die with their scopes left open behind them: nothing is given back.
          yield* Effect.scoped(Effect.gen(function*() {
            yield* persist((yield* startNode(`${url}/1`, quick)).append(ada, [envelope(begin)]))
            yield* persist((yield* startNode(`${url}/2`, quick)).append(bob, [envelope(begin)]))
          }))
          const active = (broker: Broker.Broker["Service"], user: typeof ada) =>
            Effect.map(broker.snapshots(user), ({ snapshots }) => snapshots.length)
          yield* eventually(active(one, ada), (runs) => runs === 0, "the end of the run in its own", 25)
          yield* eventually(active(two, bob), (runs) => runs === 0, "the end of the run in the other", 25)
          assert.strictEqual((yield* one.head(bob)).offset, 0)
          assert.strictEqual((yield* two.head(ada)).offset, 0)
        }), 55),
    120_000
  )
})
