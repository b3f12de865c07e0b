/**
 * Publishes what an engine counts as metrics of Effect, for Prometheus or OTLP.
 *
 * | metric | kind | labels |
 * |---|---|---|
 * | `emitter_events_total` | counter: accepted events | `type`: wire name |
 * | `emitter_rejected_total` | counter: calls that failed | `reason`: tag of the error |
 * | `emitter_merged_total`, `emitter_illegal_total`, `emitter_unreported_total` | counter | |
 * | `emitter_outcomes_total` | counter: events | `outcome`: `appended`, `handedOver`, `deadLettered` |
 * | `emitter_dropped_total` | counter: events | `reason` |
 * | `emitter_batches_total` | counter: lists delivered | |
 * | `emitter_wait_milliseconds` | histogram: from the oldest emit of a list to the end of its delivery, for lists that did not go out within a call of `emit` | |
 * | `emitter_append_failures_total`, `emitter_retries_total` | counter | |
 * | `emitter_breaker_openings_total` | counter | `breaker` |
 * | `emitter_handed_over_total` | counter: events | `channel` |
 * | `emitter_dead_letters_total` | counter: events | `trigger` |
 * | `emitter_breaker_open` | gauge: 0 closed, 1 open, 0.5 half open | `breaker`: those of the broker |
 * | `emitter_spool_events`, `emitter_dead_letters` | gauge: kept there now | |
 * | `emitter_users`, `emitter_emitters`, `emitter_pending_events` | gauge | |
 * | `emitter_last_event_seconds` | gauge: Unix time of the last event | |
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import type { Stats } from "./Stats.ts"

const counter = (name: string, description: string) => Metric.counter(name, { description, incremental: true })

const plain: ReadonlyArray<readonly [Metric.Counter<number>, (stats: Stats) => number]> = [
  [counter("emitter_merged_total", "Events merged into an earlier one"), (stats) => stats.merged],
  [counter("emitter_illegal_total", "Events that broke their run's order and passed"), (stats) => stats.illegal],
  [counter("emitter_unreported_total", "Endings of runs and tools that no event tells"), (stats) => stats.unreported],
  [counter("emitter_batches_total", "Lists delivered"), (stats) => stats.batches],
  [counter("emitter_append_failures_total", "Appends that failed"), (stats) => stats.delivery.appendFailures],
  [counter("emitter_retries_total", "Appends tried again"), (stats) => stats.delivery.retries]
]

const labelled: ReadonlyArray<{
  readonly metric: Metric.Counter<number>
  readonly label: string
  readonly values: (stats: Stats) => Readonly<Record<string, number>>
}> = [
  { metric: counter("emitter_events_total", "Accepted events"), label: "type", values: (stats) => stats.accepted },
  {
    metric: counter("emitter_rejected_total", "Calls that failed"),
    label: "reason",
    values: (stats) => stats.rejected
  },
  {
    metric: counter("emitter_outcomes_total", "Events by outcome"),
    label: "outcome",
    values: ({ appended, deadLettered, handedOver }) => ({ appended, handedOver, deadLettered })
  },
  { metric: counter("emitter_dropped_total", "Dropped events"), label: "reason", values: (stats) => stats.dropped },
  {
    metric: counter("emitter_breaker_openings_total", "Openings of circuit breakers"),
    label: "breaker",
    values: (stats) => stats.delivery.breakerOpenings
  },
  {
    metric: counter("emitter_handed_over_total", "Events that fallback channels took"),
    label: "channel",
    values: (stats) => stats.delivery.handedOver
  },
  {
    metric: counter("emitter_dead_letters_total", "Events that no way out took"),
    label: "trigger",
    values: (stats) => stats.delivery.deadLettered
  }
]

const gauge = (name: string, description: string) => Metric.gauge(name, { description })

const breakerOpen = gauge("emitter_breaker_open", "0 closed, 1 open, 0.5 half open")
const openness = { closed: 0, halfOpen: 0.5, open: 1 }

const gauges: ReadonlyArray<readonly [Metric.Gauge<number>, (stats: Stats) => number]> = [
  [gauge("emitter_spool_events", "Events in the spool"), (stats) => stats.delivery.spool?.events ?? 0],
  [gauge("emitter_dead_letters", "Dead letters kept"), (stats) => stats.delivery.deadLetters.events],
  [gauge("emitter_users", "Users with an emitter or pending events"), (stats) => stats.users],
  [gauge("emitter_emitters", "Open emitters"), (stats) => stats.emitters],
  [gauge("emitter_pending_events", "Accepted events that are not delivered yet"), (stats) => stats.pending],
  [gauge("emitter_last_event_seconds", "Unix time of the last event"), (stats) => (stats.lastEventAt ?? 0) / 1000]
]

const waits = Metric.histogram("emitter_wait_milliseconds", {
  description: "From the oldest emit of a list to the end of its delivery",
  boundaries: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000]
})

/**
 * Takes how long a list waited, in milliseconds. Called once for a list, never
 * for an event.
 *
 * @category constructors
 * @since 0.1.0
 */
export const observeWait: Effect.Effect<(ms: number) => void> = Effect.map(
  Effect.context<never>(),
  (context) => (ms) => waits.updateUnsafe(ms, context)
)

/**
 * Publishes once a second, and a last time when the scope closes. What is
 * counted costs nothing per event; a second is what a scraper sees anyway.
 *
 * @category constructors
 * @since 0.1.0
 */
export const publish = Effect.fnUntraced(function*(
  stats: Effect.Effect<Stats>
): Effect.fn.Return<void, never, Scope.Scope> {
  const context = yield* Effect.context<never>()
  const published = new Map<string, number>()

  const since = (key: string, total: number): number => {
    const before = published.get(key) ?? 0
    published.set(key, total)
    return total - before
  }

  const write = Effect.map(stats, (now) => {
    for (const [metric, read] of gauges) metric.updateUnsafe(read(now), context)
    for (const [breaker, state] of Object.entries(now.breakers)) {
      Metric.withAttributes(breakerOpen, { breaker }).updateUnsafe(openness[state], context)
    }
    for (const [metric, read] of plain) metric.updateUnsafe(since(metric.id, read(now)), context)
    for (const { label, metric, values } of labelled) {
      for (const [value, total] of Object.entries(values(now))) {
        const more = since(`${metric.id}:${value}`, total)
        if (more > 0) Metric.withAttributes(metric, { [label]: value }).updateUnsafe(more, context)
      }
    }
  })
  yield* write.pipe(Effect.repeat(Schedule.spaced("1 second")), Effect.forkScoped)
  yield* Effect.addFinalizer(() => write)
})
