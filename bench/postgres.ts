/**
 * How much does one Postgres take as batches grow, what do two processes deliver over it beside Redis, and how large is an
 * event there?
 *
 * Many users are appended to at once, each one batch at a time, over ten connections. The baseline inserts the same texts
 * into a table of two columns, over as many connections, a transaction for each batch: without offsets, without taking each
 * event once, without bounds, without runs and without waking anybody, no program could write them for much less.
 *
 * Whatever is committed is on the disk, in both.
 */
import * as PgPool from "@effect/sql-pg/PgPool"
import { Context, Effect, Layer, Redacted, Scope } from "effect"
import { PostgresBroker } from "../src/broker/postgres/index.ts"
import { Broker, Identity } from "../src/index.ts"
import type { PostgresServer } from "../test/support/postgres.ts"
import { envelopes, inBatches } from "./harness/batches.ts"
import { seconds } from "./harness/clock.ts"
import { latenciesOf } from "./harness/latencies.ts"
import { withPostgres } from "./harness/postgres.ts"
import { type Helper, withHelpers } from "./harness/process.ts"
import { check, compare, type Comparison, given, type Question, type Settings } from "./harness/question.ts"
import { withRedis } from "./harness/redis.ts"
import { type Contestant, interleave } from "./harness/rounds.ts"
import { summarize } from "./harness/statistics.ts"
import { spread, startProcesses } from "./harness/two-processes.ts"
import { userOf } from "./harness/workload.ts"

const sizes = [1, 16, 64, 256]
const users = Array.from({ length: 64 }, (_, index) => Identity.UserId.make(userOf(index)))
const connections = 10
const rates = { backgroundPerSecond: 1_000, probesPerSecond: 100 }

/** In no hurry: what is asked is how much Postgres takes, not how soon. */
const slowly = { deadline: "30 seconds", silence: "30 seconds", lease: "2 minutes" } as const

const ours = async (url: string, size: number, perUser: number, scope: Scope.Scope): Promise<Contestant> => {
  const layer = PostgresBroker.layer({ url, migrate: true, connections, schema: `of_${size}`, ...slowly })
  const { append } = Context.get(await Effect.runPromise(Layer.buildWithScope(layer, scope)), Broker.Broker)
  let from = 0
  return async () => {
    const work = users.map((user) => ({ user, batches: inBatches(envelopes(user, from, perUser), size) }))
    from += perUser
    const startedAt = seconds()
    const heads = await Effect.runPromise(
      Effect.forEach(work, ({ batches, user }) => Effect.forEach(batches, (batch) => append(user, batch)), {
        concurrency: "unbounded"
      })
    )
    const spent = seconds() - startedAt
    check(heads.every((positions) => positions.at(-1)?.offset === from), "not all events were appended")
    return perUser * users.length / spent
  }
}

const plain = async (url: string, size: number, perUser: number, scope: Scope.Scope): Promise<Contestant> => {
  const pool = await Effect.runPromise(
    PgPool.make({ url: Redacted.make(url), maxConnections: connections, minConnections: 0 }).pipe(Scope.provide(scope))
  )
  const query = (sql: string, params: ReadonlyArray<string>) =>
    pool.use((connection) => connection.queryValues(sql, params, true))
  const table = `plain_${size}`
  await Effect.runPromise(query(`create table ${table} (name text, body text)`, []))
  const insert = `insert into ${table} (name, body) select $1::text, x from json_array_elements_text($2::text::json) x`
  let from = 0
  return async () => {
    const work = users.map((user) => ({ user, batches: inBatches(envelopes(user, from, perUser), size) }))
    from += perUser
    const startedAt = seconds()
    await Effect.runPromise(
      Effect.forEach(
        work,
        ({ batches, user }) =>
          Effect.forEach(batches, (batch) => query(insert, [user, JSON.stringify(batch.map(({ body }) => body))]), {
            discard: true
          }),
        {
          concurrency: "unbounded",
          discard: true
        }
      )
    )
    return perUser * users.length / (seconds() - startedAt)
  }
}

