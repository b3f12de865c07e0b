/**
 * What is noted of a user beside the log, and told to those who read: how many
 * there are, what a device has handled, that access was revoked, that events are
 * late. And the canary, which does for nobody what an append needs.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { Broker, BrokerError } from "../../Broker.ts"
import * as RedisKeys from "../codec/Keys.ts"
import * as Reply from "../codec/Reply.ts"
import type { Connection } from "../connection/Connection.ts"
import type { ServerOptions } from "../connection/Options.ts"
import * as LogRepair from "../scripts/LogRepair.ts"
import {
  acknowledge as acknowledgeScript,
  countReaders,
  late as lateScript,
  revoke as revokeScript
} from "../scripts/PresenceLua.ts"
import * as RedisScript from "../scripts/Script.ts"
import type { LogCaller } from "./LogCaller.ts"

/**
 * The part of a broker that tells of a user beside the log: readers,
 * acknowledgements, revocations, emitters that are late.
 *
 * @category models
 * @since 0.1.0
 */
export type UserSignals =
  & Pick<Broker["Service"], "readers" | "acknowledge" | "revoke">
  & Required<Pick<Broker["Service"], "late" | "canary">>

// How long what a canary writes stays there.
const canaryMs = "10000"

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
  logs: LogCaller
): UserSignals => {
  const { prefix } = options

  const run = (
    operation: string,
    script: RedisScript.Script,
    key: string,
    args: ReadonlyArray<string>
  ): Effect.Effect<unknown, BrokerError> =>
    connection.call(operation, ({ client }) => RedisScript.run(client, script, [key], args))

  return {
    readers: (user) =>
      connection.call(
        "readers",
        async ({ client }) =>
          Reply.integer(await RedisScript.run(client, countReaders, [RedisKeys.ofReaders(prefix, user)], []))
      ),
    acknowledge: (user, { epoch, offset }) =>
      Effect.asVoid(connection.call("acknowledge", ({ client, server }) => {
        const log = logs.mending(user, server)
        const args = [epoch, String(offset), log.channel]
        return LogRepair.run(client, { script: acknowledgeScript, keys: log.keys.slice(1, 2), args, log })
      })),
    revoke: (user) =>
      Effect.asVoid(run("revoke", revokeScript, RedisKeys.ofRevoked(prefix, user), [
        RedisKeys.ofChannel(options, user),
        String(Duration.toMillis(options.revocationMemory))
      ])),
    late: (user, by, forMs) =>
      Effect.asVoid(run("late", lateScript, RedisKeys.ofLate(prefix, user), [
        by,
        String(Math.round(forMs)),
        RedisKeys.ofChannel(options, user)
      ])),
    // A write, since a server that is out of memory or read-only answers whoever reads.
    canary: () =>
      Effect.asVoid(
        connection.call("canary", ({ client }) =>
          client.sendCommand(["SET", RedisKeys.ofCanary(prefix), node, "PX", canaryMs]))
      )
  }
}
