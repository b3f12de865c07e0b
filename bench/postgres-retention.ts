/**
 * Do the tables of a broker in Postgres stay as large as what they hold, when events come and go for a day?
 *
 * A day of an hour's retention turns what is held over 24 times. Here it is turned over as often within minutes: events are
 * kept for five seconds, and come at a steady rate. Autovacuum looks once a second, the most often that it can: of an hour
 * that would be once in twelve minutes, and it does so every minute by default. So real tables are tidied sooner.
 */
import { Context, Effect, Layer, type Scope } from "effect"
import { PostgresBroker } from "../src/broker/postgres/index.ts"
import { Broker, Identity } from "../src/index.ts"
import type { PostgresServer } from "../test/support/postgres.ts"
import { envelopes, inBatches } from "./harness/batches.ts"
import { seconds } from "./harness/clock.ts"
import { withPostgres } from "./harness/postgres.ts"
import { atMost, check, compare, type Figure, given, type Question, type Settings } from "./harness/question.ts"
import { summarize } from "./harness/statistics.ts"
import { userOf } from "./harness/workload.ts"

const schema = "emitter"
const keptSeconds = 5
const turns = 24
/** When the tables hold as much as they will, and have been tidied for the first time. */
const settledTurns = 2
const perSecond = 2_000
const batch = 10
const users = Array.from({ length: 50 }, (_, index) => Identity.UserId.make(userOf(index)))

interface Held {
  readonly events: number
  readonly bytes: number
  readonly text: number
}

const look = async (server: PostgresServer): Promise<Held> => {
  const found = await Effect.runPromise(
    server.sql(
      `select (select count(*) from ${schema}.entries),
        (select sum(pg_total_relation_size(c.oid)) from pg_class c where c.relnamespace = '${schema}'::regnamespace and c.relkind = 'r'),
        (select coalesce(sum(bytes), 0) from ${schema}.entries)`
    )
  )
  const [events = 0, bytes = 0, text = 0] = found.split("|").map(Number)
  check(events > 0, "nothing is held")
  return { events, bytes, text }
}

const replay = async (server: PostgresServer, scope: Scope.Scope, settings: Settings) => {
  const lasting = settings.quick ? 4 : turns
  const layer = PostgresBroker.layer({
    url: server.url,
    migrate: true,
    schema,
    maxAge: `${keptSeconds} seconds`,
    sweep: "200 millis",
    deadline: "30 seconds",
    silence: "30 seconds",
    lease: "2 minutes"
  })
  const { append } = Context.get(await Effect.runPromise(Layer.buildWithScope(layer, scope)), Broker.Broker)
  const each = perSecond / users.length
  let appended = 0
  let settled: Held | undefined
  const late: Array<number> = []
  const startedAt = seconds()
  for (let second = 0; second < lasting * keptSeconds; second++) {
    await Effect.runPromise(
      Effect.forEach(
        users,
        (user) =>
          Effect.forEach(inBatches(envelopes(user, second * each, each), batch), (some) => append(user, some), {
            discard: true
          }),
        { concurrency: 10, discard: true }
      )
    )
    appended += perSecond
    settings.progress(`turn ${Math.floor(second / keptSeconds) + 1} of ${lasting}`)
    const ahead = startedAt + second + 1 - seconds()
    late.push(-ahead)
    if (ahead > 0) await new Promise((resolve) => setTimeout(resolve, ahead * 1_000))
    if (second + 1 === settledTurns * keptSeconds) settled = await look(server)
  }
  check(settled !== undefined, "it never settled")
  const end = await look(server)
  check(appended > end.events, "nothing was deleted")
  const figure = (value: number): Figure => ({
    contestant: "effect-emitter",
    unit: "bytes",
    value: summarize([value])
  })
  const after = (turn: number) => `after ${turn} turns`
  return {
    comparisons: [
      compare(
        `bytes of all tables, once events of ${lasting} retentions have come and gone`,
        figure(end.bytes),
        given(after(settledTurns), settled.bytes, figure(end.bytes)),
        atMost(1.5)
      ),
      compare(
        "bytes of all tables for an event that is held",
        figure(end.bytes / end.events),
        given("its text", end.text / end.events, figure(end.bytes))
      )
    ],
    notes: [
      `${appended.toLocaleString("en")} events were appended in ${Math.round(seconds() - startedAt)} s, `
      + `${end.events.toLocaleString("en")} were held at the end, ${settled.events.toLocaleString("en")} ${
        after(settledTurns)
      }; `
      + `the events of a second came ${Math.max(0, ...late).toFixed(1)} s late at most`
    ]
  }
}

export const question: Question = {
  asks: "a day's retention over Postgres, in minutes: whether its tables grow",
  answer: (settings) => withPostgres((server, scope) => replay(server, scope, settings), { autovacuum_naptime: "1s" })
}
