/**
 * Reads one run from its user's log, wherever it runs, up to its end.
 *
 * @since 0.2.0
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Broker } from "../../broker/Broker.ts"
import type { BrokerError } from "../../broker/BrokerError.ts"
import { entryDecoder } from "../../broker/ItemDecoder.ts"
import type { LogItem } from "../../broker/Log.ts"
import * as LogReader from "../../broker/LogReader.ts"
import * as AgentEvents from "../../protocol/event/AgentEvents.ts"
import { isStart } from "../../protocol/event/RunEvents.ts"
import type { RunId, ThreadId, UserId } from "../../protocol/values/Identity.ts"
import type { Position } from "../../protocol/values/Position.ts"
import { isEnd, type RunItem } from "../RunItem.ts"

type Log = Pick<Broker["Service"], "pull" | "subscribe" | "head" | "snapshot">

/**
 * Where a reader begins.
 *
 * - `Start`: the run begins behind `position`, and the reader gets all of it.
 * - `Now`: with the state that the run has; then come its events. A run that is not
 *   known is waited for.
 * - `After`: the reader knows what came up to `position`. It gets the events of the
 *   run from its beginning, those that it knows marked as such. Where the log does
 *   not hold the beginning, or the position is none of this log, it is as `Now`.
 *
 * @category models
 * @since 0.2.0
 */
export type From =
  | { readonly _tag: "Start"; readonly position: Position }
  | { readonly _tag: "Now" }
  | { readonly _tag: "After"; readonly position: Position }

/**
 * A run's items, in order, up to its end. While the broker is away a reader waits, and goes on
 * where it was; it fails with the broker's error when that lasts for 5 minutes.
 *
 * @category operations
 * @since 0.2.0
 */
export const follow = (log: Log, user: UserId, run: RunId, from: From): Stream.Stream<RunItem, BrokerError> =>
  upToEnd(begin(patient(log), user, run, from))

const patient = (log: Log): Log => ({
  ...log,
  pull: (...of) => whenBack(log.pull(...of)),
  subscribe: subscribeWhenBack(log),
  snapshot: (...of) => whenBack(log.snapshot(...of))
})

/**
 * Asks a broker that is away again, each second for 5 minutes.
 *
 * @category combinators
 * @since 0.2.0
 */
export const whenBack: <A, R>(asking: Effect.Effect<A, BrokerError, R>) => Effect.Effect<A, BrokerError, R> = Effect
  .retry({
    while: ({ blame }) => blame !== "user",
    schedule: Schedule.upTo(Schedule.spaced("1 second"), { duration: "5 minutes" })
  })

/**
 * Subscribes to a user's log as `whenBack` asks. A broker may hold a reader before it knows that it cannot serve it: one
 * that it could not is let go of before the next is tried.
 *
 * @category combinators
 * @since 0.2.0
 */
export const subscribeWhenBack = (log: Pick<Log, "subscribe">): Log["subscribe"] => (user, wake) =>
  whenBack(Effect.flatMap(
    Effect.flatMap(Effect.scope, Scope.fork),
    (own) =>
      log.subscribe(user, wake).pipe(
        Scope.provide(own),
        Effect.onError((cause) => Scope.close(own, Exit.failCause(cause)))
      )
  ))

/**
 * Items up to the first behind which nothing comes.
 *
 * @category combinators
 * @since 0.2.0
 */
export const upToEnd: <E, R>(items: Stream.Stream<RunItem, E, R>) => Stream.Stream<RunItem, E, R> = Stream.takeUntil(
  isEnd
)

const begin = (log: Log, user: UserId, run: RunId, from: From): Stream.Stream<RunItem, BrokerError> => {
  const read = (after: Position, known?: Position) =>
    LogReader.read(log, user, Option.some(after)).pipe(
      Stream.mapAccum((): number | undefined => undefined, toItems(run, known))
    )
  if (from._tag === "Start") return read(from.position)
  return Stream.unwrap(Effect.gen(function*() {
    const { position: head, snapshot } = yield* log.snapshot(user, run)
    if (snapshot === undefined) return read(head)
    const known = from._tag === "After" && from.position.epoch === head.epoch && from.position.offset <= head.offset
      ? from.position
      : undefined
    if (known !== undefined && (yield* holdsStart(log, user, run, head))) {
      const isAllKnown = snapshot.state.status !== "active" && snapshot.offset <= known.offset
      return isAllKnown ? Stream.empty : read({ epoch: head.epoch, offset: 0 }, known)
    }
    const now: RunItem = { _tag: "Snapshot", position: head, state: snapshot.state }
    return snapshot.state.status === "active" ? Stream.concat(Stream.make(now), read(head)) : Stream.make(now)
  }))
}

// Whether the first event of the run that the log still holds is its start.
const holdsStart = (log: Log, user: UserId, run: RunId, head: Position): Effect.Effect<boolean, BrokerError> =>
  LogReader.readTo(log, user, { epoch: head.epoch, offset: 0 }, head).pipe(
    Stream.filter((item) => item._tag === "Event" && item.entry.run === run),
    Stream.runHead,
    Effect.map((first) => Option.isSome(first) && first.value._tag === "Event" && isStart(first.value.entry.type))
  )

const decode = entryDecoder(AgentEvents.catalog)

// The state is the offset up to which a snapshot has told everything; there is none before the first item.
const toItems =
  (run: RunId, known: Position | undefined) =>
  (told: number | undefined, item: LogItem): readonly [number, ReadonlyArray<RunItem>] => {
    if (item._tag === "Gap") {
      const { gap: { epoch, reason }, snapshots } = item
      const found = snapshots.find((snapshot) => snapshot.run === run)
      // Who knows something of the run reads the log from its beginning: what is gone before the run's start is not missed.
      const isMissed = known === undefined || told !== undefined
      return found !== undefined && isMissed
        ? [found.offset, [{ _tag: "Snapshot", position: { epoch, offset: found.offset }, state: found.state }]]
        : [reason === "epoch" || told === undefined ? 0 : told, []]
    }
    const { entry: { at, offset, run: of }, entry, epoch } = item
    if (of !== run || offset <= (told ?? 0)) return [told ?? 0, []]
    const isKnown = known !== undefined && epoch === known.epoch && offset <= known.offset
    return [told ?? 0, [{ _tag: "Event", position: { epoch, offset }, at, event: decode(epoch, entry), isKnown }]]
  }

/**
 * The active run of a thread that began last, if there is one.
 *
 * @category operations
 * @since 0.2.0
 */
export const activeRun = (
  { snapshots }: Pick<Broker["Service"], "snapshots">,
  user: UserId,
  thread: ThreadId
): Effect.Effect<RunId | undefined, BrokerError> =>
  Effect.map(snapshots(user, undefined, { count: 0, threads: [thread] }), (head) => {
    const active = head.snapshots.filter(({ state }) => state.status === "active" && state.thread === thread)
    active.sort((a, b) => (b.state.startedAt ?? 0) - (a.state.startedAt ?? 0))
    return active[0]?.run
  })
