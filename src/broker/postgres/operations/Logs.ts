/**
 * Looks at logs, and reads what is seen.
 *
 * @since 0.2.0
 */
import * as Effect from "effect/Effect"
import * as Duration from "effect/Duration"
import * as Schema from "effect/Schema"
import { RunId, ThreadId, type UserId } from "../../../protocol/values/Identity.ts"
import * as Position from "../../../protocol/values/Position.ts"
import { DeliveryClass } from "../../../protocol/event/Event.ts"
import type { BrokerError, Entry, Gap, PullLimits } from "../../Broker.ts"
import type { RunStates } from "../../memory/RunStates.ts"
import * as SavedRuns from "../../memory/SavedRuns.ts"
import type { Database } from "../connection/Database.ts"
import * as Failure from "../connection/Failure.ts"
import type { Options } from "../connection/Options.ts"

/**
 * What of a log is wanted: the events past a position, within limits, and whether
 * runs come without a gap as well (`all`, `none`, or `=` and the id of one).
 *
 * @category models
 * @since 0.2.0
 */
export interface Wanted {
  readonly after: Position.Position
  readonly limits: PullLimits
  readonly runs: string
}

/**
 * Nothing but the head.
 *
 * @category constants
 * @since 0.2.0
 */
export const onlyHead: Wanted = { after: { epoch: "", offset: 0 }, limits: { maxEvents: 0, maxBytes: 0 }, runs: "none" }

/**
 * The head and all runs.
 *
 * @category constants
 * @since 0.2.0
 */
export const onlyRuns: Wanted = { ...onlyHead, runs: "all" }

/**
 * A log as it was at one moment: its head, the offset up to which runs are `saved`,
 * the gap and the entries that were asked for, and the events of runs since (`tail`).
 *
 * @category models
 * @since 0.2.0
 */
export interface LogView {
  readonly log: Position.Position
  readonly folded: number
  readonly gap: Gap | undefined
  readonly entries: ReadonlyArray<Entry>
  readonly saved: ReadonlyArray<SavedRuns.SavedRun>
  readonly tail: ReadonlyArray<Entry>
}

/**
 * - `view` looks at a user's log, and opens it where there is none.
 * - `nextEpoch` names an epoch, for logs that begin.
 * - `toRuns` gives the runs of a view, or one alone.
 *
 * @category models
 * @since 0.2.0
 */
export interface Logs {
  readonly view: (operation: string, user: UserId, wanted: Wanted) => Effect.Effect<LogView, BrokerError>
  readonly nextEpoch: () => string
  readonly toRuns: (view: LogView, only?: RunId) => RunStates
}

const Row = Schema.Tuple([
  Position.Offset,
  Schema.String,
  DeliveryClass,
  Schema.Int,
  Schema.NullOr(RunId),
  Schema.NullOr(ThreadId),
  Schema.Boolean,
  Schema.Int,
  Schema.String
])

const decodeView = Schema.decodeUnknownSync(Schema.Tuple([
  Position.Epoch,
  Schema.Int,
  Position.Offset,
  Position.Offset,
  Schema.Literals(["", "epoch", "retention"]),
  Position.Offset,
  Schema.Array(Row),
  Schema.Array(Schema.Tuple([Schema.String, Schema.String])),
  Schema.Array(Row)
]))

const toEntry = ([offset, type, delivery, at, run, thread, confirm, bytes, body]: typeof Row.Type): Entry => ({
  offset,
  type,
  delivery,
  at,
  run: run ?? undefined,
  thread: thread ?? undefined,
  confirm,
  body,
  bytes
})

const toView = (answer: unknown): LogView => {
  const [epoch, first, head, folded, reason, from, entries, saved, tail] = decodeView(answer)
  return {
    log: { epoch, offset: head },
    folded,
    gap: reason === "" ? undefined : { epoch, from, to: first - 1, reason },
    entries: entries.map(toEntry),
    saved: SavedRuns.read(saved),
    tail: tail.map(toEntry)
  }
}

/**
 * `node` names this process.
 *
 * @category constructors
 * @since 0.2.0
 */
export const make = ({ maxAge, maxRuns }: Options, node: string, database: Database): Logs => {
  let epochs = 0
  const nextEpoch = () => `${node}-${(epochs++).toString(36)}`
  const maxAgeMs = Duration.toMillis(maxAge)
  const maxOffset = Number.MAX_SAFE_INTEGER

  const view: Logs["view"] = (operation, user, { after, limits, runs }) =>
    Effect.suspend(() => {
      const asked = {
        user,
        after: after.epoch,
        offset: after.offset,
        maxEvents: Math.min(limits.maxEvents, 1_000_000),
        maxBytes: Math.min(limits.maxBytes, maxOffset / 2),
        runs,
        maxAge: maxAgeMs
      }
      const look = database.call(operation, "view", asked)
      return look.pipe(
        Effect.flatMap((answer) =>
          answer === null
            ? Effect.andThen(database.call(operation, "open_log", { user, epoch: nextEpoch() }), look)
            : Effect.succeed(answer)
        ),
        Effect.flatMap((answer) => Failure.read(operation, () => toView(answer)))
      )
    })

  return {
    view,
    nextEpoch,
    toRuns: ({ saved, tail }, only) => SavedRuns.fold(only === undefined ? maxRuns : 1, saved, tail, only)
  }
}
