/**
 * Reads a user's log as a stream, over `pull` and `subscribe` of any broker.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { UserId } from "../protocol/values/Identity.ts"
import type { Position } from "../protocol/values/Position.ts"
import type { Broker } from "./Broker.ts"
import type { BrokerError } from "./BrokerError.ts"
import type { LogItem, PullLimits, Slice } from "./Log.ts"

const limits: PullLimits = { maxEvents: 256, maxBytes: 256 * 1024 }

const toItems = (slice: Slice): ReadonlyArray<LogItem> => {
  const items: Array<LogItem> = []
  if (slice.gap !== undefined) items.push({ _tag: "Gap", gap: slice.gap, snapshots: slice.snapshots })
  for (const entry of slice.entries) items.push({ _tag: "Event", epoch: slice.next.epoch, entry })
  return items
}

/**
 * The events past `after` up to `until`, a head of the log. The stream ends there.
 *
 * @category operations
 * @since 0.1.0
 */
export const readTo = (
  broker: Pick<Broker["Service"], "pull">,
  user: UserId,
  after: Position,
  until: Position
): Stream.Stream<LogItem, BrokerError> =>
  Stream.paginate(after, (position) =>
    Effect.map(broker.pull(user, position, limits), (slice) => {
      const isEnd = slice.next.epoch !== until.epoch || slice.next.offset >= until.offset
      const items = toItems(slice).filter((item) =>
        item._tag === "Gap" || item.epoch === until.epoch && item.entry.offset <= until.offset
      )
      return [items, isEnd ? Option.none() : Option.some(slice.next)]
    }))

/**
 * The events past `after`, then live ones, with no hole and no repeat between;
 * without `after` only live ones. The stream never ends by itself, and fails with
 * the broker's error. A reader that waits outlives a broker that is away: nothing
 * is asked of the broker then.
 *
 * @category operations
 * @since 0.1.0
 */
export const read = (
  broker: Pick<Broker["Service"], "pull" | "subscribe" | "head">,
  user: UserId,
  after: Option.Option<Position>
): Stream.Stream<LogItem, BrokerError> =>
  Stream.unwrap(Effect.gen(function*() {
    // It subscribes before it looks for the first time, and closes the latch before each pull: an append after the pull opens
    // it again, so no wake-up is lost.
    const latch = Latch.makeUnsafe(false)
    yield* broker.subscribe(user, (signal) => {
      if (signal === undefined || signal === "critical" || signal === "up") latch.openUnsafe()
    })
    let position = Option.isSome(after) ? after.value : yield* broker.head(user)

    let isCaughtUp = false
    const nextItems = Effect.gen(function*() {
      while (true) {
        if (isCaughtUp) yield* latch.await
        latch.closeUnsafe()
        const slice = yield* broker.pull(user, position, limits)
        position = slice.next
        const items = toItems(slice)
        isCaughtUp = items.length === 0 || slice.next.offset === slice.head
        if (items.length > 0) return items
      }
    })
    return Stream.fromIterableEffectRepeat(nextItems)
  }))
