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
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import * as Random from "effect/Random"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { ConnectionError, SqlError } from "effect/sql/SqlError"
import * as Monotonic from "../../../protocol/values/Monotonic.ts"
import * as Names from "../../../protocol/values/Names.ts"
import type { Broker } from "../../Broker.ts"
import type { BrokerError } from "../../BrokerError.ts"
import type { FailureKind, PostgresMetrics } from "../Metrics.ts"
import { migrations, version } from "../schema/Migrations.ts"
import { SchemaMismatch } from "../schema/SchemaError.ts"
import * as Connections from "./Connections.ts"
import * as Doubt from "./Doubt.ts"
import * as Failure from "./Failure.ts"
import { type Options, placeOf } from "./Options.ts"

/**
 * - `call` runs a function of the schema with arguments as JSON, and gives what it
 *   answers. What was sent may be carried out all the same when it fails.
 * - `notify` tells all who listen.
 * - `isLive` tells whether the server can be used now.
 * - `watch` calls its listener when it can be used no more (`down`), and when it can
 *   again (`up`), until the scope closes.
 * - `watchCalls` does so when a call failed for the server's sake, be it that it can be
 *   used and takes no writes, and once one that writes was answered in time: whoever was
 *   refused has reason to try again.
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
  readonly watchCalls: NonNullable<Broker["Service"]["watch"]>
}

// A server that is back is found within half a second, since all that was emitted meanwhile waits for it.
const firstDelayMs = 50
const maxDelayMs = 400

// What was sent to a server that was away may never be answered, also once the server is back.
const freshEvery = Duration.millis(500)

const decodeGreeting = Schema.decodeUnknownSync(Schema.Tuple([Schema.Int, Schema.Int, Schema.String]))

// What these write nobody was promised to be there after a crash: it is found or done again. So they wait for no disk, and those
// who do not for the connections that they would hold. All that was written before is on the disk with the next append.
const soft: ReadonlySet<string> = new Set(["acknowledge", "note_late", "fold", "trim_user", "sweep", "learn"])

// Of casts for each argument: what a function takes second is read once, and so need not be jsonb.
const casts = ["$1::text::jsonb", "$2::text::json"]

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
  const connections = yield* Connections.make(options, clock)
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
      return within(connections.query(sql, params, () => void (isSent = true)), deadline, () => isSent)
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

  const pauseUpTo = (ms: number) =>
    Effect.flatMap(Random.next, (random) => Effect.sleep(firstDelayMs + Math.floor(random * ms)))

  const canary = statementOf("canary", 1)
  const canaryOf = [JSON.stringify({ node: yield* Names.next })]
  const doubt = yield* Doubt.make(
    Effect.suspend(() =>
      isLive
        ? Effect.match(ask(canary, canaryOf), { onSuccess: (rows) => rows !== "late", onFailure: () => false })
        : Effect.succeed(false)
    ),
    pauseUpTo(maxDelayMs)
  )
  const suspect = (): void => {
    isSuspect.openUnsafe()
    doubt.raise()
  }

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
          suspect()
          const late = new Error(`Postgres at ${server} did not answer in time`)
          return Effect.fail(Failure.unavailable(operation, elapsed(), late, "undecided"))
        },
        onFailure: (error) => {
          if (Failure.isLoss(error)) suspect()
          else answeredAt = Monotonic.millisUnsafe(clock)
          metrics.failed(operation, kindOf(error))
          return Effect.fail(Failure.toBrokerError(operation, elapsed(), error))
        }
      })
    })

  const migrate = Effect.fnUntraced(function*(query: Connections.Query) {
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

  const greet = (query: Connections.Query) =>
    Effect.gen(function*() {
      if (isMigrationDue) yield* migrate(query)
      isMigrationDue = false
      const rows = yield* query(statementOf("greet", 1), ["{}"])
      const [found] = decodeGreeting(JSON.parse(String(rows[0]?.[0])))
      mismatch = found === version ? undefined : mismatchOf(found)
    }).pipe(Effect.catchIf(isMissing, () => Effect.sync(() => void (mismatch = mismatchOf(0)))))

  // Ends once a connection of its own was answered: those that are shared lead nowhere then. A server that answers late has
  // enough to do, and is left alone; so is one whose schema is being made.
  const greetApart = Effect.gen(function*() {
    const startedAt = Monotonic.millisUnsafe(clock)
    while (true) {
      yield* Effect.sleep(freshEvery)
      if (isMigrationDue || connections.heardAt() >= startedAt) continue
      const found = yield* Effect.result(within(connections.apart(greet), freshEvery))
      if (Result.isSuccess(found) && found.success !== "late") return yield* connections.renew
    }
  })

  const turn = (to: boolean): void => {
    if (isLive === to) return
    isLive = to
    metrics.connected("calls", to)
    if (to) doubt.lift()
    else doubt.raise()
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
    const found = yield* isGreeting
      ? Effect.raceFirst(within(greet(connections.query), silence), greetApart)
      : ask("select 1", [])
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
      : pauseUpTo(Math.min(maxDelayMs, firstDelayMs * 2 ** failures))
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
      ),
    watchCalls: doubt.watch
  }
})
