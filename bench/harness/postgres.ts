/**
 * A Postgres of the bench's own. What it commits is on its disk.
 */
import { Effect, type Scope } from "effect"
import { findProgram } from "../../test/support/program.ts"
import { type PostgresServer, postgresServer } from "../../test/support/postgres.ts"

/**
 * Starts it for the time of `use`, and ends it however that ends. What `use` puts into the scope ends before the server does.
 */
export const withPostgres = <A>(
  use: (server: PostgresServer, scope: Scope.Scope) => Promise<A>,
  settings: Readonly<Record<string, string>> = {}
): Promise<A> =>
  Effect.runPromise(Effect.scoped(Effect.gen(function*() {
    const server = yield* postgresServer(findProgram("postgres") ?? "postgres", { durable: true, settings })
    const scope = yield* Effect.scope
    return yield* Effect.promise(() => use(server, scope))
  })))
