/**
 * Decodes what a reader of a log gets, by a catalog.
 *
 * @since 0.2.0
 */
import * as Schema from "effect/Schema"
import type { AnyDefinition, Catalog } from "../protocol/event/Event.ts"
import { decoder, type Received, type Unknown } from "../protocol/event/ReceivedEvent.ts"
import { toJson } from "../protocol/wire/Envelope.ts"
import { WireEvent } from "../protocol/wire/Frame.ts"
import type { Entry } from "./Log.ts"

/**
 * Makes the function that decodes an entry of an epoch. An event that the catalog
 * does not know has the type `$unknown`.
 *
 * @category constructors
 * @since 0.2.0
 */
export const entryDecoder = <D extends AnyDefinition>(
  catalog: Catalog<D>
): (epoch: string, entry: Entry) => Received<D> => {
  const decode = decoder(catalog)
  return (epoch, entry) => {
    const wire = readWire(toJson(entry.offset, entry.body))
    return wire._tag === "Success" ? decode(epoch, wire.value) : unreadable(epoch, entry)
  }
}

const readWire = Schema.decodeUnknownExit(Schema.fromJsonString(WireEvent))

// What stands in the log was written whole: something else has changed it since.
const unreadable = (epoch: string, { at, confirm, offset, run, thread, type }: Entry): Unknown => ({
  type: "$unknown",
  name: type,
  epoch,
  offset,
  id: "",
  at,
  run,
  thread,
  confirm,
  request: undefined,
  trace: undefined,
  payload: {},
  problem: "its text in the log cannot be read"
})
