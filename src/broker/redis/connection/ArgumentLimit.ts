/**
 * How long an argument of a command may be.
 *
 * A server closes the connection on a longer one, with all that is under way there.
 * So what not every server takes goes over a connection of its own, where it is
 * refused if it is more than this server takes, and harms nobody if the server does
 * not tell.
 *
 * A server has two such limits: `proto-max-bulk-len`, and
 * `client-query-buffer-limit`, which an argument must fit in. How many arguments
 * there are, and how long they are together, is not limited.
 *
 * @since 0.1.0
 */
import { ErrorReply } from "redis"
import * as Reply from "../codec/Reply.ts"

/**
 * The bytes that an argument may have, and the setting of the server that says so.
 *
 * @category models
 * @since 0.1.0
 */
export interface ArgumentLimit {
  readonly bytes: number
  readonly setting: "proto-max-bulk-len" | "client-query-buffer-limit"
}

// The limit of a server that was told nothing else.
const byDefault: ArgumentLimit = { bytes: 512 * 1024 * 1024, setting: "proto-max-bulk-len" }

// What may stand in the buffer beside an argument: a server reads so much at a time.
const beside = 16 * 1024

/**
 * What every server takes: neither setting can be less than 1 MiB.
 *
 * @category constants
 * @since 0.1.0
 */
export const least: ArgumentLimit = { bytes: 1024 * 1024 - beside, setting: "client-query-buffer-limit" }

/**
 * An argument that this server does not take.
 *
 * @category errors
 * @since 0.1.0
 */
export class ArgumentTooLong extends Error {
  readonly size: number
  readonly limit: ArgumentLimit

  constructor(size: number, limit: ArgumentLimit) {
    super(
      `an argument has ${size} bytes, and this server takes ${limit.bytes}: ` +
        `emit less in one event, or raise ${limit.setting} there`
    )
    this.size = size
    this.limit = limit
  }
}

/**
 * Asks a server for its limit. One that does not tell, for want of the right to
 * ask, is taken to have the default one.
 *
 * @category readers
 * @since 0.1.0
 */
export const ask = async (
  client: { readonly sendCommand: (command: Array<string>) => Promise<unknown> }
): Promise<ArgumentLimit> => {
  try {
    return read(await client.sendCommand(["CONFIG", "GET", "proto-max-bulk-len", "client-query-buffer-limit"]))
  } catch (error) {
    if (error instanceof ErrorReply || error instanceof Reply.UnexpectedReply) return byDefault
    throw error
  }
}

const read = (reply: unknown): ArgumentLimit => {
  const flat = Reply.list(reply)
  const valueOf = (setting: ArgumentLimit["setting"], byDefault: number): number => {
    const at = flat.indexOf(setting)
    return at < 0 ? byDefault : Reply.integer(flat[at + 1])
  }
  const bulk: ArgumentLimit = { bytes: valueOf("proto-max-bulk-len", byDefault.bytes), setting: "proto-max-bulk-len" }
  const buffer: ArgumentLimit = {
    bytes: valueOf("client-query-buffer-limit", 2 * byDefault.bytes) - beside,
    setting: "client-query-buffer-limit"
  }
  return bulk.bytes <= buffer.bytes ? bulk : buffer
}

/**
 * The bytes of the first argument that has more than so many, or `undefined`.
 *
 * @category checks
 * @since 0.1.0
 */
export const longerThan = (bytes: number, args: ReadonlyArray<string>): number | undefined => {
  for (const arg of args) {
    // A character has three bytes at most, so nearly none need be counted.
    if (arg.length * 3 <= bytes) continue
    const size = Buffer.byteLength(arg)
    if (size > bytes) return size
  }
  return undefined
}
