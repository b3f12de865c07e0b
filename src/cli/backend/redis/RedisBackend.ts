/**
 * The Redis broker as the command line needs it.
 *
 * @since 0.2.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as RedisBroker from "../../../broker/redis/RedisBroker.ts"
import * as RedisKeys from "../../../broker/redis/codec/Keys.ts"
import * as LogState from "../../../broker/redis/codec/LogState.ts"
import * as Reply from "../../../broker/redis/codec/Reply.ts"
import { type Client, connectApart, saysNothing } from "../../../broker/redis/connection/Client.ts"
import * as Options from "../../../broker/redis/connection/Options.ts"
import { toBrokerError } from "../../../broker/redis/connection/RedisFailure.ts"
import type { ConfigError } from "../../../protocol/settings/ConfigError.ts"
import { UserId } from "../../../protocol/values/Identity.ts"
import { Failed, ofBroker } from "../../output/Failed.ts"
import { fault, type Finding, ok } from "../../output/Finding.ts"
import { type Backend, layerRefused, retentionOf, type Sought, type Taken } from "../Backend.ts"
import * as RedisChecks from "./RedisChecks.ts"

const options = Effect.flatMap(Options.read(Options.config), Options.decode)

const connect = (server: Options.ServerOptions) => {
  const limitMs = 2 * Duration.toMillis(server.silence)
  return connectApart({
    name: "effect-emitter",
    url: server.url,
    silence: server.silence,
    scriptLoaded: () => undefined
  }).pipe(
    Effect.timeoutOrElse({ duration: limitMs, orElse: () => Effect.fail(saysNothing("connect", limitMs)) })
  )
}

const checksOf = (server: Options.ServerOptions): Effect.Effect<ReadonlyArray<Finding>> =>
  connect(server).pipe(
    Effect.flatMap(({ client }) =>
      RedisChecks.checks(client, server).pipe(
        Effect.timeoutOrElse({
          duration: 2 * Duration.toMillis(server.silence),
          orElse: () => Effect.fail(saysNothing("ask", 2 * Duration.toMillis(server.silence)))
        })
      )
    ),
    Effect.map((findings) => [ok("connection", "it answers"), ...findings]),
    Effect.catch(({ message, reason }) => {
      // What went wrong with a connection ends with what to do about it.
      const why = reason._tag === "BrokerUnavailable" && reason.cause instanceof Error ? reason.cause.message : message
      return Effect.succeed([fault("connection", `it cannot be used: ${why}`, remedy)])
    }),
    Effect.scoped,
    Effect.map((findings) =>
      findings.map((finding) => ({
        ...finding,
        check: `redis ${finding.check}`,
        message: `${server.name}: ${finding.message}`
      }))
    )
  )

const remedy = "start it, or correct REDIS_URL: address, user and password, database, TLS"

const onServer = <A>(server: Options.ServerOptions, use: (client: Client) => Promise<A>): Effect.Effect<A, Failed> =>
  connect(server).pipe(
    Effect.flatMap(({ client }) =>
      Effect.tryPromise({ try: () => use(client), catch: (cause) => toBrokerError("look", 0, cause) })
    ),
    Effect.scoped,
    Effect.mapError(ofBroker)
  )

// Characters that stand for others in a pattern of SCAN.
const literal = (text: string): string => text.replace(/[*?[\]\\^]/gu, (character) => `\\${character}`)

const perScan = "512"

const partOf = (sought: Sought) =>
  "run" in sought ? { part: "meta", field: sought.run } : { part: "sources", field: sought.source }

const isUser = Schema.is(UserId)

const lookThrough = async (
  client: Client,
  prefix: string,
  sought: Sought,
  seen: (users: number) => void
): Promise<ReadonlyArray<UserId>> => {
  const { field, part } = partOf(sought)
  const found: Array<UserId> = []
  let cursor = "0"
  do {
    const reply = Reply.list(
      await client.sendCommand(["SCAN", cursor, "MATCH", `${literal(prefix)}:{*}:${part}`, "COUNT", perScan])
    )
    cursor = Reply.text(reply[0])
    const keys = Reply.list(reply[1]).map((key) => Reply.text(key))
    const has = await Promise.all(keys.map((key) => client.sendCommand(["HGET", key, field])))
    for (const [index, key] of keys.entries()) {
      const user = key.slice(prefix.length + 2, -(part.length + 2))
      if (has[index] !== null && isUser(user)) found.push(user)
    }
    seen(keys.length)
  } while (cursor !== "0")
  return found
}

const usersOf: Backend["usersOf"] = (sought, seen) =>
  Effect.flatMap(
    options,
    (all) =>
      Effect.forEach(Options.serversOf(all), (server) =>
        onServer(server, async (client) => {
          const users = new Set<UserId>()
          for (const each of sought) {
            for (const user of await lookThrough(client, server.prefix, each, seen)) users.add(user)
          }
          return [...users]
        })).pipe(
          Effect.map((users) => users.flat()),
          Effect.mapError((error) =>
            error.message.includes("NOPERM")
              ? new Failed({
                exit: "usage",
                message: "The Redis user may not look through all keys (SCAN)",
                remedy: "tell whose it is: --user USER"
              })
              : error
          )
        )
  )

const taken = (user: UserId, source: string, sequence: number): Effect.Effect<Taken, ConfigError | Failed> =>
  Effect.flatMap(options, (all) =>
    Effect.map(
      Effect.forEach(Options.serversOf(all), (server) =>
        onServer(server, async (client) => {
          const [, meta = "", sources = ""] = RedisKeys.ofLog(server.prefix, user)
          const [state, field] = await Promise.all([
            client.sendCommand(["HGET", meta, " "]),
            client.sendCommand(["HGET", sources, source])
          ])
          // Its field is older than the log's state, where that tells of it.
          const inState = typeof state === "string" ? LogState.takenOf(state, source) : undefined
          return inState ?? (typeof field === "string" ? field.replace(/^\d+;/u, "") : undefined)
        })),
      (replies) => {
        const known = replies.find((reply) => reply !== undefined)
        if (known === undefined) return "unknown"
        const ranges = Array.from(known.matchAll(/(\d+)-(\d+)/gu))
        return ranges.some(([, from, to]) => Number(from) <= sequence && sequence <= Number(to)) ? "taken" : "free"
      }
    ))

/**
 * Redis, with its settings from the environment.
 *
 * @category constructors
 * @since 0.2.0
 */
export const backend: Backend = {
  layer: RedisBroker.layerConfig().pipe(
    Layer.catchTag("LayoutMismatch", layerRefused)
  ),
  checks: options.pipe(
    Effect.flatMap((all) => Effect.forEach(Options.serversOf(all), checksOf, { concurrency: "unbounded" })),
    Effect.map((findings) => findings.flat()),
    // That its settings are wrong is a finding of its own.
    Effect.catch(() => Effect.succeed([]))
  ),
  usersOf,
  taken,
  retention: Effect.map(options, retentionOf("REDIS"))
}
