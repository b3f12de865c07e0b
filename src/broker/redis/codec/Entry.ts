/**
 * How runs are written in Redis, folded and by where they stand, and read again.
 *
 * @since 0.1.0
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { RunId, ThreadId } from "../../../protocol/values/Identity.ts"
import * as Position from "../../../protocol/values/Position.ts"
import { RunSnapshot } from "../../../protocol/run/RunSnapshot.ts"
import type { Gap } from "../../Broker.ts"
import type { BrokerError } from "../../BrokerError.ts"
import * as RedisBlock from "./Block.ts"
import * as Failure from "../connection/RedisFailure.ts"
import type { HeldRun } from "../../leases/HeldRuns.ts"
import * as Reply from "./Reply.ts"
import { readActive } from "../scripts/StandingLua.ts"
import type { RunStates } from "../../memory/RunStates.ts"
import * as SavedRuns from "../../memory/SavedRuns.ts"

const decodeRun = Schema.decodeUnknownSync(RunId)

const decodeThread = Schema.decodeUnknownSync(ThreadId)

/**
 * What the append script tells of a batch that is in the log: its `position`,
 * the `log` before it, and whether a checkpoint is due and whether readers could
 * be told; `left` and `path` as in `AppendLua`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Appended {
  readonly _tag: "Appended"
  readonly log: Position.Position
  readonly position: Position.Position
  readonly left: number
  readonly isDue: boolean
  readonly isTold: boolean
  readonly path: "short" | "full"
}

/**
 * What the append script tells: nothing was appended where runs of the batch were
 * lost (`Lost`), or do not stand as they were found (`Changed`).
 *
 * @category models
 * @since 0.1.0
 */
export type AppendReply =
  | Appended
  | { readonly _tag: "Lost"; readonly log: undefined; readonly runs: NonEmptyReadonlyArray<RunId> }
  | { readonly _tag: "Changed"; readonly log: undefined }

const Flag = Schema.Literals([0, 1])
const decodeAppendReply = Schema.decodeUnknownSync(Schema.Union([
  Schema.Tuple([
    Schema.Literal("appended"),
    Position.Epoch,
    Position.Offset,
    Position.Offset,
    Schema.Int,
    Flag,
    Flag
  ]),
  Schema.Tuple([Schema.Literal("added"), Position.Epoch, Position.Offset, Position.Offset, Flag]),
  Schema.TupleWithRest(Schema.Tuple([Schema.Literal("lost"), RunId]), [RunId]),
  Schema.Tuple([Schema.Literal("changed")])
]))

// What the short path answers is one text.
const toList = (reply: string): ReadonlyArray<unknown> => {
  const [word, epoch, ...numbers] = reply.split(" ")
  return [word, epoch, ...numbers.map(Number)]
}

/**
 * Reads what the append script answered.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toAppendReply = (reply: unknown): AppendReply => {
  const answer = decodeAppendReply(typeof reply === "string" ? toList(reply) : reply)
  switch (answer[0]) {
    case "appended": {
      const [, epoch, offset, before, left, isDue, isTold] = answer
      return {
        _tag: "Appended",
        log: { epoch, offset: before },
        position: { epoch, offset },
        left,
        isDue: isDue === 1,
        isTold: isTold === 1,
        path: "full"
      }
    }
    case "added": {
      const [, epoch, offset, before, isDue] = answer
      return {
        _tag: "Appended",
        log: { epoch, offset: before },
        position: { epoch, offset },
        left: -1,
        isDue: isDue === 1,
        isTold: true,
        path: "short"
      }
    }
    case "lost": {
      const [, first, ...others] = answer
      return { _tag: "Lost", log: undefined, runs: [first, ...others] }
    }
    case "changed":
      return { _tag: "Changed", log: undefined }
  }
}

/**
 * What the view script tells: the epoch and head of the `log`, the `first` offset
 * that is served, the `checkpoint` up to which the runs are folded in `states`,
 * the `gap`, and the blocks that hold what lies past the position and what lies
 * past the checkpoint.
 *
 * @category models
 * @since 0.1.0
 */
export interface LogView {
  readonly log: Position.Position
  readonly first: number
  readonly checkpoint: number
  readonly gap: Gap | undefined
  readonly blocks: unknown
  readonly states: unknown
  readonly tail: unknown
}

