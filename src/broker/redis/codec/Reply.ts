/**
 * Reads what Redis answers: text, integers and arrays of these.
 *
 * @since 0.1.0
 */

/**
 * An answer that is not what was asked for.
 *
 * @category errors
 * @since 0.1.0
 */
export class UnexpectedReply extends Error {
  constructor(wanted: string, reply: unknown) {
    super(`Redis answered with ${reply === null ? "nothing" : typeof reply} where ${wanted} was expected`)
  }
}

/**
 * Takes a reply that has to be a list.
 *
 * @category readers
 * @since 0.1.0
 */
export const list = (reply: unknown): ReadonlyArray<unknown> => {
  if (Array.isArray(reply)) return reply
  throw new UnexpectedReply("a list", reply)
}

/**
 * Takes a reply that has to be text.
 *
 * @category readers
 * @since 0.1.0
 */
export const text = (reply: unknown): string => {
  if (typeof reply === "string") return reply
  throw new UnexpectedReply("text", reply)
}

/**
 * An integer, also one that comes as text.
 *
 * @category readers
 * @since 0.1.0
 */
export const integer = (reply: unknown): number => {
  const number = typeof reply === "string" ? Number(reply) : reply
  if (typeof number === "number" && Number.isSafeInteger(number)) return number
  throw new UnexpectedReply("an integer", reply)
}

/**
 * The id that a server process has for as long as it runs, from `INFO server`.
 *
 * @category readers
 * @since 0.1.0
 */
export const runId = (info: unknown): string => {
  const id = /^run_id:(\w+)/m.exec(text(info))?.[1]
  if (id !== undefined) return id
  throw new UnexpectedReply("a run_id", info)
}
