/**
 * The connections to Postgres, and whether it can be used.
 *
 * Every call is one statement, which calls one function of the schema: so it happens
 * whole or not at all, also behind a pooler in transaction mode, and a process that
 * stops in the middle holds no lock. Calls fail at once while the server cannot be used,
 * and all have a deadline. It is looked after by itself: a server that says nothing is
 * given up, and one that is back is found within half a second.
 *
 * @since 0.2.0
 */
import * as PgPool from "@effect/sql-pg/PgPool"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import * as Random from "effect/Random"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import { ConnectionError, SqlError } from "effect/sql/SqlError"
import * as Monotonic from "../../../protocol/values/Monotonic.ts"
import type { Broker } from "../../Broker.ts"
import type { BrokerError } from "../../BrokerError.ts"
import type { FailureKind, PostgresMetrics } from "../Metrics.ts"
import { migrations, version } from "../schema/Migrations.ts"
import { SchemaMismatch } from "../schema/SchemaError.ts"
import * as Failure from "./Failure.ts"
import { type Options, placeOf } from "./Options.ts"

/**
 * - `call` runs a function of the schema with arguments as JSON, and gives what it
 *   answers. What was sent may be carried out all the same when it fails.
 * - `notify` tells all who listen.
 * - `isLive` tells whether the server can be used now.
 * - `watch` calls its listener when it can be used no more (`down`), and when it can
 *   again (`up`), until the scope closes.
 *
 * @category models
 * @since 0.2.0
 */
export interface Database {
  readonly call: (
    operation: string,
    name: string,
    ...args: ReadonlyArray<unknown>
  ) => Effect.Effect<unknown, BrokerError>
  readonly notify: (payload: string) => Effect.Effect<void, BrokerError>
  readonly isLive: () => boolean
  readonly watch: NonNullable<Broker["Service"]["watch"]>
}

// A server that is back is found within half a second, since all that was emitted meanwhile waits for it.
const firstDelayMs = 50
const maxDelayMs = 400

// So long a closing broker waits for the answers to what it still sent.
const closingMs = 1_000

// No answer is larger: of a log that is folded late it has all events.
const maxMessageSize = 512 * 1024 * 1024

const decodeGreeting = Schema.decodeUnknownSync(Schema.Tuple([Schema.Int, Schema.Int, Schema.String]))

// What these write nobody was promised to be there after a crash: it is found or done again. So they wait for no disk, and those
// who do not for the connections that they would hold. All that was written before is on the disk with the next append.
const soft: ReadonlySet<string> = new Set(["acknowledge", "note_late", "fold", "trim_user", "sweep"])

// Of casts for each argument: what a function takes second is read once, and so need not be jsonb.
const casts = ["$1::text::jsonb", "$2::text::json"]

/**
 * How connections are made, for whoever needs one of its own.
 *
 * @category constructors
 * @since 0.2.0
 */
export const toConnection = (options: Options, url: string) => ({
  url: Redacted.make(url),
  connectTimeout: options.silence,
  applicationName: `effect-emitter ${options.schema}`,
  prepare: options.prepare,
  maxMessageSize
})

// A pool that closes interrupts its calls; whoever called is not interrupted by that.
const outcomeOf = <A>(exit: Exit.Exit<A, SqlError>): Effect.Effect<A, SqlError> =>
  Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause)
    ? Effect.fail(
      new SqlError({
        reason: new ConnectionError({ cause: new Error("the connection was closed"), operation: "query" })
      })
    )
    : exit

const kindOf = (error: SqlError): FailureKind => Failure.isLoss(error) ? "unavailable" : "refused"

const isMissing = (error: SqlError): boolean => /^(3F000|42883|42P01)$/.test(Failure.codeOf(error) ?? "")

/**
 * Keeps connections for as long as the scope is open. A server that is up is used at
 * once; one that is down is not waited for. Where the schema is not as it must be, it
 * fails.
 *
 * @category constructors
 * @since 0.2.0
 */
