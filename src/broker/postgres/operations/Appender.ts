/**
 * Appends batches to the logs, in one transaction each.
 *
 * Events of runs are appended under the lease of this process, so that another can
 * end these runs should it die; endings of lost runs only where these stand as they
 * were found.
 *
 * @since 0.2.0
 */
import { isReadonlyArrayNonEmpty, type NonEmptyReadonlyArray } from "effect/Array"
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { RunId, ThreadId, type UserId } from "../../../protocol/values/Identity.ts"
import { DeliveryClass } from "../../../protocol/event/Event.ts"
import * as Position from "../../../protocol/values/Position.ts"
import type { Envelope } from "../../../protocol/wire/Envelope.ts"
import { BrokerError, RunLost } from "../../Broker.ts"
import * as LostRun from "../../leases/LostRun.ts"
import { signalOf } from "../../subscriptions/WakeUp.ts"
import type { Database } from "../connection/Database.ts"
import * as Failure from "../connection/Failure.ts"
import type { Options } from "../connection/Options.ts"
import { Told } from "../subscriptions/Message.ts"
import type { Notifier } from "../subscriptions/Notifier.ts"
import type { Folder } from "./Folder.ts"
import { type Logs, onlyRuns } from "./Logs.ts"

/**
 * Where an append ended, and how many active runs the user has left, if one ended.
 *
 * @category models
 * @since 0.2.0
 */
export interface Appended {
  readonly position: Position.Position
  readonly left: number
}

/**
 * - `append` adds a batch whose runs are this process's, under its `lease` (`-` where
 *   it is of no run).
 * - `endRuns` ends as lost those active runs of a user that are meant, and gives how
 *   many it ended.
 *
 * @category models
 * @since 0.2.0
 */
export interface Appender {
  readonly append: (
    user: UserId,
    batch: NonEmptyReadonlyArray<Envelope>,
    lease: string
  ) => Effect.Effect<Appended, BrokerError>
  readonly endRuns: (
    user: UserId,
    isMeant: (run: RunId, lease: string) => boolean
  ) => Effect.Effect<number, BrokerError>
}

const decodeReply = Schema.decodeUnknownSync(Schema.Union([
  Schema.Tuple([
    Schema.Literal("appended"),
    Position.Epoch,
    Position.Offset,
    Position.Offset,
    Position.Offset,
    Schema.Int,
    Schema.Boolean,
    Told
  ]),
  Schema.TupleWithRest(Schema.Tuple([Schema.Literal("lost"), RunId]), [RunId]),
  Schema.Tuple([Schema.Literal("changed")])
]))

const decodeActive = Schema.decodeUnknownSync(
  Schema.Array(Schema.Tuple([RunId, Schema.String, Schema.NullOr(ThreadId), Schema.Int]))
)

// What could not be read again is not written.
const encodeRows = Schema.encodeUnknownSync(Schema.Array(Schema.Struct({
  s: Schema.NonEmptyString,
  q: Schema.Natural,
  t: Schema.String,
  d: DeliveryClass,
  a: Schema.Natural,
  r: Schema.optional(RunId),
  h: Schema.optional(ThreadId),
  c: Schema.Boolean,
  b: Schema.Natural,
  x: Schema.String
})))

const toRow = ({ at, body, bytes, confirm, delivery, run, sequence, source, thread, type }: Envelope) => ({
  s: source,
  q: sequence,
  t: type,
  d: delivery,
  a: at,
  r: run,
  h: thread,
  c: confirm,
  b: bytes,
  x: body
})

/**
 * `node` names this process.
 *
 * @category constructors
 * @since 0.2.0
 */
export const make = (parts: {
  readonly options: Options
  readonly node: string
  readonly clock: Clock.Clock
  readonly database: Database
  readonly logs: Logs
  readonly notifier: Notifier
  readonly folder: Folder
}): Appender => {
  const { clock, database, folder, logs, node, notifier, options: { maxBytes, maxEvents } } = parts
  let endingsMade = 0

  // Gives nothing where what it expects has changed.
  const appendWith = (
    user: UserId,
    batch: NonEmptyReadonlyArray<Envelope>,
    lease: string,
    expected: Readonly<Record<string, number>>
  ): Effect.Effect<Appended | undefined, BrokerError> =>
    Effect.gen(function*() {
      const asked = { user, epoch: logs.nextEpoch(), lease, expected, maxEvents, maxBytes }
      const rows = yield* Failure.read("append", () => encodeRows(batch.map(toRow)))
      const answer = yield* database.call("append", "append", asked, rows)
      const reply = yield* Failure.read("append", () => decodeReply(answer))
      switch (reply[0]) {
        case "changed":
          return undefined
        case "lost": {
          const [, first, ...others] = reply
          return yield* new BrokerError({ reason: new RunLost({ runs: [first, ...others] }) })
        }
        case "appended": {
          const [, epoch, offset, before, head, left, isDue, told] = reply
          if (head > before) notifier.appended(user, { epoch, offset: head }, signalOf(batch))
          notifier.decided(told)
          if (isDue) yield* folder(user)
          return { position: { epoch, offset }, left }
        }
      }
    })

  // What is ended must be active in the log, and stand as it stood when it was looked at.
  const endRuns: Appender["endRuns"] = (user, isMeant) =>
    Effect.gen(function*() {
      const answer = yield* database.call("active", "active_runs", { user })
      const noted = yield* Failure.read("active", () => decodeActive(answer))
      const meant = noted.filter(([run, lease]) => isMeant(run, lease))
      if (meant.length === 0) return 0
      const view = yield* logs.view("runs", user, onlyRuns)
      const runs = yield* Failure.read("runs", () => logs.toRuns(view))
      const at = clock.currentTimeMillisUnsafe()
      const active = meant.filter(([run]) => runs.get(run)?.fold.ended !== true)
      const endings = active.map(([run, , thread]) =>
        LostRun.ending({
          run,
          thread: thread ?? undefined,
          at,
          source: `${node}-lost${(endingsMade++).toString(36)}-`
        })
      )
      if (!isReadonlyArrayNonEmpty(endings)) return 0
      const expected = Object.fromEntries(active.map(([run, , , version]) => [run, version]))
      const appended = yield* appendWith(user, endings, "", expected)
      return appended === undefined ? yield* endRuns(user, isMeant) : appended.left
    })

  return {
    append: (user, batch, lease) =>
      Effect.flatMap(appendWith(user, batch, lease, {}), (appended) =>
        appended === undefined
          ? Effect.die(new Error("only endings are asked to stand as before"))
          : Effect.succeed(appended)),
    endRuns
  }
}
