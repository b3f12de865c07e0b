/**
 * Keeps versions apart that write keys of another layout.
 *
 * What one of them wrote the other would misread, so both over one server and
 * prefix would lose events. The version is written down with the first
 * connection, and looked at with each.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import type { Client } from "../connection/Client.ts"
import * as RedisKeys from "./Keys.ts"
import * as Reply from "./Reply.ts"
import * as RedisScript from "../scripts/Script.ts"

/**
 * A server holds keys under `prefix` that another version of this package wrote,
 * in the layout `found`; this one reads and writes the layout `expected`.
 *
 * @category errors
 * @since 0.1.0
 */
export class LayoutMismatch extends Schema.TaggedError<LayoutMismatch>()("LayoutMismatch", {
  server: Schema.String,
  prefix: Schema.String,
  found: Schema.String,
  expected: Schema.String
}) {
  override get message() {
    return `Redis at ${this.server} has keys of layout ${this.found} under the prefix "${this.prefix}", ` +
      `and this version needs layout ${this.expected}: choose another prefix or database, ` +
      "or stop all processes of the other version and delete its keys"
  }
}

// Before versions were written down there were leases. A server without memory may refuse the write, and gets it later.
const readLayout = RedisScript.make(`
local found = redis.call('GET', KEYS[1])
if found then return found end
if redis.call('EXISTS', KEYS[2]) == 1 then return '1' end
redis.pcall('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return ARGV[1]
`)

/**
 * The version that a server has, which it gets if it has none. It is kept for
 * `keepMs` milliseconds after the last process has gone.
 *
 * @category readers
 * @since 0.1.0
 */
export const read = async (client: Client, prefix: string, keepMs: number): Promise<string> => {
  const keys = [RedisKeys.ofLayout(prefix), RedisKeys.ofLeases(prefix, "").alive]
  return Reply.text(await RedisScript.run(client, readLayout, keys, [RedisKeys.layout, String(keepMs)]))
}
