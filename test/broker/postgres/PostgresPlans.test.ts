/** How many rows an append reads: what it needs, and not all of a log. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { eventually, numbered } from "../events.ts"
import { persist } from "../redis/redisNode.ts"
import { program, withNode } from "./postgresNode.ts"

const long = 3_000

describe.skipIf(program === undefined)("PostgresBroker, its plans", () => {
  it.live(
    "keep up with logs that grow where nobody else analyzes the tables: an append reads few rows for each event",
    () =>
      withNode(
        { settings: { autovacuum: "off" } },
        // One session: it made its plans when the tables were empty.
        { connections: 1, sweep: "100 millis", deadline: "10 seconds", silence: "15 seconds", lease: "1 minute" },
        ({ broker, server, user }) =>
          Effect.gen(function*() {
            let appended = 0
            const append = (count: number) =>
              Effect.suspend(() => {
                const batch = numbered(appended + 1, appended + count)
                appended += count
                return persist(broker.append(user, batch))
              })
            yield* Effect.replicateEffect(append(1), 20)
            yield* Effect.replicateEffect(append(250), long / 250)
            yield* eventually(
              server.sql("select sum(reltuples) from pg_class where oid = 'emitter.entries'::regclass"),
              (known) => Number(known) > long / 4,
              "the planner to know of them"
            )
            const read = Effect.map(
              server.sql(
                "select coalesce(sum(idx_tup_read), 0), coalesce(sum(idx_scan), 0) from pg_stat_user_indexes where relname = 'entries'"
              ),
              (text) => text.split("|").map(Number)
            )
            // A session tells what it read about once a second.
            const next = (before: number) =>
              eventually(
                Effect.andThen(append(16), read),
                ([, scans = 0]) => scans > before,
                "it to tell what it read"
              )
            const [, told = 0] = yield* read
            const [rowsBefore = 0, scansBefore = 0] = yield* next(told)
            const appendedBefore = appended
            const [rows = 0] = yield* next(scansBefore)
            assert.isBelow((rows - rowsBefore) / (appended - appendedBefore), long / 20)
          })
      ),
    120_000
  )
})
