/** An outage of Postgres as programs and devices see it: spools take over, and all is there soon after it is back. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Schema } from "effect"
import { Broker, EmitterLayer, Emitters, Event } from "effect-emitter"
import { PostgresBroker } from "effect-emitter/postgres"
import { eventually, newUser, plenty } from "../events.ts"
import { persist } from "../redis/redisNode.ts"
import { redisProxy } from "../redis/redisProxy.ts"
import { program, startNode, withServer } from "./postgresNode.ts"

const Step = Event.make("step", { payload: { n: Schema.Int }, delivery: "critical" })

const stepOf = ({ body }: { readonly body: string }): number => {
  const wire: { readonly data: { readonly n: number } } = JSON.parse(`{${body}`)
  return wire.data.n
}

const upTo = (n: number) => Array.from({ length: n }, (_, index) => index + 1)

const patient = { silence: "7 seconds", lease: "1 minute" } as const

describe.skipIf(program === undefined)("An outage of Postgres", () => {
  /** What is emitted while it cannot be used comes back out of the spool, once and in order, and the breaker closes at once. */
  const spoolTakesOver = (
    urls: { readonly emitting: string; readonly reading: string },
    trouble: { readonly begin: Effect.Effect<unknown>; readonly end: Effect.Effect<unknown> }
  ) =>
    Effect.gen(function*() {
      const broker = yield* Broker.Broker
      const device = yield* startNode(urls.reading, { ...patient, deadline: "20 seconds" })
      const user = newUser()
      const from = yield* persist(broker.head(user))
      const { forUser, stats } = yield* Emitters
      const emitter = yield* forUser({ userId: user })
      for (const n of upTo(10)) yield* emitter.emit(Step.make({ n }))
      yield* trouble.begin
      // Each is taken by whatever can take it, and none fails.
      for (let n = 11; n <= 30; n++) yield* emitter.emit(Step.make({ n }))
      const open = yield* eventually(stats, ({ breaker }) => breaker === "open", "an open breaker")
      assert.isAbove(open.delivery.spool?.events ?? 0, 0)
      const { _tag } = yield* emitter.emit(Step.make({ n: 31 }))
      assert.strictEqual(_tag, "HandedOver")
      yield* trouble.end
      yield* eventually(stats, ({ delivery }) => delivery.spool?.events === 0, "an empty spool")
      for (let n = 32; n <= 40; n++) yield* emitter.emit(Step.make({ n }))
      const { entries, gap } = yield* eventually(
        persist(device.pull(user, from, plenty)),
        (slice) => slice.entries.length === 40,
        "all events"
      )
      assert.isUndefined(gap)
      assert.deepStrictEqual(entries.map(stepOf), upTo(40))
      const { breaker, deadLettered, pending } = yield* stats
      assert.deepStrictEqual({ breaker, deadLettered, pending }, { breaker: "closed", deadLettered: 0, pending: 0 })
    }).pipe(
      Effect.scoped,
      Effect.provide(
        EmitterLayer({ profile: "lowLatency" }).pipe(
          Layer.provideMerge(
            PostgresBroker.layer({ url: urls.emitting, ...patient, deadline: "500 millis" })
          )
        )
      )
    )

  it.live(
    "costs a program nothing but time where its server is killed and comes back",
    () =>
      withServer({ durable: true }, (server) =>
        Effect.andThen(
          server.sql(PostgresBroker.migrationSql()),
          spoolTakesOver({ emitting: server.url, reading: server.url }, { begin: server.kill, end: server.start })
        ), 90),
    180_000
  )

  it.live(
    "is also a server that answers too late: what was taken all the same is not taken twice",
    () =>
      withServer({}, (server) =>
        Effect.flatMap(
          Effect.andThen(server.sql(PostgresBroker.migrationSql()), redisProxy(server.port)),
          ({ delay, port }) =>
            spoolTakesOver(
              { emitting: server.url.replace(`:${server.port}/`, `:${port}/`), reading: server.url },
              { begin: delay(2_000), end: delay(0) }
            )
        ), 90),
    180_000
  )

  it.live(
    "is also one that takes no writes: what it refuses waits in the spool until it does",
    () =>
      withServer({}, (server) => {
        const anew = server.sql("select count(pg_terminate_backend(pid)) from pg_stat_activity where usename = 'app'")
        return Effect.andThen(
          server.sql(`${PostgresBroker.migrationSql()}; create role app login; grant usage on schema emitter to app;
            grant execute on all functions in schema emitter to app`),
          spoolTakesOver(
            { emitting: server.url.replace("postgres://postgres@", "postgres://app@"), reading: server.url },
            {
              begin: Effect.andThen(server.sql("alter role app set default_transaction_read_only = on"), anew),
              end: Effect.andThen(server.sql("alter role app reset default_transaction_read_only"), anew)
            }
          )
        )
      }, 90),
    180_000
  )
})
