/**
 * Envelopes as a spool file keeps them: JSON in one line, with a checksum that
 * tells when what is read is not what was written.
 *
 * @since 0.1.0
 */
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { crc32 } from "node:zlib"
import type { Envelope } from "../../protocol/wire/Envelope.ts"
import { DeliveryClass } from "../../protocol/event/Event.ts"
import { EventId, RunId, ThreadId } from "../../protocol/values/Identity.ts"
import { keeps } from "../../protocol/event/RunEvents.ts"
import { plain } from "./SpoolStore.ts"

const StoredEnvelope = Schema.Struct({
  id: EventId,
  source: Schema.NonEmptyString,
  sequence: Schema.Int,
  type: Schema.NonEmptyString,
  delivery: DeliveryClass,
  at: Schema.Int,
  run: Schema.optionalKey(RunId),
  thread: Schema.optionalKey(ThreadId),
  confirm: Schema.Boolean,
  keep: Schema.optionalKey(Schema.Literals(keeps)),
  body: Schema.NonEmptyString,
  bytes: Schema.Natural,
  data: Schema.JsonObject
})

const decode = Schema.decodeUnknownOption(Schema.fromJsonString(StoredEnvelope))

/**
 * Writes an envelope as JSON, in one line.
 *
 * @category conversions
 * @since 0.1.0
 */
export const encodeEnvelope = (envelope: Envelope): string => JSON.stringify(plain(envelope))

/**
 * Reads an envelope; `None` when the text is none.
 *
 * @category conversions
 * @since 0.1.0
 */
export const decodeEnvelope = (text: string): Option.Option<Envelope> =>
  Option.map(decode(text), (stored) => ({ ...stored, run: stored.run, thread: stored.thread, keep: stored.keep }))

/**
 * The checksum of a text that is kept for a user.
 *
 * @category conversions
 * @since 0.1.0
 */
export const checksum = (user: string, text: string): number => crc32(text, crc32(`${user}\n`))

/**
 * A batch as it is kept: a line for each event, its checksum before its JSON, so
 * that what spoils one costs no other.
 *
 * @category conversions
 * @since 0.1.0
 */
export const encodeBatch = (user: string, batch: ReadonlyArray<Envelope>): string =>
  batch.map((envelope) => {
    const text = encodeEnvelope(envelope)
    return `${checksum(user, text)} ${text}`
  }).join("\n")

/**
 * The events of a batch, each as it was written, or the text that stands in its
 * place.
 *
 * @category conversions
 * @since 0.1.0
 */
export const decodeBatch = (user: string, batch: string): ReadonlyArray<Envelope | string> =>
  batch.split("\n").map((line) => {
    const space = line.indexOf(" ")
    const text = line.slice(space + 1)
    if (line.slice(0, space) !== String(checksum(user, text))) return line
    return Option.getOrElse(decodeEnvelope(text), () => line)
  })
