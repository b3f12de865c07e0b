/**
 * Runs scripts over a user's log, and begins a log anew whose keys disagree: one
 * of them was evicted or deleted, comes from a backup, or is not this package's.
 *
 * @since 0.1.0
 */
import { ErrorReply } from "redis"
import type { Client } from "../connection/Client.ts"
import { mend } from "./MendLua.ts"
import * as RedisScript from "./Script.ts"

/**
 * A call over a log: its `script` with `keys` and `args`, and for beginning the
 * log anew its own keys, the channel of its readers, the new epoch, the server and
 * the time to live in milliseconds.
 *
 * @category models
 * @since 0.1.0
 */
export interface Call {
  readonly script: RedisScript.Script
  readonly keys: ReadonlyArray<string>
  readonly args: ReadonlyArray<string>
  readonly log: {
    readonly keys: ReadonlyArray<string>
    readonly channel: string
    readonly epoch: string
    readonly server: string
    readonly ttl: string
  }
}

/**
 * What a script answered, and why the log was begun anew before, if it was.
 *
 * @category models
 * @since 0.1.0
 */
export interface Answer {
  readonly reply: unknown
  readonly mended: string | undefined
}

// The epoch in which the keys were seen to disagree, and how; without an epoch where a key is of the wrong type.
const tornness = (error: unknown): { readonly epoch: string; readonly why: string } | undefined => {
  if (!(error instanceof ErrorReply)) return undefined
  const [, epoch, why] = /^TORN (\S+) (.*?)(?: script: .*)?$/.exec(error.message) ?? []
  if (epoch !== undefined && why !== undefined) return { epoch, why }
  return error.message.startsWith("WRONGTYPE") ? { epoch: "", why: "a key is of the wrong type" } : undefined
}

/**
 * Runs the script. Where the keys of the log disagree the script has written
 * nothing; then the log is begun anew, and the script is run once more.
 *
 * @category running
 * @since 0.1.0
 */
export const run = async (client: Client, { args, keys, log, script }: Call): Promise<Answer> => {
  try {
    return { reply: await RedisScript.run(client, script, keys, args), mended: undefined }
  } catch (error) {
    const torn = tornness(error)
    if (torn === undefined) throw error
    const { channel, epoch, server, ttl } = log
    const isMended = await RedisScript.run(client, mend, log.keys, [torn.epoch, epoch, server, ttl, channel])
    const reply = await RedisScript.run(client, script, keys, args)
    return { reply, mended: isMended === 1 ? torn.why : undefined }
  }
}
