/**
 * Builds `Broker.read` from the lean form `pull` and `subscribe`, so that every
 * broker reads in the same way.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { Broker, LogItem, PullLimits, Slice } from "./Broker.ts"

const limits: PullLimits = { maxEvents: 256, maxBytes: 256 * 1024 }

const toItems = (slice: Slice): ReadonlyArray<LogItem> => {
  const items: Array<LogItem> = []
  if (slice.gap !== undefined) items.push({ _tag: "Gap", gap: slice.gap, snapshots: slice.snapshots })
  for (const entry of slice.entries) items.push({ _tag: "Event", epoch: slice.next.epoch, entry })
  return items
}

/**
 * Subscribes before it looks for the first time, and closes the latch before
 * each pull: an append after the pull opens it again, so no wake-up is lost. A
 * reader who waits outlives a broker that is away: nothing is asked of it then.
 *
 * @category constructors
 * @since 0.1.0
 */
export const fromPull = (
  broker: Pick<Broker["Service"], "pull" | "subscribe" | "head">
): Broker["Service"]["read"] =>
(user, after) =>
  Stream.unwrap(Effect.gen(function*() {
    const latch = Latch.makeUnsafe(false)
    yield* broker.subscribe(user, (news) => {
      if (news === undefined || news === "up") latch.openUnsafe()
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
