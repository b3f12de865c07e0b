/**
 * The folded state of a user's runs as text, saved beside a log that many processes
 * share, and taken up again with the events since.
 *
 * @since 0.2.0
 */
import * as Schema from "effect/Schema"
import { RunId } from "../../protocol/values/Identity.ts"
import * as RunEvents from "../../protocol/event/RunEvents.ts"
import { RunPart, RunSnapshot } from "../../protocol/run/RunSnapshot.ts"
import * as Envelope from "../../protocol/wire/Envelope.ts"
import type { Entry } from "../Log.ts"
import { RunStates } from "./RunStates.ts"

const Saved = Schema.Struct({ since: Schema.Int, offset: Schema.Int, state: RunSnapshot })
const decodeSaved = Schema.decodeUnknownSync(Saved)
const encodeSaved = Schema.encodeUnknownSync(Schema.fromJsonString(Saved))
const decodeRun = Schema.decodeUnknownSync(RunId)

const partTypes: ReadonlySet<unknown> = new Set(RunPart.members.map(({ fields }) => fields.type.literal))

/**
 * A run as it was saved: its state after the event at `offset`, and `since` which
 * offset it is known.
 *
 * @category models
 * @since 0.2.0
 */
export interface SavedRun {
  readonly run: RunId
  readonly since: number
  readonly offset: number
  readonly state: RunSnapshot
}

/**
 * Reads runs from their names and texts, and puts them in order, the oldest first.
 *
 * @category conversions
 * @since 0.2.0
 */
export const read = (
  saved: Iterable<readonly [run: unknown, text: string]>
): ReadonlyArray<SavedRun> =>
  Array.from(saved, ([run, text]) => ({ run: decodeRun(run), ...readOne(text) })).toSorted((a, b) => a.since - b.since)

// A later version's process may have saved parts of types that this one does not know: they are left out, as by devices.
const readOne = (text: string): typeof Saved.Type => {
  const saved: { readonly state: { readonly parts: ReadonlyArray<{ readonly type?: unknown }> } } = JSON.parse(text)
  return decodeSaved({
    ...saved,
    state: { ...saved.state, parts: saved.state.parts.filter(({ type }) => partTypes.has(type)) }
  })
}

// What was read from JSON text is JSON; that it is an object is left to see.
const isJsonObject = (json: unknown): json is Schema.JsonObject =>
  typeof json === "object" && json !== null && !Array.isArray(json)

const noData: Schema.JsonObject = {}

const toData = (body: string): Schema.JsonObject => {
  const wire: { readonly data?: unknown } = JSON.parse(`{${body}`)
  if (isJsonObject(wire.data)) return wire.data
  throw new Error(`an event with its data was expected, and found was ${body.slice(0, 200)}`)
}

/**
 * The runs as they were saved, with the events since folded in. With `only` it is
 * that run alone. It throws where an event cannot be read.
 *
 * @category conversions
 * @since 0.2.0
 */
export const fold = (
  maxRuns: number,
  saved: ReadonlyArray<SavedRun>,
  since: ReadonlyArray<Pick<Entry, "at" | "body" | "offset" | "run" | "thread" | "type">>,
  only?: RunId
): RunStates => {
  const runs = new RunStates(maxRuns)
  for (const { offset, run, since, state } of saved) runs.restore(run, since, offset, state)
  for (const { at, body, offset, run, thread, type } of since) {
    if (run === undefined || (only !== undefined && run !== only)) continue
    const keep = RunEvents.isFolded(type) ? undefined : Envelope.keepIn(body)
    runs.apply(run, type, RunEvents.isFolded(type, keep) ? toData(body) : noData, at, offset, thread, keep)
  }
  return runs
}

/**
 * What has to be saved of runs that were folded on from the offset `checkpoint`: names
 * and texts of those that changed, and those of the saved that are forgotten.
 *
 * @category conversions
 * @since 0.2.0
 */
export const changes = (
  runs: RunStates,
  saved: ReadonlyArray<SavedRun>,
  checkpoint: number
): {
  readonly changed: ReadonlyArray<readonly [run: RunId, text: string]>
  readonly forgotten: ReadonlyArray<RunId>
} => ({
  changed: Array.from(runs.entries()).flatMap(([run, { fold, offset, since }]) =>
    offset > checkpoint ? [[run, encodeSaved({ since, offset, state: fold.snapshot() })] as const] : []
  ),
  forgotten: saved.flatMap(({ run }) => runs.has(run) ? [] : [run])
})
