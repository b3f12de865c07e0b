/**
 * The connections that calls are made over, made as they are needed.
 *
 * A network that lost its state, or an address that moved to another machine, leaves
 * connections behind that say nothing and are never told to be closed. `renew` has all
 * made anew, so that no call has to find out for each of them.
 *
 * @since 0.2.0
 */
import * as PgConnection from "@effect/sql-pg/PgConnection"
import * as PgPool from "@effect/sql-pg/PgPool"
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import type { SqlError } from "effect/sql/SqlError"
import * as Monotonic from "../../../protocol/values/Monotonic.ts"
import * as Failure from "./Failure.ts"
import type { Options } from "./Options.ts"

/**
 * Runs one statement, and gives the values of its rows. It calls `sent` once it has a
 * connection.
 *
 * @category models
 * @since 0.2.0
 */
export type Query = (
  sql: string,
  params: ReadonlyArray<string>,
  sent?: () => void
) => Effect.Effect<ReadonlyArray<ReadonlyArray<unknown>>, SqlError>

/**
 * - `query` takes a connection that is there, or makes one, up to as many as there may
 *   be at a time.
 * - `apart` makes a connection for one use, and closes it.
 * - `renew` leaves those that are there: the next statement goes over a new one.
 * - `heardAt` is when the server last answered anything on those that are shared, in
 *   time or too late.
 *
 * @category models
 * @since 0.2.0
 */
export interface Connections {
  readonly query: Query
  readonly apart: <A>(use: (query: Query) => Effect.Effect<A, SqlError>) => Effect.Effect<A, SqlError>
  readonly renew: Effect.Effect<void>
  readonly heardAt: () => number
}

// So long a closing broker waits for the answers to what it still sent.
const closingMs = 1_000

// No answer is larger: of a log that is folded late it has all events.
const maxMessageSize = 512 * 1024 * 1024

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

/**
 * Keeps connections for as long as the scope is open. Nothing is connected to yet.
 *
 * @category constructors
 * @since 0.2.0
 */
export const make = Effect.fnUntraced(function*(
  options: Options,
  clock: Clock.Clock
): Effect.fn.Return<Connections, never, Scope.Scope> {
  const how = toConnection(options, options.url)
  let heardAt = Number.NEGATIVE_INFINITY

  const open = Effect.gen(function*() {
    const scope = yield* Scope.make()
    const pool = yield* PgPool.make({ ...how, maxConnections: options.connections, minConnections: 0 }).pipe(
      Scope.provide(scope),
      Effect.orDie
    )
    return { pool, scope }
  })
  // A pool closes once its calls have ended, and gives each up to ten seconds. Nobody waits for that.
  const leave = (scope: Scope.Closeable) => Effect.forkDetach(Scope.close(scope, Exit.void), { startImmediately: true })

  let current = yield* open
  yield* Effect.addFinalizer(() =>
    Effect.suspend(() => leave(current.scope)).pipe(
      Effect.flatMap(Fiber.await),
      Effect.timeoutOption(closingMs)
    )
  )

  const over = (connection: PgConnection.PgConnection): Query => (sql, params, sent) => {
    sent?.()
    return connection.queryValues(sql, params, options.prepare)
  }

  const noteHeard = (exit: Exit.Exit<unknown, SqlError>): void => {
    const error = Exit.findErrorOption(exit)
    if (Exit.isSuccess(exit) || error._tag === "Some" && Failure.codeOf(error.value) !== undefined) {
      heardAt = Monotonic.millisUnsafe(clock)
    }
  }

  return {
    query: (sql, params, sent) =>
      Effect.suspend(() => current.pool.use((connection) => over(connection)(sql, params, sent))).pipe(
        Effect.onExit((exit) => Effect.sync(() => noteHeard(exit)))
      ),
    apart: (use) => Effect.scoped(Effect.flatMap(PgConnection.make(how), (connection) => use(over(connection)))),
    renew: Effect.uninterruptible(Effect.flatMap(open, (next) => {
      const before = current
      current = next
      return Effect.asVoid(leave(before.scope))
    })),
    heardAt: () => heardAt
  }
})