const decodeLook = Schema.decodeUnknownSync(Schema.Tuple([
  Position.Epoch,
  Position.Offset,
  Position.Offset,
  Position.Offset,
  Schema.Literals(["", "epoch", "retention"]),
  Position.Offset,
  Schema.Unknown,
  Schema.Unknown,
  Schema.Unknown
]))

/**
 * Reads what the script that looks at a log answered.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toLogView = (reply: unknown): LogView => {
  const [epoch, first, last, checkpoint, reason, from, blocks, states, tail] = decodeLook(reply)
  const gap = reason === "" ? undefined : { epoch, from, to: first - 1, reason }
  return { log: { epoch, offset: last }, first, checkpoint, gap, blocks, states, tail }
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
 * The runs that a user's `meta` tells of as active.
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

/**
 * The runs as they were saved at a checkpoint, with the events since folded in.
 * With `only` it is that run alone.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toRuns = (maxRuns: number, { checkpoint, states, tail }: LogView, only?: RunId): RunStates =>
  SavedRuns.fold(maxRuns, toSaved(states), RedisBlock.entriesIn(tail, checkpoint), only)

const toSaved = (reply: unknown): ReadonlyArray<SavedRuns.SavedRun> =>
  SavedRuns.read(Arr.chunksOf(Reply.list(reply), 2).map(([run, text]) => [run, Reply.text(text)] as const))

/**
 * The runs of a log, folded up to `offset`, and which of them are `saved`, as they were
 * at the `checkpoint`. Mutable: it goes on with what is appended.
 *
 * @category models
 * @since 0.2.0
 */
export interface Folded {
  readonly epoch: string
  offset: number
  checkpoint: number
  readonly runs: RunStates
  saved: ReadonlyArray<RunId>
}

/**
 * The runs up to the head of a log that was looked at.
 *
 * @category conversions
 * @since 0.2.0
 */
export const toFolded = (maxRuns: number, { checkpoint, log, states, tail }: LogView): Folded => {
  const saved = toSaved(states)
  return {
    epoch: log.epoch,
    offset: log.offset,
    checkpoint,
    runs: SavedRuns.fold(maxRuns, saved, RedisBlock.entriesIn(tail, checkpoint)),
    saved: saved.map(({ run }) => run)
  }
}

/**
 * The arguments to the checkpoint script that save what changed since the last one.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toCheckpoint = ({ checkpoint, epoch, offset, runs, saved }: Folded): ReadonlyArray<string> => {
  const { changed } = SavedRuns.changes(runs, [], checkpoint)
  const forgotten = saved.filter((run) => !runs.has(run))
  return [
    epoch,
    String(checkpoint),
    String(offset),
    String(forgotten.length),
    ...forgotten,
    ...changed.flat()
  ]
}

const encodeState = Schema.encodeUnknownSync(Schema.fromJsonString(RunSnapshot))

/**
 * The arguments that tell of the runs that a process holds (see `KeepLua`).
 *
 * @category conversions
 * @since 0.1.0
 */
export const toHeld = (runs: ReadonlyArray<HeldRun>): ReadonlyArray<string> => [
  String(runs.length),
  ...runs.flatMap(({ epoch, run, startedAt, state, thread }) => [
    run,
    thread ?? "",
    startedAt === undefined ? "" : String(startedAt),
    epoch,
    encodeState(state)
  ])
]

const decodeKept = Schema.decodeUnknownSync(
  Schema.TupleWithRest(Schema.Tuple([Position.Epoch, Position.Offset, Schema.Int]), [RunId])
)

/**
 * What keeping runs tells: the log, which of them have ended or are another's, and
 * which of these are `shut`: they take nothing more of this process.
 *
 * @category models
 * @since 0.2.0
 */
export interface Kept {
  readonly log: Position.Position
  readonly ended: ReadonlyArray<RunId>
  readonly shut: ReadonlyArray<RunId>
}

/**
 * Reads what the script answered that keeps runs.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toKept = (reply: unknown): Kept => {
  const [epoch, offset, shut, ...ended] = decodeKept(reply)
  return { log: { epoch, offset }, ended, shut: ended.slice(0, shut) }
}

/**
 * Reads an answer, or writes what is asked; what cannot be read or written is
 * refused, and the user's trouble.
 *
 * @category conversions
 * @since 0.1.0
 */
export const read = <A>(operation: string, decode: () => A): Effect.Effect<A, BrokerError> =>
  Effect.try({
    try: decode,
    catch: (cause) => Failure.refused(operation, cause instanceof Error ? cause.message : String(cause), "user")
  })
