/**
 * Publishes what a gateway counts as metrics of Effect, for Prometheus or OTLP.
 *
 * | metric | kind | labels |
 * |---|---|---|
 * | `emitter_gateway_sessions` | gauge: open sockets and streams | |
 * | `emitter_gateway_connections` | gauge: those that were greeted | |
 * | `emitter_gateway_users` | gauge | |
 * | `emitter_gateway_behind` | gauge: connections that have not caught up | |
 * | `emitter_gateway_degraded` | gauge: connections whose log cannot be read | |
 * | `emitter_gateway_lag_events` | gauge: the largest lag of one connection | |
 * | `emitter_gateway_backlog_bytes` | gauge: bytes that wait for the network | |
 * | `emitter_gateway_overfull_total` | counter: connections closed because too many bytes waited | |
 * | `emitter_gateway_opened_total` | counter: connections greeted | |
 * | `emitter_gateway_refused_total` | counter | `limit`: `user`, `node`, `rate`, `address` |
 * | `emitter_gateway_strangers` | gauge: sockets whose device is not known | `kind`: `silent`, `unauthenticated`, `refused` |
 * | `emitter_gateway_cut_total` | counter: strangers cut, being too many or too late | `kind` |
 * | `emitter_gateway_closed_total` | counter: closed by this side | `code`: names of close codes |
 * | `emitter_gateway_events_total` | counter: events written to devices | |
 * | `emitter_gateway_messages_total` | counter: messages written to devices | |
 * | `emitter_gateway_bytes_total` | counter: their length in UTF-8 | |
 * | `emitter_gateway_compressed_frames_total` | counter: frames written compressed | |
 * | `emitter_gateway_compressed_before_bytes_total` | counter: their bytes before | |
 * | `emitter_gateway_compressed_after_bytes_total` | counter: their bytes after | |
 * | `emitter_gateway_compression_passed_total` | counter: frames that went out as they are, since there was no room to compress them | |
 * | `emitter_gateway_compression_memory_bytes` | gauge: bytes of frames that wait to be compressed, and of contexts | |
 * | `emitter_gateway_gaps_total` | counter | `reason`: `retention`, `epoch`, `slow` |
 * | `emitter_gateway_left_out_total` | counter: events slow devices did not get | `delivery` |
 * | `emitter_gateway_blocked_total` | counter: times a transport was full | |
 * | `emitter_gateway_acknowledgements_total` | counter | |
 * | `emitter_gateway_commands_total` | counter: commands of devices | `outcome`: `accepted`, a reason for which it was refused, or `undecided` |
 * | `emitter_gateway_open_commands` | gauge: commands that are not decided yet | |
 * | `emitter_gateway_degradations_total` | counter: times a device was told that events may be late | |
 *
 * @since 0.1.0
 */
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import type { Stats } from "./Stats.ts"

const gauges = {
  sessions: Metric.gauge("emitter_gateway_sessions", { description: "Open sockets and streams" }),
  connections: Metric.gauge("emitter_gateway_connections", { description: "Devices that were greeted" }),
  users: Metric.gauge("emitter_gateway_users", { description: "Users with a connection" }),
  behind: Metric.gauge("emitter_gateway_behind", { description: "Connections that have not caught up" }),
  degraded: Metric.gauge("emitter_gateway_degraded", { description: "Connections whose log cannot be read" }),
  lag: Metric.gauge("emitter_gateway_lag_events", { description: "The largest lag of one connection, in events" }),
  backlog: Metric.gauge("emitter_gateway_backlog_bytes", { description: "Bytes that wait for the network" }),
  openCommands: Metric.gauge("emitter_gateway_open_commands", { description: "Commands that are not decided yet" })
}

const counters = {
  opened: Metric.counter("emitter_gateway_opened_total", { description: "Connections that were greeted" }),
  events: Metric.counter("emitter_gateway_events_total", { description: "Events written to devices" }),
  messages: Metric.counter("emitter_gateway_messages_total", { description: "Messages written to devices" }),
  bytes: Metric.counter("emitter_gateway_bytes_total", { description: "Bytes of messages written to devices" }),
  overfull: Metric.counter("emitter_gateway_overfull_total", {
    description: "Connections closed because too many bytes waited for them, or for all"
  }),
  blocked: Metric.counter("emitter_gateway_blocked_total", { description: "Times a transport was full" }),
  acknowledgements: Metric.counter("emitter_gateway_acknowledgements_total", { description: "Acknowledgements taken" }),
  degradations: Metric.counter("emitter_gateway_degradations_total", {
    description: "Times a device was told that events may be late"
  })
}

