/**
 * Nodes over a Postgres of the test's own.
 */
import { Context, Effect, Layer, Logger, type Scope } from "effect"
import { Broker } from "effect-emitter"
import { PostgresBroker } from "effect-emitter/postgres"
import { findProgram } from "../../support/program.ts"
import { patience } from "../../support/patience.ts"
import { type PostgresOptions, type PostgresServer, postgresServer } from "../../support/postgres.ts"
import { newUser } from "../events.ts"

export const program = findProgram("postgres")

export type NodeOptions = Omit<Parameters<typeof PostgresBroker.layer>[0], "url">

/** A broker of its own, as another process would have it, until the scope closes. */
export const startNode = Effect.fnUntraced(function*(url: string, options: NodeOptions = {}) {
  const layer = PostgresBroker.layer({ url, migrate: true, ...options })
  return Context.get(yield* Layer.build(Layer.fresh(layer)), Broker.Broker)
})

/** A server, and what the test does with it. What the library logs about a broken server is left out. */
export const withServer = <E>(
  options: PostgresOptions,
  body: (server: PostgresServer) => Effect.Effect<void, E, Scope.Scope>,
  seconds = 40
) =>
  Effect.flatMap(Effect.suspend(() => postgresServer(program ?? "postgres", options)), body).pipe(
    Effect.timeout(seconds * patience * 1_000),
    Effect.scoped,
    Effect.provide(Logger.layer([]))
  )

/** A server with a node over it, and a user of whom nothing is kept there. */
export const withNode = <E>(
  postgres: PostgresOptions,
  options: NodeOptions,
  body: (
    over: {
      readonly server: PostgresServer
      readonly broker: Effect.Success<ReturnType<typeof startNode>>
      readonly user: ReturnType<typeof newUser>
    }
  ) => Effect.Effect<void, E, Scope.Scope>
) =>
  withServer(
    postgres,
    (server) => Effect.flatMap(startNode(server.url, options), (broker) => body({ server, broker, user: newUser() }))
  )
