/**
 * How runs are written in Redis, folded and by where they stand, and read again.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { RunId, ThreadId } from "../../protocol/Identity.ts"
import type { Position } from "../../protocol/Position.ts"
import { RunFold, RunSnapshot } from "../../protocol/RunSnapshot.ts"
import { type BrokerError, RunLost } from "../BrokerError.ts"
import * as RedisBlock from "./Block.ts"
import * as Failure from "./Failure.ts"
import * as Reply from "./Reply.ts"
import { readActive } from "./StandingLua.ts"
import { Runs } from "../Runs.ts"

const Saved = Schema.fromJsonString(Schema.Struct({ since: Schema.Int, offset: Schema.Int, state: RunSnapshot }))
const decodeSaved = Schema.decodeUnknownSync(Saved)
const encodeSaved = Schema.encodeUnknownSync(Saved)
const decodeRun = Schema.decodeUnknownSync(RunId)

const decodeRuns = Schema.decodeUnknownSync(Schema.NonEmptyArray(RunId))
const decodeThread = Schema.decodeUnknownSync(ThreadId)

/**
 * What the append script tells: `left` as in `StandingLua`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Appended {
  readonly position: Position
  readonly isDue: boolean
  readonly left: number
}

/**
 * @category conversions
 * @since 0.1.0
 */
export const toAppended = (reply: unknown): Appended | RunLost | "changed" => {
  const [epoch, ...rest] = Reply.list(reply)
  if (epoch === "?") return "changed"
  if (epoch === "!") return new RunLost({ runs: decodeRuns(rest) })
  const [offset, isDue, , left] = rest
  return {
    position: { epoch: Reply.text(epoch), offset: Reply.integer(offset) },
    isDue: isDue === 1,
    left: Reply.integer(left)
  }
}

/**
 * A run that is active, and its field as it was found.
 *
 * @category models
 * @since 0.1.0
 */
export interface ActiveRun {
  readonly run: RunId
  readonly lease: string
  readonly thread: ThreadId | undefined
  readonly field: string
}

/**
 * The runs that a user's `active` tells of as active.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toActive = (reply: unknown): ReadonlyArray<ActiveRun> => {
  const flat = Reply.list(reply).map(Reply.text)
  return Array.from({ length: flat.length / 2 }, (_, n) => ({ run: flat[2 * n], field: flat[2 * n + 1] ?? "" }))
    .flatMap(({ field, run }) => {
      const active = readActive(field)
      if (active === undefined) return []
      const thread = active.thread === "" ? undefined : decodeThread(active.thread)
      return [{ run: decodeRun(run), lease: active.lease, thread, field }]
    })
}

// What was read from JSON text is JSON; that it is an object is left to see.
const isJsonObject = (json: unknown): json is Schema.JsonObject =>
  typeof json === "object" && json !== null && !Array.isArray(json)

const noData: Schema.JsonObject = {}

const toData = (body: string): Schema.JsonObject => {
  const wire: { readonly data?: unknown } = JSON.parse(`{${body}`)
  if (isJsonObject(wire.data)) return wire.data
  throw new Reply.UnexpectedReply("an event with its data", body)
}

/**
 * The runs as they were saved at a checkpoint, with the events since folded in:
 * those in the blocks `tail` past the offset `checkpoint`. With `only` it is that
 * run alone.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toRuns = (
  maxRuns: number,
  saved: unknown,
  tail: unknown,
  checkpoint: number,
  only?: RunId
): Runs => {
  const runs = new Runs(maxRuns)
  for (const { run, since, offset, state } of toSaved(saved)) runs.restore(run, since, offset, state)
  for (const { at, body, offset, run, thread, type } of RedisBlock.entriesIn(tail, checkpoint)) {
    if (run === undefined || (only !== undefined && run !== only)) continue
    runs.apply(run, type, RunFold.reads(type) ? toData(body) : noData, at, offset, thread)
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
    catch: (cause) => Failure.refused(operation, cause instanceof Error ? cause.message : String(cause), "user")
  })
