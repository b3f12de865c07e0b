/** What a broker does behind a pooler in transaction mode, which carries no LISTEN. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { pgbouncer } from "../../support/pgbouncer.ts"
import { findProgram } from "../../support/program.ts"
import { eventually, idOf, newUser, numbered, plenty, start } from "../events.ts"
import { program, startNode, withServer } from "./postgresNode.ts"

const pooler = findProgram("pgbouncer")

// Nobody looks of itself: what is found was told, or looked for because nothing is heard.
const options = { prepare: false, poll: "1 hour", deadline: "5 seconds", silence: "7 seconds" } as const

describe.skipIf(program === undefined || pooler === undefined)("PostgresBroker behind PgBouncer", () => {
  it.live(
    "appends, reads and wakes in transaction mode, whether LISTEN leads past it or is not carried",
    () =>
      withServer({}, (server) =>
        Effect.gen(function*() {
          const url = yield* pgbouncer(pooler ?? "pgbouncer", server.port)
          const writer = yield* startNode(url, options)
          const deaf = yield* startNode(url, options)
          const listening = yield* startNode(url, { ...options, listenUrl: server.url })
          const user = newUser()
          const from = yield* start(writer, user)
          const woken = [0, 0]
          yield* deaf.subscribe(user, () => void (woken[0] = (woken[0] ?? 0) + 1))
          yield* listening.subscribe(user, () => void (woken[1] = (woken[1] ?? 0) + 1))
          for (let n = 1; n <= 3; n++) {
            const before = [...woken]
            yield* writer.append(user, numbered(n))
            yield* eventually(
              Effect.sync(() => woken.map((count, index) => count > (before[index] ?? 0))),
              (were) => were.every((was) => was),
              "both to be woken"
            )
            for (const node of [deaf, listening]) {
              const { entries } = yield* node.pull(user, from, plenty)
              assert.deepStrictEqual(entries.map(idOf), Array.from({ length: n }, (_, index) => `s.${index + 1}`))
            }
          }
          // As if its answer had been lost.
          const { entries } = yield* Effect.andThen(writer.append(user, numbered(3)), deaf.pull(user, from, plenty))
          assert.lengthOf(entries, 3)
        })),
    120_000
  )
})