export const make = Effect.fnUntraced(function*(
  options: Options,
  metrics: PostgresMetrics
): Effect.fn.Return<Database, SchemaMismatch, Scope.Scope> {
  const { deadline, schema, silence } = options
  const clock = yield* Clock.Clock
  const scope = yield* Effect.scope
  const server = placeOf(options.url)
  const silenceMs = Duration.toMillis(silence)
  // The pool closes once its calls have ended, and gives each up to ten seconds. A closing broker waits for it a moment.
  const poolScope = yield* Effect.acquireRelease(
    Scope.make(),
    (scope, exit) =>
      Effect.forkDetach(Scope.close(scope, exit), { startImmediately: true }).pipe(
        Effect.flatMap(Fiber.await),
        Effect.timeoutOption(closingMs)
      )
  )
  // Nothing is connected to yet.
  const pool = yield* PgPool.make({
    ...toConnection(options, options.url),
    maxConnections: options.connections,
    minConnections: 0
  }).pipe(Scope.provide(poolScope), Effect.orDie)
  const listeners = new Set<(signal: "down" | "up") => void>()
  const isSuspect = Latch.makeUnsafe(false)
  const wasTried = Latch.makeUnsafe(false)
  let isLive = false
  let why = "the first try had no answer yet"
  let told: string | undefined
  let failures = 0
  let mismatch: SchemaMismatch | undefined
  let isMigrationDue = options.migrate
  // When the server last answered a call, whatever it answered.
  let answeredAt = Number.NEGATIVE_INFINITY

  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      isLive = false
      metrics.connected("calls", false)
      why = "the broker was closed"
    })
  )

  // Whoever interrupts what was sent gives up its connection as well, and has the server make another: so a server that is
  // only slow would have more to do for each call that comes too late. One that says nothing is given up after its silence.
  const giveUp = (fiber: Fiber.Fiber<unknown, unknown>) =>
    Effect.timeoutOption(Fiber.await(fiber), silence).pipe(
      Effect.ensuring(Effect.sync(() => fiber.interruptUnsafe())),
      Effect.forkIn(scope, { startImmediately: true }),
      Effect.asVoid
    )
  const leave = (fiber: Fiber.Fiber<unknown, unknown>, wasSent: boolean): Effect.Effect<void> =>
    Effect.suspend(() => {
      if (fiber.pollUnsafe() !== undefined) return Effect.void
      return wasSent ? giveUp(fiber) : Effect.sync(() => fiber.interruptUnsafe())
    })

  const query = (sql: string, params: ReadonlyArray<string>, sent = () => {}) =>
    pool.use((connection) => {
      sent()
      return connection.queryValues(sql, params, options.prepare)
    })

  // Ends in time, whatever the driver still has to do to end it. The scope may be closing: the pool closes after all who call.
  const within = <A>(
    effect: Effect.Effect<A, SqlError>,
    duration: Duration.Duration,
    wasSent = () => false
  ): Effect.Effect<A | "late", SqlError> =>
    Effect.acquireUseRelease(
      Effect.forkDetach(effect, { startImmediately: true }),
      (fiber) =>
        Effect.timeoutOrElse(Effect.flatMap(Fiber.await(fiber), outcomeOf), {
          duration,
          orElse: () => Effect.succeed("late" as const)
        }),
      (fiber) => leave(fiber, wasSent())
    )

  // A statement that once it is sent has the time of a silence for its answer, though nobody waits for it any more.
  const ask = (sql: string, params: ReadonlyArray<string>) =>
    Effect.suspend(() => {
      let isSent = false
      return within(query(sql, params, () => void (isSent = true)), deadline, () => isSent)
    })

  const send = (operation: string, sql: string, params: ReadonlyArray<string>): Effect.Effect<unknown, BrokerError> =>
    Effect.suspend(() => {
      if (!isLive) {
        metrics.failed(operation, "disconnected")
        return Effect.fail(
          Failure.unavailable(operation, 0, new Error(`there is no connection to Postgres at ${server}: ${why}`))
        )
      }
      const startedAt = Monotonic.millisUnsafe(clock)
      const elapsed = () => Monotonic.millisUnsafe(clock) - startedAt
      return Effect.matchEffect(ask(sql, params), {
        onSuccess: (rows) => {
          if (rows !== "late") {
            answeredAt = Monotonic.millisUnsafe(clock)
            metrics.answered(operation, elapsed())
            return Effect.succeed(rows[0]?.[0])
          }
          metrics.failed(operation, "deadline")
          isSuspect.openUnsafe()
          const late = new Error(`Postgres at ${server} did not answer in time`)
          return Effect.fail(Failure.unavailable(operation, elapsed(), late, "undecided"))
        },
        onFailure: (error) => {
          if (Failure.isLoss(error)) isSuspect.openUnsafe()
          else answeredAt = Monotonic.millisUnsafe(clock)
          metrics.failed(operation, kindOf(error))
          return Effect.fail(Failure.toBrokerError(operation, elapsed(), error))
        }
      })
    })

  const statements = new Map<string, string>()
  const statementOf = (name: string, count: number): string => {
    const key = `${name} ${count}`
    const known = statements.get(key)
    if (known !== undefined) return known
    const commit = soft.has(name) ? ", set_config('synchronous_commit', 'off', true)" : ""
    const made = `select ${schema}.${name}(${casts.slice(0, count).join(", ")})::text${commit}`
    statements.set(key, made)
    return made
  }

  const migrate = Effect.gen(function*() {
    for (const { sql, version } of migrations(schema)) {
      // One statement, so that it happens whole, and one process after another.
      yield* query(
        `do $migrate$
declare found int := 0;
begin
  perform pg_advisory_xact_lock(hashtext('effect-emitter.${schema}'));
  if to_regclass('${schema}.meta') is not null then
    execute 'select version from ${schema}.meta' into found;
  end if;
  if found >= ${version} then return; end if;
  execute $steps$${sql}$steps$;
end $migrate$`,
        []
      )
    }
  })

  const mismatchOf = (found: number) => new SchemaMismatch({ server, schema, found, expected: version })

  const greet = Effect.gen(function*() {
    if (isMigrationDue) yield* migrate
    isMigrationDue = false
    const rows = yield* query(statementOf("greet", 1), ["{}"])
    const [found] = decodeGreeting(JSON.parse(String(rows[0]?.[0])))
    mismatch = found === version ? undefined : mismatchOf(found)
  }).pipe(Effect.catchIf(isMissing, () => Effect.sync(() => void (mismatch = mismatchOf(0)))))

  const turn = (to: boolean): void => {
    if (isLive === to) return
    isLive = to
    metrics.connected("calls", to)
    for (const listener of listeners) listener(to ? "up" : "down")
  }

  const reached = Effect.suspend(() => {
    const before = failures
    failures = 0
    told = undefined
    turn(true)
    return before === 0
      ? Effect.void
      : Effect.logInfo(`Postgres at ${server} can be reached again, after ${before} attempts`)
  })

  const failed = (reason: string) =>
    Effect.suspend(() => {
      why = reason
      failures++
      turn(false)
      // Once for each reason, not for each try.
      if (why === told) return Effect.void
      told = why
      return Effect.logWarning(`Postgres at ${server} cannot be used, and is tried again: ${why}`)
    })

  const look = Effect.gen(function*() {
    const isGreeting = !isLive
    const lookedAt = Monotonic.millisUnsafe(clock)
    const found = yield* isGreeting ? within(greet, silence) : ask("select 1", [])
    // Where all connections are busy the look itself may come too late, and what others are answered says enough.
    if (found === "late" && !isGreeting && answeredAt >= lookedAt) return yield* reached
    if (found === "late") {
      return yield* failed(`it said nothing for ${Duration.toMillis(isGreeting ? silence : deadline)} ms`)
    }
    return yield* mismatch === undefined ? reached : failed(mismatch.message)
  }).pipe(
    Effect.catch((error: SqlError) => failed(Failure.whyOf(error))),
    Effect.catchCause((cause) =>
      Effect.andThen(Effect.logError("Looking after Postgres failed", cause), failed("see log"))
    ),
    Effect.ensuring(Effect.sync(() => wasTried.openUnsafe()))
  )

  const pause = Effect.suspend(() =>
    isLive
      ? Effect.andThen(
        Effect.timeoutOption(isSuspect.await, silenceMs / 3),
        Effect.sync(() => isSuspect.closeUnsafe())
      )
      : Effect.flatMap(Random.next, (random) =>
        Effect.sleep(firstDelayMs + Math.floor(random * Math.min(maxDelayMs, firstDelayMs * 2 ** failures))))
  )
  yield* look.pipe(Effect.andThen(pause), Effect.forever, Effect.forkScoped)
  yield* Effect.timeoutOption(wasTried.await, silence)
  if (mismatch !== undefined) return yield* mismatch

  return {
    call: (operation, name, ...args) =>
      Effect.flatMap(
        Failure.read(operation, () => args.map((arg) => JSON.stringify(arg))),
        (params) =>
          Effect.flatMap(
            send(operation, statementOf(name, params.length), params),
            (text) => Failure.read(operation, (): unknown => text === null ? null : JSON.parse(String(text)))
          )
      ),
    notify: (payload) => Effect.asVoid(send("notify", "select pg_notify($1::text, $2::text)::text", [schema, payload])),
    isLive: () => isLive,
    watch: (listener) =>
      Effect.acquireRelease(
        Effect.sync(() => void listeners.add(listener)),
        () => Effect.sync(() => void listeners.delete(listener))
      )
  }
})
