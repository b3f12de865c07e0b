/**
 * Which commands a Redis user needs the right to, and which of them one lacks.
 *
 * @since 0.2.0
 */
import { ErrorReply } from "redis"
import type { Client } from "../../../broker/redis/connection/Client.ts"

// Each command in a form that does no harm: on a key of nobody, which is deleted at the end.
const probesOf = (key: string, channel: string): ReadonlyArray<readonly [right: string, ...args: Array<string>]> => [
  ["ping", "PING"],
  ["info", "INFO", "server"],
  ["config|get", "CONFIG", "GET", "proto-max-bulk-len"],
  ["client|setname", "CLIENT", "SETNAME", "effect-emitter"],
  ["time", "TIME"],
  ["eval", "EVAL", "return 1", "0"],
  ["evalsha", "EVALSHA", "0".repeat(40), "0"],
  ["publish", "PUBLISH", channel, ""],
  ["get", "GET", key],
  ["exists", "EXISTS", key],
  ["type", "TYPE", key],
  ["pttl", "PTTL", key],
  ["pexpire", "PEXPIRE", key, "1000"],
  ["hget", "HGET", key, "f"],
  ["hmget", "HMGET", key, "f"],
  ["hgetall", "HGETALL", key],
  ["hvals", "HVALS", key],
  ["hrandfield", "HRANDFIELD", key],
  ["hlen", "HLEN", key],
  ["hset", "HSET", key, "f", "1"],
  ["hdel", "HDEL", key, "f"],
  ["xadd", "XADD", key, "*", "f", "1"],
  ["xrange", "XRANGE", key, "-", "+"],
  ["xrevrange", "XREVRANGE", key, "+", "-"],
  ["xlen", "XLEN", key],
  ["xtrim", "XTRIM", key, "MAXLEN", "0"],
  ["del", "DEL", key],
  ["zadd", "ZADD", key, "1", "m"],
  ["zscore", "ZSCORE", key, "m"],
  ["zrange", "ZRANGE", key, "0", "-1"],
  ["zrem", "ZREM", key, "m"],
  ["del", "DEL", key],
  ["set", "SET", key, "1", "PX", "1000"],
  ["del", "DEL", key]
]

/**
 * The rights that are looked for, as an access list names them; those to subscribe
 * among them.
 *
 * @category constants
 * @since 0.2.0
 */
export const needed: ReadonlyArray<string> = [
  ...new Set(probesOf("", "").map(([right]) => right)),
  "subscribe",
  "unsubscribe"
]

/**
 * What a user may not do: commands, `keys` of the prefix, `channels` of it.
 *
 * @category models
 * @since 0.2.0
 */
export interface Missing {
  readonly commands: ReadonlyArray<string>
  readonly keys: boolean
  readonly channels: boolean
}

/**
 * Tries each right on a key and a channel of the prefix.
 *
 * @category operations
 * @since 0.2.0
 */
export const missing = async (client: Client, prefix: string, name: string): Promise<Missing> => {
  const key = `${prefix}:{effect-emitter-doctor}:${name}`
  const channel = `${key}:wake`
  const commands = new Set<string>()
  const refused = { keys: false, channels: false }
  const attempt = async (right: string, send: () => Promise<unknown>) => {
    try {
      await send()
    } catch (error) {
      if (!(error instanceof ErrorReply)) throw error
      if (!error.message.startsWith("NOPERM")) return
      if (/\bkey/u.test(error.message)) refused.keys = true
      else if (/\bchannel/u.test(error.message)) refused.channels = true
      else commands.add(right)
    }
  }
  for (const [right, ...args] of probesOf(key, channel)) await attempt(right, () => client.sendCommand(args))
  await attempt("subscribe", () => client.subscribe([channel], () => undefined))
  await attempt("unsubscribe", () => client.unsubscribe([channel]))
  return { commands: [...commands], ...refused }
}
