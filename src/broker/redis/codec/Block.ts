/**
 * How events stand in a stream of Redis: many to an entry, since an entry costs
 * a script far more than a further event in one.
 *
 * Such a block has the id `n-0`, where n is the offset of its first event, and
 * the fields `m` (when it was appended in milliseconds, its number of events,
 * and their bytes), `n` (the bytes of each, with an `r` behind those that are of
 * a run) and `e`: a header and a body by turns, each on a line of its own. A
 * header is what a broker must know of the event: its time, its bytes, and a
 * JSON array of the rest; JSON text has no line breaks.
 *
 * @since 0.1.0
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Schema from "effect/Schema"
import * as SchemaJITCompiler from "effect/schema/SchemaJITCompiler"
import type { Envelope } from "../../../protocol/wire/Envelope.ts"
import { DeliveryClass } from "../../../protocol/event/Event.ts"
import { RunId, ThreadId } from "../../../protocol/values/Identity.ts"
import type { Entry } from "../../Broker.ts"
import * as Reply from "./Reply.ts"

const Header = Schema.Tuple([
  Schema.String,
  DeliveryClass,
  Schema.NullOr(RunId),
  Schema.NullOr(ThreadId),
  Schema.Boolean
])
type Header = typeof Header.Type

// It falls back where `new Function` is blocked.
SchemaJITCompiler.enable(Header.ast)
const decodeHeader = Schema.decodeUnknownSync(Schema.fromJsonString(Header))

// Of a run's many events few differ in this part of the header, so most need not be read anew.
const headers = new Map<string, Header>()
const maxHeaders = 4096

const toHeader = (text: string): Header => {
  let header = headers.get(text)
  if (header === undefined) {
    header = decodeHeader(text)
    if (headers.size >= maxHeaders) headers.clear()
    headers.set(text, header)
  }
  return header
}

/**
 * An event that nobody could read again if it were written.
 *
 * @category errors
 * @since 0.1.0
 */
export class UnreadableEvent extends Error {
  constructor({ id }: Envelope, why: string) {
    super(`the event ${id} could not be read again: ${why}`)
  }
}

// A reader that wants part of a block gets all of it.
const maxEvents = 64
const maxBytes = 32 * 1024

/**
 * The arguments to the append script for a batch. For each block: how many
 * stretches of consecutive numbers of one source it has, how many events, their
 * bytes, how many of the first are of no run, the fields `n` and `e`, then for
 * each stretch its source, first number and length.
 *
 * An event that could not be read again is refused with `UnreadableEvent`: written
 * all the same, it would keep its user's devices from all that the log has.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toArguments = (batch: NonEmptyReadonlyArray<Envelope>): Array<string> => {
  const args: Array<string> = []
  for (let at = 0; at < batch.length;) at = pushBlock(args, batch, at)
  return args
}

// Writes one block, and returns where the next begins.
const pushBlock = (args: Array<string>, batch: ReadonlyArray<Envelope>, from: number): number => {
  const stretches: Array<string> = []
  let source: string | undefined
  let next = 0
  let length = 0
  let bytes = 0
  let leading = 0
  let sizes = ""
  let events = ""
  let at = from
  for (; at < batch.length && at - from < maxEvents; at++) {
    const envelope = batch[at]
    if (envelope === undefined || at > from && bytes + envelope.bytes > maxBytes) break
    const event = toText(envelope)
    if (envelope.source !== source || envelope.sequence !== next) {
      if (source !== undefined) stretches.push(String(length))
      source = envelope.source
      stretches.push(source, String(envelope.sequence))
      length = 0
    }
    next = envelope.sequence + 1
    length++
    bytes += envelope.bytes
    if (envelope.run === undefined && leading === at - from) leading++
    sizes += envelope.run === undefined ? `${envelope.bytes} ` : `${envelope.bytes}r `
    events += at === from ? event : `\n${event}`
  }
  stretches.push(String(length))
  args.push(
    String(stretches.length / 3),
    String(at - from),
    String(bytes),
    String(leading),
    sizes,
    events,
    ...stretches
  )
  return at
}

// The header and the body of an event, if they can be read again.
const toText = (envelope: Envelope): string => {
  const { at, body, bytes, confirm, delivery, run, sequence, source, thread, type } = envelope
  for (const [name, number] of [["at", at], ["bytes", bytes], ["sequence", sequence]] as const) {
    if (!Number.isSafeInteger(number) || number < 0) {
      throw new UnreadableEvent(envelope, `its ${name} is no whole number from 0`)
    }
  }
  if (typeof body !== "string" || body.includes("\n")) {
    throw new UnreadableEvent(envelope, "its body is no text of one line")
  }
  if (typeof source !== "string" || source.trim() === "") throw new UnreadableEvent(envelope, "it has no source")
  if (source.includes("\n")) throw new UnreadableEvent(envelope, "its source is no text of one line")
  const header = JSON.stringify([type, delivery, run ?? null, thread ?? null, confirm])
  try {
    toHeader(header)
  } catch (error) {
    throw new UnreadableEvent(envelope, error instanceof Error ? error.message : String(error))
  }
  return `${at} ${bytes} ${header}\n${body}`
}

/**
 * How the body of an event begins, which tells it from every other.
 *
 * @category conversions
 * @since 0.1.0
 */
export const bodyStart = ({ id }: Envelope): string => `"id":${JSON.stringify(id)},`

/**
 * What a header tells of its event.
 *
 * @category models
 * @since 0.2.0
 */
export type About = Omit<Entry, "offset" | "body" | "written">

/**
 * Reads a header.
 *
 * @category conversions
 * @since 0.2.0
 */
export const toAbout = (line: string): About => {
  const afterTime = line.indexOf(" ")
  const afterBytes = line.indexOf(" ", afterTime + 1)
  const [type, delivery, run, thread, confirm] = toHeader(line.slice(afterBytes + 1))
  return {
    type,
    delivery,
    at: Reply.integer(line.slice(0, afterTime)),
    run: run ?? undefined,
    thread: thread ?? undefined,
    confirm,
    bytes: Reply.integer(line.slice(afterTime + 1, afterBytes))
  }
}

// The events of a text of headers and bodies, the first of which has the offset `first`.
const toEntries = (text: string, first: number): Array<Entry> => {
  const lines = text.split("\n")
  const entries: Array<Entry> = []
  for (let at = 0; at < lines.length; at += 2) {
    const { at: time, bytes, confirm, delivery, run, thread, type } = toAbout(Reply.text(lines[at]))
    const body = Reply.text(lines[at + 1])
    entries.push({ offset: first + at / 2, type, delivery, at: time, run, thread, confirm, body, bytes })
  }
  return entries
}

/**
 * The events past the offset `after` in blocks as Redis gives them.
 *
 * @category conversions
 * @since 0.1.0
 */
export const entriesIn = (blocks: unknown, after: number): Array<Entry> =>
  Reply.list(blocks).flatMap((block) => {
    const [id, fields] = Reply.list(block)
    const first = Number.parseInt(Reply.text(id), 10)
    const entries = toEntries(Reply.text(Reply.list(fields)[5]), first)
    return first > after ? entries : entries.slice(after + 1 - first)
  })