const appends = async (server: PostgresServer, scope: Scope.Scope, settings: Settings) => {
  const comparisons: Array<Comparison> = []
  for (const size of sizes) {
    const perUser = (size === 1 ? 16 : size === 16 ? 64 : 256) / (settings.quick && size < 256 ? 4 : 1)
    const figures = await interleave(
      {
        "effect-emitter": await ours(server.url, size, perUser, scope),
        "plain INSERT": await plain(server.url, size, perUser, scope)
      },
      "per second",
      settings.quick ? { rounds: 2, warmUps: 1 } : { rounds: 5, warmUps: 1 },
      settings
    )
    const what = size === 1 ? "one by one" : `in batches of ${size}`
    comparisons.push(
      compare(`events appended ${what} to Postgres`, figures["effect-emitter"], figures["plain INSERT"])
    )
  }
  const largest = sizes.at(-1) ?? 1
  const held = await Effect.runPromise(
    server.sql(
      `select pg_total_relation_size('of_${largest}.entries') / count(*), avg(bytes) from of_${largest}.entries`
    )
  )
  const [bytes = 0, text = 0] = held.split("|").map(Number)
  const size = { contestant: "effect-emitter", unit: "bytes", value: summarize([bytes]) } as const
  return [
    ...comparisons,
    compare("bytes of Postgres for an event, with its indexes", size, given("its text", text, size))
  ]
}

const delivered = async (
  start: (file: string, ...args: ReadonlyArray<string>) => Helper,
  stores: Readonly<Record<"Postgres" | "Redis", string>>,
  settings: Settings
) => {
  const most = settings.quick ? 20 : 100
  const names = Array.from({ length: most }, (_, index) => userOf(index))
  const open = (mode: "batched" | "critical", url: string) => {
    const roles = { sender: ["emitter-server.ts", mode, url], gateway: ["emitter-server.ts", "idle", url] }
    return startProcesses(start, names, (role) => roles[role], "emitter")
  }
  const comparisons: Array<Comparison> = []
  for (const mode of ["batched", "critical"] as const) {
    const [postgres, redis] = [await open(mode, stores.Postgres), await open(mode, stores.Redis)]
    const count = (mode === "batched" ? 20_000 : 4_000) / (settings.quick ? 4 : 1)
    const figures = await interleave(
      { "over Postgres": () => spread(postgres, names, count), "over Redis": () => spread(redis, names, count) },
      "per second",
      settings.quick ? { rounds: 2, warmUps: 1 } : { rounds: 3, warmUps: 1 },
      settings
    )
    comparisons.push(
      compare(`${mode}, by two processes to ${most} users`, figures["over Postgres"], figures["over Redis"])
    )
    if (mode === "batched") continue
    const pace = { ...rates, seconds: settings.quick ? 2 : 4 }
    const ofPostgres = latenciesOf("over Postgres", postgres.sender, postgres.receiver, pace)
    const ofRedis = latenciesOf("over Redis", redis.sender, redis.receiver, pace)
    await interleave(
      { "over Postgres": ofPostgres.contestant, "over Redis": ofRedis.contestant },
      "seconds",
      settings.quick ? { rounds: 2, warmUps: 1 } : { rounds: 3, warmUps: 1 },
      settings
    )
    for (const [name, part] of [["p50", 0.5], ["p99", 0.99]] as const) {
      comparisons.push(
        compare(
          `latency of a critical event, ${name}, beside 1,000 events/s to ${most} users`,
          ofPostgres.figure(part),
          ofRedis.figure(part)
        )
      )
    }
  }
  return comparisons
}

export const question: Question = {
  asks: "appends to Postgres, by size of batch; two processes over it, beside Redis",
  answer: (settings) =>
    withPostgres((postgres, scope) =>
      withRedis((startRedis) =>
        withHelpers(async (start) => ({
          comparisons: [
            ...await appends(postgres, scope, settings),
            ...await delivered(start, { Postgres: postgres.url, Redis: (await startRedis()).url }, settings)
          ],
          notes: ["what Postgres commits waits for the disk of the folder for temporary files; Redis writes to none"]
        }))
      )
    )
}
