/** An outage of Postgres as programs and devices see it: spools take over, and all is there soon after it is back. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Latch, Layer, Schema } from "effect"
import { Broker, EmitterLayer, Emitters, Event, type Identity, type Position } from "effect-emitter"
import { PostgresBroker } from "effect-emitter/postgres"
import { ownTimed } from "../../support/ownTime.ts"
import { eventually, idOf, newUser, plenty } from "../events.ts"
import { persist } from "../redis/redisNode.ts"
import { redisProxy } from "../redis/redisProxy.ts"
import { program, startNode, withServer } from "./postgresNode.ts"

const Step = Event.make("step", { payload: { n: Schema.Int }, delivery: "critical" })

const stepOf = ({ body }: { readonly body: string }): number => {
  const wire: { readonly data: { readonly n: number } } = JSON.parse(`{${body}`)
  return wire.data.n
}

const upTo = (n: number) => Array.from({ length: n }, (_, index) => index + 1)

const total = 40

/**
 * All that is waited for by time takes far longer than the test: the breaker's open time, the poll, and the time after which a
 * connection that says nothing is given up. So what ends an outage is that its end is found, and told.
 */
const never = "10 minutes"
const untimed = { silence: never, lease: "1 hour", poll: "1 hour" } as const
const breaker = { openFor: never, maxOpenFor: never } as const

/** A device as its gateway reads for it: whenever it is woken, and told that the server is back. */
const follow = Effect.fnUntraced(function*(
  broker: Broker.Broker["Service"],
  user: Identity.UserId,
  from: Position.Position
) {
  const ids: Array<string> = []
  const isWoken = Latch.makeUnsafe(true)
  let wasDown = false
  yield* persist(broker.subscribe(user, (signal) => {
    if (signal === "down") wasDown = true
    else isWoken.openUnsafe()
  }))
  let position = from
  yield* isWoken.await.pipe(
    Effect.andThen(Effect.suspend(() => {
      isWoken.closeUnsafe()
      return persist(broker.pull(user, position, plenty))
    })),
    Effect.map(({ entries, gap, next }) => {
      if (gap !== undefined) ids.push(gap.reason)
      ids.push(...entries.map(idOf))
      position = next
    }),
    Effect.forever,
    Effect.forkScoped
  )
  return { ids: () => ids, wasDown: () => wasDown }
})

interface Trouble {
  readonly begin: Effect.Effect<unknown>
  readonly end: Effect.Effect<unknown>
  /** Whether readers have it too. */
  readonly isOfReaders: boolean
}

describe.skipIf(program === undefined)("An outage of Postgres", () => {
  /** What is emitted while it cannot be used comes out of the spool as soon as it can, once and in order, and a device has it. */
  const spoolTakesOver = (
    urls: { readonly emitting: string; readonly reading: string },
    trouble: Trouble
  ) =>
    Effect.gen(function*() {
      const broker = yield* Broker.Broker
      const device = yield* startNode(urls.reading, {
        ...untimed,
        ...trouble.isOfReaders ? { silence: "3 seconds" } : { deadline: "20 seconds" }
      })
      const user = newUser()
      const from = yield* persist(broker.head(user))
      const reader = yield* follow(device, user, from)
      const { forUser, stats } = yield* Emitters
      const emitter = yield* forUser({ userId: user })
      for (const n of upTo(10)) yield* emitter.emit(Step.make({ n }))
      yield* trouble.begin
      // Each is taken by whatever can take it, and none fails.
      for (let n = 11; n <= 30; n++) yield* emitter.emit(Step.make({ n }))
      const open = yield* eventually(stats, ({ breaker }) => breaker === "open", "an open breaker")
      assert.isAbove(open.delivery.spool?.events ?? 0, 0)
      for (let n = 31; n <= total; n++) {
        const { _tag } = yield* emitter.emit(Step.make({ n }))
        assert.strictEqual(_tag, "HandedOver")
      }
      if (trouble.isOfReaders) yield* eventually(Effect.sync(reader.wasDown), (was) => was, "its readers to be told")
      const [ownMs] = yield* ownTimed(Effect.gen(function*() {
        yield* trouble.end
        yield* eventually(stats, ({ delivery }) => delivery.spool?.events === 0, "an empty spool")
        yield* eventually(Effect.sync(reader.ids), ({ length }) => length === total, "the device to have all")
      }))
      console.info(`all is there ${Math.round(ownMs)} ms after the outage`)
      const { entries, gap } = yield* persist(device.pull(user, from, plenty))
      assert.isUndefined(gap)
      assert.deepStrictEqual(entries.map(stepOf), upTo(total))
      assert.deepStrictEqual(reader.ids(), entries.map(idOf))
      assert.strictEqual((yield* emitter.emit(Step.make({ n: total + 1 })))._tag, "Appended")
      const { breaker, deadLettered, pending } = yield* stats
      assert.deepStrictEqual({ breaker, deadLettered, pending }, { breaker: "closed", deadLettered: 0, pending: 0 })
    }).pipe(
      Effect.scoped,
      Effect.provide(
        EmitterLayer({ profile: "lowLatency", breaker }).pipe(
          Layer.provideMerge(
            PostgresBroker.layer({ url: urls.emitting, ...untimed, deadline: "500 millis" })
          )
        )
      )
    )

  /** A server of which everybody hears through a proxy. */
  const throughProxy = (
    trouble: (proxy: Effect.Success<ReturnType<typeof redisProxy>>) => Trouble
  ) =>
    withServer({}, (server) =>
      Effect.flatMap(
        Effect.andThen(server.sql(PostgresBroker.migrationSql()), redisProxy(server.port)),
        (proxy) => {
          const url = server.url.replace(`:${server.port}/`, `:${proxy.port}/`)
          return spoolTakesOver({ emitting: url, reading: url }, trouble(proxy))
        }
      ), 90)

  it.live(
    "costs a program nothing but time where its server is killed and comes back",
    () =>
      withServer({ durable: true }, (server) =>
        Effect.andThen(
          server.sql(PostgresBroker.migrationSql()),
          spoolTakesOver({ emitting: server.url, reading: server.url }, {
            begin: server.kill,
            end: server.start,
            isOfReaders: true
          })
        ), 90),
    180_000
  )

  it.live(
    "is also a server that says nothing for a while, and goes on",
    () =>
      withServer({}, (server) =>
        Effect.andThen(
          server.sql(PostgresBroker.migrationSql()),
          spoolTakesOver({ emitting: server.url, reading: server.url }, {
            begin: server.freeze,
            end: server.thaw,
            isOfReaders: true
          })
        ), 90),
    180_000
  )

  it.live(
    "is also a network that carries nothing, after which what was open leads nowhere",
    () =>
      throughProxy(({ passAgain, strand, swallow }) => ({
        begin: swallow,
        end: Effect.andThen(strand, passAgain),
        isOfReaders: true
      })),
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
              { begin: delay(2_000), end: delay(0), isOfReaders: false }
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
              end: Effect.andThen(server.sql("alter role app reset default_transaction_read_only"), anew),
              isOfReaders: false
            }
          )
        )
      }, 90),
    180_000
  )
})
