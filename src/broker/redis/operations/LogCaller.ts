/**
 * Calls scripts over a user's log, and reads what they answer.
 *
 * Each call may find that there is no log yet, or that it is of another time than
 * the server: then the log goes on under a new epoch, which is made here. Answers
 * that cannot be read are refused.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { UserId } from "../../../protocol/values/Identity.ts"
import type { Position } from "../../../protocol/values/Position.ts"
import type { BrokerError, PullLimits } from "../../Broker.ts"
import * as RedisEntry from "../codec/Entry.ts"
import * as RedisKeys from "../codec/Keys.ts"
import type { Connection } from "../connection/Connection.ts"
import type { ServerOptions } from "../connection/Options.ts"
import type { RedisMetrics } from "../Metrics.ts"
import * as LogRepair from "../scripts/LogRepair.ts"
import type { Script } from "../scripts/Script.ts"
import { view as viewScript } from "../scripts/ViewLua.ts"

/**
 * What of a log is wanted: the events past a position, within limits, and whether
 * runs come without a gap as well (`all`, `none`, or `=` and the id of one).
 *
 * @category models
 * @since 0.1.0
 */
export interface Wanted {
  readonly after: Position
  readonly limits: PullLimits
  readonly runs: string
}

/**
 * Nothing but the head.
 *
 * @category constants
 * @since 0.1.0
 */
export const onlyHead: Wanted = { after: { epoch: "", offset: 0 }, limits: { maxEvents: 0, maxBytes: 0 }, runs: "none" }

/**
 * The head and all runs.
 *
 * @category constants
 * @since 0.1.0
 */
export const onlyRuns: Wanted = { ...onlyHead, runs: "all" }

/**
 * - `call` runs a script over a user's log, which may take more of the user's keys.
 * - `view` looks at a log, `viewAs` reads what was seen.
 * - `mending` tells how to begin a user's log anew on this server, should its keys
 *   disagree.
 *
 * @category models
 * @since 0.1.0
 */
export interface LogCaller {
  readonly call: <A extends { readonly log: Position | undefined }>(
    operation: string,
    script: Script,
    user: UserId,
    args: ReadonlyArray<string>,
    decode: (reply: unknown) => A,
    moreKeys?: ReadonlyArray<string>
  ) => Effect.Effect<A, BrokerError>
  readonly view: (operation: string, user: UserId, wanted: Wanted) => Effect.Effect<RedisEntry.LogView, BrokerError>
  readonly viewAs: <A>(
    operation: string,
    user: UserId,
    wanted: Wanted,
    decode: (view: RedisEntry.LogView) => A
  ) => Effect.Effect<A, BrokerError>
  readonly mending: (user: UserId, server: string) => LogRepair.Call["log"]
}

/**
 * `node` names this process.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (
  options: ServerOptions,
  node: string,
  connection: Connection,
  metrics: RedisMetrics
): LogCaller => {
  const { maxBytes, maxEvents, prefix } = options
  const ttl = String(RedisKeys.ttlMs(options))
  const bounds = [maxEvents, maxBytes, Math.ceil(Duration.toMillis(options.maxAge))]
    .map((bound) => Math.min(bound, Number.MAX_SAFE_INTEGER))
  const limits = [ttl, ...bounds].join(" ")
  let epochs = 0
  const nextEpoch = () => `${node}-${(epochs++).toString(36)}`
  const serverOf = (server: string): string => options.trustRestarts ? "any" : server

  const mending: LogCaller["mending"] = (user, server) => ({
    keys: RedisKeys.ofLog(prefix, user),
    channel: RedisKeys.ofChannel(options, user),
    epoch: nextEpoch(),
    server: serverOf(server),
    ttl
  })

  const call: LogCaller["call"] = (operation, script, user, args, decode, moreKeys = []) =>
    Effect.suspend(() => {
      const epoch = nextEpoch()
      return connection.call(operation, ({ client, server }) => {
        const log = mending(user, server)
        return LogRepair.run(client, {
          script,
          keys: [...log.keys, ...moreKeys],
          args: [epoch, `${log.server} ${limits}`, ...args],
          log
        })
      }).pipe(
        Effect.tap(({ mended }) =>
          mended === undefined
            ? Effect.void
            : Effect.logWarning(`The log of user ${user} was begun anew, since its keys in Redis disagreed: ${mended}`)
        ),
        Effect.flatMap(({ reply }) => RedisEntry.read(operation, () => decode(reply))),
        Effect.tap(({ log }) =>
          Effect.sync(() => {
            if (log?.epoch === epoch) metrics.epochBegun(log.offset === 0 ? "new" : "kept")
          })
        )
      )
    })

  const view: LogCaller["view"] = (operation, user, { after, limits, runs }) =>
    call(operation, viewScript, user, [
      after.epoch,
      String(after.offset),
      String(Math.min(limits.maxEvents, Number.MAX_SAFE_INTEGER)),
      String(Math.min(limits.maxBytes, Number.MAX_SAFE_INTEGER)),
      runs
    ], RedisEntry.toLogView)

  return {
    call,
    view,
    viewAs: (operation, user, wanted, decode) =>
      Effect.flatMap(view(operation, user, wanted), (seen) => RedisEntry.read(operation, () => decode(seen))),
    mending
  }
}
