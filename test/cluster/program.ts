/**
 * What the processes of a cluster under test share: what they are told, and how they come and go.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Cause, Config, Effect, Exit, Layer, Logger, type Redacted } from "effect"
import { flushCompileCache } from "node:module"
import * as Authenticator from "../../src/gateway/authentication/Authenticator.ts"
import type * as Broker from "../../src/broker/Broker.ts"
import { options } from "./settings.ts"

/** Names the process, and the server that it reaches through a proxy of its own. */
export const settings = Config.all({
  name: Config.String("NODE_NAME"),
  url: Config.String("BROKER_URL")
})

const { prefix, ...shared } = options

const redis = Effect.fnUntraced(function*(url: string) {
  const { RedisBroker } = yield* Effect.promise(() => import("../../src/broker/redis/index.ts"))
  return RedisBroker.layer({ ...options, url, trustRestarts: true })
})

const postgres = Effect.fnUntraced(function*(url: string) {
  const { PostgresBroker } = yield* Effect.promise(() => import("../../src/broker/postgres/index.ts"))
  return PostgresBroker.layer({ ...shared, url, schema: prefix, migrate: true })
})

/**
 * The broker of a process, over Redis or Postgres as the URL says: no process loads both. A Redis that keeps all is trusted
 * when it restarts.
 */
export const brokerLayer = (
  url: string
): Layer.Layer<
  Broker.Broker,
  Layer.Error<
    Effect.Success<ReturnType<typeof redis | typeof postgres>>
  >
> => url.startsWith("redis:") ? Layer.unwrap(redis(url)) : Layer.unwrap(postgres(url))

/** Who the devices of a cluster under test are. */
export const authenticatorLayer = (secret: Redacted.Redacted) =>
  Authenticator.layerJwt({ secret, issuer: "tests", audience: "events" })

/**
 * Lets the wall clock of this process step at SIGWINCH: it is off by `stepsMs` in turn, over and over. What is monotonic,
 * timers among it, goes on.
 */
export const stepWallClock = (stepsMs: readonly [number, ...Array<number>]): void => {
  const now = Date.now
  let offMs = 0
  let steps = 0
  Date.now = () => now() + offMs
  process.on("SIGWINCH", () => {
    offMs = stepsMs[steps++ % stepsMs.length] ?? 0
  })
}

/** Runs until SIGTERM, which ends it with 0, or until its parent is gone. */
export const runChild = <E>(program: Effect.Effect<unknown, E>): void => {
  process.stdin.on("end", () => process.exit(1)).resume()
  // One that is killed later has left to the next what it compiled.
  setTimeout(flushCompileCache, 2_000).unref()
  NodeRuntime.runMain(
    program.pipe(Effect.provide(Logger.layer([Logger.withConsoleError(Logger.formatLogFmt)]))),
    { teardown: (exit, onExit) => onExit(Exit.isSuccess(exit) || Cause.hasInterruptsOnly(exit.cause) ? 0 : 1) }
  )
}
