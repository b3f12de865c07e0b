/**
 * Reads a user's log on the server: for an audit, to render a page, or to wait for
 * a run, in whichever process it runs.
 *
 * ```ts
 * import { Effect, Layer, Stream } from "effect"
 * import { AgentEvents, Broker, Emitter, EmitterLayer, Identity, UserLog } from "effect-emitter"
 *
 * const ada = Identity.UserId.make("ada")
 *
 * const program = Effect.gen(function*() {
 *   yield* Effect.succeed(42).pipe(Emitter.run({ agentName: "researcher" }))
 *   const { position, runs } = yield* UserLog.runs(ada) // a page is rendered from these, and goes on from there
 *   const audit = yield* Stream.runCollect(UserLog.events(ada, AgentEvents.catalog))
 *   return { position, runs, audit }
 * }).pipe(
 *   Effect.provide(Emitter.layerUser({ userId: "ada" })),
 *   Effect.provide(EmitterLayer().pipe(Layer.provideMerge(Broker.layerMemory())))
 * )
 * ```
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { AnyDefinition, Catalog } from "../protocol/event/Event.ts"
import { RunId, type UserId } from "../protocol/values/Identity.ts"
import type { Position } from "../protocol/values/Position.ts"
import type { Received } from "../protocol/event/ReceivedEvent.ts"
import { isTerminal } from "../protocol/event/RunEvents.ts"
import type { RunSnapshot } from "../protocol/run/RunSnapshotSchema.ts"
import { Broker } from "./Broker.ts"
import type { BrokerError } from "./BrokerError.ts"
import { entryDecoder } from "./ItemDecoder.ts"
import type { LogItem, RunAtHead, RunSnapshotAt } from "./Log.ts"
import * as LogReader from "./LogReader.ts"

export type { RunSnapshotAt } from "./Log.ts"
export type { Known, Meta, Received, Unknown } from "../protocol/event/ReceivedEvent.ts"

/**
 * Stands for the events from offset `from` to `to` that the log does not hold any
 * more: they were too many or too old (`retention`), or the log began anew
 * (`epoch`; then these are the ones that are gone of the new log already, none when
 * `to` is `from - 1`). `runs` are the states of runs that had events among them.
 *
 * @category models
 * @since 0.1.0
 */
export interface Gap {
  readonly type: "$gap"
  readonly epoch: string
  readonly from: number
  readonly to: number
  readonly reason: "retention" | "epoch"
  readonly runs: ReadonlyArray<RunSnapshotAt>
}

/**
 * - `after`: the position behind which to begin, or `earliest` (default), all that
 *   the log holds, or `head`, only what comes.
 * - `live`: whether to go on with what comes, for ever. By default the stream ends
 *   with the newest event that there was when it began.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly after?: Position | "earliest" | "head" | undefined
  readonly live?: boolean | undefined
}

/**
 * A user's events in order, decoded by a catalog; `type` tells them apart. An event
 * that the catalog does not know has the type `$unknown`, and what is missing the
 * type `$gap`, so that nothing is left out silently. It fails with the broker's
 * error.
 *
 * @category operations
 * @since 0.1.0
 */
export const events = <D extends AnyDefinition>(
  user: UserId,
  catalog: Catalog<D>,
  { after = "earliest", live = false }: Options = {}
): Stream.Stream<Received<D> | Gap, BrokerError, Broker> =>
  Stream.unwrap(Effect.gen(function*() {
    const broker = yield* Broker
    const head = yield* broker.head(user)
    const from = after === "earliest" ? { epoch: head.epoch, offset: 0 } : after === "head" ? head : after
    const items = live
      ? LogReader.read(broker, user, Option.some(from))
      : LogReader.readTo(broker, user, from, head)
    return Stream.map(items, itemDecoder(catalog))
  }))

const itemDecoder = <D extends AnyDefinition>(catalog: Catalog<D>): (item: LogItem) => Received<D> | Gap => {
  const decode = entryDecoder(catalog)
  return (item) =>
    item._tag === "Gap"
      ? { type: "$gap", ...item.gap, runs: item.snapshots }
      : decode(item.epoch, item.entry)
}

/**
 * Waits until a run has ended, wherever it runs, and gives its state. A run that is
 * not known is waited for as well, so bound it with `Effect.timeout`. It fails with
 * the broker's error, and with `RunForgotten` when the run has ended and the log
 * holds its state no more.
 *
 * @category operations
 * @since 0.1.0
 */
export const awaitRun = (
  user: UserId,
  run: RunId
): Effect.Effect<RunSnapshot, BrokerError | RunForgotten, Broker> =>
  Effect.gen(function*() {
    const broker = yield* Broker
    const first = yield* broker.snapshot(user, run)
    const known = endOf(first)
    if (known !== undefined) return known
    const ending = yield* LogReader.read(broker, user, Option.some(first.position)).pipe(
      Stream.filter((item) => item._tag === "Gap" || item.entry.run === run && isTerminal(item.entry.type)),
      // A gap may hide the ending, or not.
      Stream.mapEffect((item) =>
        Effect.map(broker.snapshot(user, run), (found) => ({ isEvent: item._tag === "Event", state: endOf(found) }))
      ),
      Stream.filter(({ isEvent, state }) => isEvent || state !== undefined),
      Stream.runHead
    )
    const state = Option.getOrUndefined(ending)?.state
    return state ?? (yield* new RunForgotten({ run }))
  })

const endOf = ({ snapshot }: RunAtHead): RunSnapshot | undefined =>
  snapshot === undefined || snapshot.state.status === "active" ? undefined : snapshot.state

/**
 * The state of a user's runs: the active ones, and those that ended and that the
 * log still holds. `position` is the newest event that they were folded from:
 * whoever goes on behind it misses nothing, and gets nothing twice.
 *
 * @category operations
 * @since 0.1.0
 */
export const runs = (
  user: UserId
): Effect.Effect<
  { readonly position: Position; readonly runs: ReadonlyArray<RunSnapshotAt> },
  BrokerError,
  Broker
> =>
  Effect.flatMap(
    Broker,
    (broker) => Effect.map(broker.snapshots(user, 0), ({ position, snapshots }) => ({ position, runs: snapshots }))
  )

/**
 * The run has ended, and the log does not hold its state any more.
 *
 * @category errors
 * @since 0.1.0
 */
export class RunForgotten extends Schema.TaggedError<RunForgotten>()("RunForgotten", { run: RunId }) {
  override get message() {
    return `Run ${this.run} has ended, and its state is not kept any more`
  }
}
