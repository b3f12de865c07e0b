/**
 * A Lua script, run by its hash. A server that does not know the script, new or
 * restarted, gets it anew within the same call.
 *
 * @since 0.1.0
 */
import { ErrorReply } from "redis"
import { createHash } from "node:crypto"
import type { Client } from "../connection/Client.ts"

/**
 * A script, and the hash that a server knows it by.
 *
 * @category models
 * @since 0.1.0
 */
export interface Script {
  readonly lua: string
  readonly sha1: string
}

/**
 * Makes a script of its text.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (lua: string): Script => ({ lua, sha1: createHash("sha1").update(lua).digest("hex") })

/**
 * Runs a script. All keys must carry the same hash tag.
 *
 * @category running
 * @since 0.1.0
 */
export const run = async (
  client: Client,
  script: Script,
  keys: ReadonlyArray<string>,
  args: ReadonlyArray<string>
): Promise<unknown> => {
  const rest = [String(keys.length), ...keys, ...args]
  try {
    return await client.sendCommand(["EVALSHA", script.sha1, ...rest])
  } catch (error) {
    if (!(error instanceof ErrorReply) || !error.message.startsWith("NOSCRIPT")) throw error
    client.scriptLoaded()
    return client.sendCommand(["EVAL", script.lua, ...rest])
  }
}
