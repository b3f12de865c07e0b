/** Where runs stand, over all that a process and its server go through. */
import { assert, describe, it } from "@effect/vitest"
import { Array as Arr, Effect } from "effect"
import { maxEndedRuns } from "../../../src/broker/postgres/schema/LogSql.ts"
import { eventually, newUser, start } from "../events.ts"
import { endOf, startOf } from "../suite/commanding.ts"
import { program, startNode, withServer } from "./postgresNode.ts"

const patient = { deadline: "5 seconds", silence: "7 seconds", lease: "1 minute", poll: "1 hour" } as const

describe.skipIf(program === undefined)("PostgresBroker, the runs of a process", () => {
  it.live(
    "a run that ended does not begin anew, though its process was never answered that and it is forgotten since",
    () =>
      withServer({}, (server) =>
        Effect.gen(function*() {
          const [holder, other] = [yield* startNode(server.url, patient), yield* startNode(server.url, patient)]
          const user = newUser()
          yield* start(holder, user)
          yield* holder.append(user, [startOf("r")])
          // As if its own answer had been lost.
          yield* other.append(user, [endOf("r")])
          const names = Arr.makeBy(5 * maxEndedRuns, (n) => `other-${n}`)
          yield* other.append(user, [
            startOf("first"),
            endOf("first"),
            ...names.flatMap((name) => [startOf(name), endOf(name)])
          ])
          yield* eventually(
            server.sql("select count(*) from emitter.standings where run = 'r'"),
            (count) => count === "0",
            "the run to be forgotten"
          )
          const touched = server.sql("select touched from emitter.users")
          const before = yield* touched
          yield* Effect.andThen(server.kill, server.start)
          yield* eventually(touched, (now) => now !== before, "its process to look how its runs stand")
          assert.strictEqual(yield* server.sql("select count(*) from emitter.standings where state = 'a'"), "0")
        }), 90),
    180_000
  )
})
