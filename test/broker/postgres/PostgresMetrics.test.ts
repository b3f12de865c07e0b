import { assert, describe, it } from "@effect/vitest"
import { Effect, Metric } from "effect"
import { eventually, numbered } from "../events.ts"
import { program, withNode } from "./postgresNode.ts"

/** What is counted of the Postgres, by name and labels. */
const counted = Effect.map(Metric.snapshot, (all) =>
  new Map(
    all.filter(({ id }) => id.startsWith("emitter_postgres_")).map(({ attributes, id, state }) => {
      const { server: _, ...labels } = attributes ?? {}
      const value = "count" in state ? state.count : "value" in state ? state.value : undefined
      return [[id.slice("emitter_postgres_".length), ...Object.values(labels)].join(" "), Number(value)] as const
    })
  ))

describe.skipIf(program === undefined)("PostgresBroker, metrics", () => {
  it.live(
    "counts calls and failures, and tells whether the server can be used and heard",
    () =>
      withNode(
        {},
        { deadline: "2 seconds", silence: "3 seconds" },
        ({ broker, server, user }) =>
          Effect.gen(function*() {
            yield* broker.append(user, numbered(1))
            const live = yield* eventually(counted, (found) => found.get("connected listening") === 1, "it to hear")
            assert.strictEqual(live.get("connected calls"), 1)
            assert.strictEqual(live.get("call_milliseconds append"), 1)
            yield* server.kill
            yield* eventually(
              Effect.andThen(Effect.ignore(broker.append(user, numbered(2))), counted),
              (found) => found.get("connected calls") === 0 && found.get("connected listening") === 0,
              "it to be gone"
            )
            yield* Effect.ignore(broker.append(user, numbered(2)))
            assert.isAtLeast((yield* counted).get("failures_total append disconnected") ?? 0, 1)
          })
      ),
    120_000
  )
})
