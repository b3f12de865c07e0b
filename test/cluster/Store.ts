/**
 * The server that a cluster under test keeps its logs in: one real Redis or Postgres.
 */
import { Effect, type Scope } from "effect"
import * as Keys from "../../src/broker/redis/codec/Keys.ts"
import { UserId } from "../../src/protocol/values/Identity.ts"
import { findProgram } from "../support/program.ts"
import { postgresServer } from "../support/postgres.ts"
import type { Draw } from "../support/random.ts"
import { redisServer } from "../support/redis.ts"
import { options, type servers } from "./settings.ts"

export type Kind = typeof servers[number]

/** `urlAt` is where it is found at another port, such as a proxy's. `spoil` makes a user's appends fail for a while. */
export interface Store {
  readonly port: number
  readonly url: string
  readonly urlAt: (port: number) => string
  readonly start: Effect.Effect<void>
  readonly kill: Effect.Effect<void>
  readonly freeze: Effect.Effect<void>
  readonly thaw: Effect.Effect<void>
  readonly spoil: (user: string, draw: Draw, ms: number) => Effect.Effect<void>
}

const programOf = (kind: Kind) => kind === "redis" ? "redis-server" : "postgres"

/** Its program, if that is installed. */
export const find = (kind: Kind): string | undefined => findProgram(programOf(kind))

/** Starts one whose program this is, which keeps every event on its disk. It ends with the scope. */
export const make = (kind: Kind, program: string): Effect.Effect<Store, never, Scope.Scope> =>
  kind === "redis" ? makeRedis(program) : makePostgres(program)

const makeRedis = (program: string) =>
  Effect.map(redisServer(program, { durable: true }), (server): Store => ({
    ...server,
    urlAt: (port) => `redis://127.0.0.1:${port}`,
    // Each append of this user finds a key that is not a log's, and begins the log anew, to find it spoilt again.
    spoil: (user, draw, ms) => {
      const [first, ...others] = Keys.ofLog(options.prefix, UserId.make(user))
      const key = draw.pick([first ?? "", ...others])
      return server.send("SET", key, "spoilt").pipe(
        Effect.exit,
        Effect.delay("20 millis"),
        Effect.forever,
        Effect.timeoutOption(ms),
        Effect.asVoid
      )
    }
  }))

const makePostgres = (program: string) =>
  Effect.map(postgresServer(program, { durable: true }), (server): Store => ({
    ...server,
    urlAt: (port) => `postgres://postgres@127.0.0.1:${port}/postgres`,
    // Each append of this user breaks a rule of the table.
    spoil: (user, _, ms) => {
      // The server may be killed meanwhile.
      const insist = (sql: string): Effect.Effect<void> =>
        Effect.catchCause(Effect.asVoid(server.sql(sql)), () =>
          Effect.andThen(Effect.sleep("100 millis"), Effect.suspend(() => insist(sql))))
      return Effect.ensuring(
        Effect.andThen(
          insist(
            `alter table ${options.prefix}.users drop constraint if exists spoilt, add constraint spoilt check (name <> '${user}') not valid`
          ),
          Effect.sleep(ms)
        ),
        insist(`alter table ${options.prefix}.users drop constraint if exists spoilt`)
      )
    }
  }))
