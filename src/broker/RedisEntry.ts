/**
 * How events and folded runs are written in Redis, and read again.
 *
 * An event has a header, a JSON array of what a broker must know of it, and its
 * body as it was emitted.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as SchemaJITCompiler from "effect/schema/SchemaJITCompiler"
import type { Envelope } from "../protocol/Envelope.ts"
import { DeliveryClass } from "../protocol/Event.ts"
import { RunId, ThreadId } from "../protocol/Identity.ts"
import { RunSnapshot } from "../protocol/RunSnapshot.ts"
import { BrokerError, BrokerRefused, type Entry } from "./Broker.ts"
import * as Reply from "./RedisReply.ts"
import { Runs } from "./Runs.ts"

const Header = Schema.Tuple([
  Schema.String,
  DeliveryClass,
  Schema.Int,
  Schema.NullOr(RunId),
  Schema.NullOr(ThreadId),
  Schema.Boolean,
  Schema.Int
])

// Each entry that is read goes through it. It falls back where `new Function` is blocked.
SchemaJITCompiler.enable(Header.ast)
const decodeHeader = Schema.decodeUnknownSync(Header)

/**
 * An event's arguments to the append script.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toArguments = (envelope: Envelope): ReadonlyArray<string> => {
  const { at, body, bytes, confirm, delivery, run, sequence, source, thread, type } = envelope
  const header = JSON.stringify([type, delivery, at, run ?? null, thread ?? null, confirm, bytes])
  return [source, String(sequence), run === undefined ? "0" : "1", String(bytes), header, body]
}

/**
 * How the body of an event begins, which tells it from every other.
 *
 * @category conversions
 * @since 0.1.0
 */
export const bodyStart = ({ id }: Envelope): string => `"id":${JSON.stringify(id)},`

const toEntry = (reply: unknown): Entry => {
  const [id, fields] = Reply.list(reply)
  const [, , , , , header, , body] = Reply.list(fields)
  const [type, delivery, at, run, thread, confirm, bytes] = decodeHeader(JSON.parse(Reply.text(header)))
  return {
    offset: Number.parseInt(Reply.text(id), 10),
    type,
    delivery,
    at,
    run: run ?? undefined,
    thread: thread ?? undefined,
    confirm,
    body: Reply.text(body),
    bytes
  }
}

/**
 * @category conversions
 * @since 0.1.0
 */
export const toEntries = (reply: unknown): ReadonlyArray<Entry> => Reply.list(reply).map(toEntry)

const Saved = Schema.fromJsonString(Schema.Struct({ since: Schema.Int, offset: Schema.Int, state: RunSnapshot }))
const decodeSaved = Schema.decodeUnknownSync(Saved)
const encodeSaved = Schema.encodeUnknownSync(Saved)
const decodeRun = Schema.decodeUnknownSync(RunId)

// What was read from JSON text is JSON; that it is an object is left to see.
const isJsonObject = (json: unknown): json is Schema.JsonObject =>
  typeof json === "object" && json !== null && !Array.isArray(json)

const toData = (body: string): Schema.JsonObject => {
  const wire: { readonly data?: unknown } = JSON.parse(`{${body}`)
  if (isJsonObject(wire.data)) return wire.data
  throw new Reply.UnexpectedReply("an event with its data", body)
}

/**
 * The runs as they were saved at a checkpoint, with the events since folded in.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toRuns = (maxRuns: number, saved: unknown, tail: unknown): Runs => {
  const runs = new Runs(maxRuns)
  for (const { run, since, offset, state } of toSaved(saved)) runs.restore(run, since, offset, state)
  for (const { at, body, offset, run, type } of toEntries(tail)) {
    if (run !== undefined) runs.apply(run, type, toData(body), at, offset)
  }
  return runs
}

const toSaved = (reply: unknown) => {
  const flat = Reply.list(reply)
  return Array.from({ length: flat.length / 2 }, (_, n) => ({
    run: decodeRun(flat[2 * n]),
    ...decodeSaved(flat[2 * n + 1])
  })).toSorted((a, b) => a.since - b.since)
}

/**
 * The arguments to the checkpoint script that save what changed since the
 * checkpoint `before`.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toCheckpoint = (runs: Runs, saved: unknown, before: number): ReadonlyArray<string> => {
  const forgotten = toSaved(saved).flatMap(({ run }) => runs.has(run) ? [] : [run])
  const changed = Array.from(runs.entries()).flatMap(([run, { fold, offset, since }]) =>
    offset > before ? [run, encodeSaved({ since, offset, state: fold.snapshot() })] : []
  )
  return [String(forgotten.length), ...forgotten, ...changed]
}

/**
 * Reads an answer; what cannot be read is refused.
 *
 * @category conversions
 * @since 0.1.0
 */
export const read = <A>(operation: string, decode: () => A): Effect.Effect<A, BrokerError> =>
  Effect.try({
    try: decode,
    catch: (cause) =>
      new BrokerError({
        reason: new BrokerRefused({ operation, detail: cause instanceof Error ? cause.message : String(cause) })
      })
  })