const compression = {
  frames: Metric.counter("emitter_gateway_compressed_frames_total", { description: "Frames written compressed" }),
  before: Metric.counter("emitter_gateway_compressed_before_bytes_total", {
    description: "Bytes of frames before they were compressed"
  }),
  after: Metric.counter("emitter_gateway_compressed_after_bytes_total", {
    description: "Bytes of frames after they were compressed"
  }),
  passed: Metric.counter("emitter_gateway_compression_passed_total", {
    description: "Frames that went out as they are, since there was no room to compress them"
  })
}

const compressionMemory = Metric.gauge("emitter_gateway_compression_memory_bytes", {
  description: "Bytes of frames that wait to be compressed, and of contexts"
})

const labelled = {
  refused: {
    label: "limit",
    metric: Metric.counter("emitter_gateway_refused_total", { description: "Devices refused by a limit" })
  },
  cut: {
    label: "kind",
    metric: Metric.counter("emitter_gateway_cut_total", {
      description: "Sockets cut whose device was not known, being too many or staying for too long"
    })
  },
  closed: {
    label: "code",
    metric: Metric.counter("emitter_gateway_closed_total", { description: "Connections closed by the server" })
  },
  gaps: {
    label: "reason",
    metric: Metric.counter("emitter_gateway_gaps_total", { description: "Gaps devices were told of" })
  },
  commands: {
    label: "outcome",
    metric: Metric.counter("emitter_gateway_commands_total", { description: "Commands of devices" })
  },
  leftOut: {
    label: "delivery",
    metric: Metric.counter("emitter_gateway_left_out_total", { description: "Events slow devices did not get" })
  }
}

const strangers = Metric.gauge("emitter_gateway_strangers", { description: "Sockets whose device is not known" })

const keys = <A extends object>(record: A): ReadonlyArray<keyof A & string> =>
  Object.keys(record).filter((key): key is keyof A & string => key in record)

const publishers = new WeakMap<object, Effect.Effect<void>>()

/**
 * Notes how a gateway publishes.
 *
 * @category operations
 * @since 0.1.0
 */
export const publishBy = (gateway: object, publish: Effect.Effect<void>): void => void publishers.set(gateway, publish)

/**
 * Publishes now what a gateway has counted, which else is done from time to time.
 *
 * @category operations
 * @since 0.1.0
 */
export const publish = (gateway: object): Effect.Effect<void> =>
  Effect.suspend(() => publishers.get(gateway) ?? Effect.void)

/**
 * Makes a function that publishes; each call adds what was counted since the
 * last to the counters.
 *
 * @category constructors
 * @since 0.1.0
 */
export const makePublisher = (context: Context.Context<never>): (stats: Stats) => void => {
  const published = new Map<string, number>()
  const variants = new Map<string, Metric.Counter<number>>()

  const since = (name: string, total: number): number => {
    const before = published.get(name) ?? 0
    published.set(name, total)
    return total - before
  }

  const variant = (key: keyof typeof labelled, value: string): Metric.Counter<number> => {
    const name = `${key}:${value}`
    const known = variants.get(name)
    if (known !== undefined) return known
    const { label, metric } = labelled[key]
    const made = Metric.withAttributes(metric, { [label]: value })
    variants.set(name, made)
    return made
  }

  return (stats) => {
    for (const key of keys(gauges)) gauges[key].updateUnsafe(stats[key], context)
    for (const [kind, count] of Object.entries(stats.strangers)) {
      Metric.withAttributes(strangers, { kind }).updateUnsafe(count, context)
    }
    compressionMemory.updateUnsafe(stats.compression.memory, context)
    for (const key of keys(compression)) {
      compression[key].updateUnsafe(since(`compression:${key}`, stats.compression[key]), context)
    }
    for (const key of keys(counters)) counters[key].updateUnsafe(since(key, stats[key]), context)
    for (const key of keys(labelled)) {
      for (const [value, total] of Object.entries(stats[key])) {
        variant(key, value).updateUnsafe(since(`${key}:${value}`, total), context)
      }
    }
  }
}
