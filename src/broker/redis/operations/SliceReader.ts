/**
 * Reads the logs: what lies past a position, and the state of runs.
 *
 * What was published lately is served from this process, without asking Redis.
 *
 * @since 0.1.0
 */
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { UserId } from "../../../protocol/values/Identity.ts"
import type { Position } from "../../../protocol/values/Position.ts"
import type { Broker, Entry, PullLimits, Slice } from "../../Broker.ts"
import * as RedisBlock from "../codec/Block.ts"
import * as RedisEntry from "../codec/Entry.ts"
import type { RedisMetrics } from "../Metrics.ts"
import type { Subscriptions } from "../subscriptions/Subscriptions.ts"
import { type LogCaller, onlyHead, onlyRuns } from "./LogCaller.ts"

/**
 * The part of a broker that reads logs.
 *
 * @category models
 * @since 0.1.0
 */
export type SliceReader = Pick<Broker["Service"], "pull" | "head" | "snapshots" | "snapshot">

/**
 * Makes the reading part of a broker over Redis.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (parts: {
  readonly maxRuns: number
  readonly clock: Clock.Clock
  readonly logs: LogCaller
  readonly subscriptions: Subscriptions
  readonly metrics: RedisMetrics
}): SliceReader => {
  const { clock, logs, maxRuns, metrics, subscriptions } = parts

  // How long what has just come was on its way.
  const noted = (user: UserId, after: Position, slice: Slice): Slice => {
    const isLive = subscriptions.advance(user, after, slice.next, slice.head)
    const [first] = slice.entries
    if (isLive && first !== undefined) metrics.lagged(clock.currentTimeMillisUnsafe() - first.at)
    return slice
  }

  const pullFromRedis: SliceReader["pull"] = (user, after, limits) =>
    logs.viewAs("pull", user, { after, limits, runs: "none" }, (view) => {
      const { gap, log: { epoch, offset: head } } = view
      const entries = within(limits, RedisBlock.entriesIn(view.blocks, gap?.to ?? after.offset))
      return noted(user, after, {
        gap,
        snapshots: gap === undefined ? [] : RedisEntry.toRuns(maxRuns, view).snapshots(gap.from),
        entries,
        next: { epoch, offset: entries.at(-1)?.offset ?? gap?.to ?? after.offset },
        head
      })
    })

  return {
    pull: (user, after, limits) =>
      Effect.suspend(() => {
        const recent = subscriptions.recall(user, after, limits)
        return recent === undefined ? pullFromRedis(user, after, limits) : Effect.succeed(noted(user, after, recent))
      }),
    head: (user) => Effect.map(logs.view("head", user, onlyHead), ({ log }) => log),
    snapshots: (user, since = Number.POSITIVE_INFINITY, recent) =>
      logs.viewAs("snapshots", user, onlyRuns, (view) => ({
        position: view.log,
        snapshots: RedisEntry.toRuns(maxRuns, view).snapshots(since, recent)
      })),
    snapshot: (user, run) =>
      logs.viewAs("snapshot", user, { ...onlyHead, runs: `=${run}` }, (view) => ({
        position: view.log,
        snapshot: RedisEntry.toRuns(1, view, run).snapshot(run)
      }))
  }
}

// As many entries as the limits allow, and one in any case.
const within = ({ maxBytes, maxEvents }: PullLimits, entries: ReadonlyArray<Entry>): ReadonlyArray<Entry> => {
  let bytes = 0
  const end = entries.findIndex((entry, at) => {
    bytes += entry.bytes
    return at >= maxEvents || at > 0 && bytes > maxBytes
  })
  return end < 0 ? entries : entries.slice(0, end)
}
