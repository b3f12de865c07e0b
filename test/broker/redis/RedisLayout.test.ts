/** Keys that another version of this package wrote. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit } from "effect"
import { RedisBroker } from "effect-emitter/redis"
import { layout } from "../../../src/broker/redis/codec/Keys.ts"
import { eventually, newUser, numbered } from "../events.ts"
import { persist, program, startNode, withServer } from "./redisNode.ts"

// On a busy machine the first connection may take its time.
const patient = { silence: "20 seconds", lease: "1 minute" } as const

const mismatch = (server: { readonly port: number }, found: string) =>
  new RedisBroker.LayoutMismatch({ server: `127.0.0.1:${server.port}/0`, prefix: "emitter", found, expected: layout })

describe.skipIf(program === undefined)("RedisBroker, over keys of another layout", () => {
  for (
    const [found, ...command] of [
      ["1", "ZADD", "emitter:{leases}:alive", "1732320000000", "abc.0"],
      ["2", "SET", "emitter:{leases}:layout", "2"],
      ["4", "SET", "emitter:{leases}:layout", "4"]
    ] as const
  ) {
    it.live(
      `fault 11: does not start over layout ${found}, and starts under another prefix and in another database`,
      () =>
        withServer({}, (server) =>
          Effect.gen(function*() {
            yield* server.send(...command)
            const exit = yield* Effect.exit(Effect.scoped(startNode(server.url, patient)))
            assert.deepStrictEqual(exit, Exit.fail(mismatch(server, found)))
            assert.match(String(exit), /choose another prefix or database/u)
            for (
              const node of [
                startNode(server.url, { ...patient, prefix: "other" }),
                startNode(`${server.url}/1`, patient)
              ]
            ) {
              assert.strictEqual((yield* persist((yield* node).append(newUser(), numbered(1)))).offset, 1)
            }
            // It was left as it was.
            assert.match(yield* server.send("KEYS", "emitter:*"), /^\*1\r\n/u)
          }), 55),
      120_000
    )
  }

  it.live(
    "fault 11: writes its own down, and takes no other that it finds later",
    () =>
      withServer({}, (server) =>
        Effect.gen(function*() {
          const [one, two] = [yield* startNode(server.url, patient), yield* startNode(server.url, patient)]
          yield* persist(one.append(newUser(), numbered(1)))
          yield* persist(two.append(newUser(), numbered(1)))
          assert.strictEqual(yield* server.send("GET", "emitter:{leases}:layout"), `$1\r\n${layout}\r\n`)
          yield* server.send("SET", "emitter:{leases}:layout", "2")
          yield* server.send("CLIENT", "KILL", "TYPE", "normal")
          yield* eventually(
            Effect.map(Effect.exit(one.append(newUser(), numbered(1))), String),
            (said) => said.includes(mismatch(server, "2").message),
            "what it says of the other layout",
            20
          )
        }), 55),
    120_000
  )
})
