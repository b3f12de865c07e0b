/** What a publication, or a block of a stream, holds of events. */
import type { Envelope } from "effect-emitter/protocol"
import * as RedisBlock from "../../../src/broker/redis/codec/Block.ts"

/** The text of headers and bodies of a few events. */
export const eventsOf = ([first, ...rest]: ReadonlyArray<Envelope.Envelope>): string => {
  if (first === undefined) throw new Error("no events")
  const [, , , , , events = ""] = RedisBlock.toArguments([first, ...rest])
  return events
}
