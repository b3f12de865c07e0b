/**
 * How folded runs are written in Redis, and read again.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { RunId } from "../protocol/Identity.ts"
import { RunSnapshot } from "../protocol/RunSnapshot.ts"
import { BrokerError, BrokerRefused } from "./Broker.ts"
import * as RedisBlock from "./RedisBlock.ts"
import * as Reply from "./RedisReply.ts"
import { Runs } from "./Runs.ts"

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
 * The runs as they were saved at a checkpoint, with the events since folded in:
 * those in the blocks `tail` past the offset `checkpoint`.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toRuns = (maxRuns: number, saved: unknown, tail: unknown, checkpoint: number): Runs => {
  const runs = new Runs(maxRuns)
  for (const { run, since, offset, state } of toSaved(saved)) runs.restore(run, since, offset, state)
  for (const { at, body, offset, run, type } of RedisBlock.entriesIn(tail, checkpoint)) {
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
