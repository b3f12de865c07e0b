/**
 * What the Redis broker measures, as metrics of Effect, for Prometheus or OTLP.
 *
 * All carry the label `server`: its name, which is its address without user and
 * password unless it was given one.
 *
 * | metric | kind | further labels |
 * |---|---|---|
 * | `emitter_redis_call_milliseconds` | histogram: from a call to its answer, for calls that were answered | `operation` |
 * | `emitter_redis_appends_total` | counter: batches that were appended | `path`: `short` (they only added events to a log in good order), `full` (all else: of several sources or runs, the start or end of a run, a repeat, a log that is trimmed or renewed) |
 * | `emitter_redis_checkpoints_total` | counter: the state of a user's runs was saved | `from`: `kept` (folded from what this process appended), `log` (what came since the last time was read back) |
 * | `emitter_redis_failures_total` | counter: calls that failed | `operation`; `kind`: `disconnected` (there was no connection), `deadline` (no answer in time), `unavailable` (it broke, or cannot serve now), `refused` (its answer was no) |
 * | `emitter_redis_script_loads_total` | counter: scripts the server did not know, new, restarted or flushed | |
 * | `emitter_redis_lag_milliseconds` | histogram: from when an event was emitted to when a reader that had caught up here pulled it, by two clocks if these are two machines | |
 * | `emitter_redis_connected` | gauge: 1 while there is a connection | `connection`: `commands`, `subscriptions` |
 * | `emitter_redis_reconnects_total` | counter: connections after the first | `connection` |
 * | `emitter_redis_repairs_total` | counter | `reason`: `silent` (the subscription was made anew, since no publications came), `reconnect` and `poll` (an event was found whose wake-up never came, after a reconnect or by looking) |
 * | `emitter_redis_epochs_total` | counter: epochs begun | `log`: `new` (there was none, or it was lost), `kept` (the server had restarted, or another had taken over) |
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as MetricVariants from "../MetricVariants.ts"

/**
 * Why a call failed.
 *
 * @category models
 * @since 0.1.0
 */
export type FailureKind = "disconnected" | "deadline" | "unavailable" | "refused"

/**
 * The connections that a broker has to one server.
 *
 * @category models
 * @since 0.1.0
 */
export type ConnectionKind = "commands" | "subscriptions"

/**
 * How it was noticed that publications did not come.
 *
 * @category models
 * @since 0.1.0
 */
export type Repair = "silent" | "reconnect" | "poll"

/**
 * Where one server's doings are counted. Times are in milliseconds.
 *
 * @category models
 * @since 0.1.0
 */
export interface RedisMetrics {
  readonly answered: (operation: string, ms: number) => void
  readonly appended: (path: "short" | "full") => void
  readonly saved: (from: "kept" | "log") => void
  readonly failed: (operation: string, kind: FailureKind) => void
  readonly scriptLoaded: () => void
  readonly lagged: (ms: number) => void
  readonly connected: (connection: ConnectionKind, isLive: boolean) => void
  readonly reconnected: (connection: ConnectionKind) => void
  readonly repaired: (reason: Repair) => void
  readonly epochBegun: (log: "new" | "kept") => void
}

const calls = Metric.histogram("emitter_redis_call_milliseconds", {
  description: "From a call to its answer",
  boundaries: [0.25, 0.5, 1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500]
})
const lags = Metric.histogram("emitter_redis_lag_milliseconds", {
  description: "From when an event was emitted to when a reader pulled it",
  boundaries: [1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000]
})
const connected = Metric.gauge("emitter_redis_connected", { description: "1 while there is a connection" })
const counter = (name: string, description: string) => Metric.counter(name, { description, incremental: true })
const appends = counter("emitter_redis_appends_total", "Batches that were appended, by how much there was to do")
const checkpoints = counter("emitter_redis_checkpoints_total", "How often the state of a user's runs was saved")
const failures = counter("emitter_redis_failures_total", "Calls that failed")
const scriptLoads = counter("emitter_redis_script_loads_total", "Scripts that the server did not know")
const reconnects = counter("emitter_redis_reconnects_total", "Connections after the first")
const repairs = counter("emitter_redis_repairs_total", "Publications that did not come, as it was noticed")
const epochs = counter("emitter_redis_epochs_total", "Epochs begun")

/**
 * Counts for the server of this name, in the registry of the fiber that makes
 * it. What may be counted is there from the start, so that a rate has a
 * beginning.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (server: string): Effect.Effect<RedisMetrics> =>
  Effect.map(Effect.context<never>(), (context) => {
    const variants = <Input, State>(metric: Metric.Metric<Input, State>, ...labels: ReadonlyArray<string>) =>
      MetricVariants.make(server, metric, ...labels)
    const callsOf = variants(calls, "operation")
    const appendsOf = variants(appends, "path")
    const checkpointsOf = variants(checkpoints, "from")
    const failuresOf = variants(failures, "operation", "kind")
    const connectedOf = variants(connected, "connection")
    const reconnectsOf = variants(reconnects, "connection")
    const repairsOf = variants(repairs, "reason")
    const epochsOf = variants(epochs, "log")
    const loads = variants(scriptLoads)()
    const lag = variants(lags)()

    loads.updateUnsafe(0, context)
    for (const connection of ["commands", "subscriptions"]) {
      connectedOf(connection).updateUnsafe(0, context)
      reconnectsOf(connection).updateUnsafe(0, context)
    }
    for (const reason of ["silent", "reconnect", "poll"]) repairsOf(reason).updateUnsafe(0, context)
    for (const path of ["short", "full"]) appendsOf(path).updateUnsafe(0, context)
    for (const from of ["kept", "log"]) checkpointsOf(from).updateUnsafe(0, context)
    for (const log of ["new", "kept"]) epochsOf(log).updateUnsafe(0, context)

    return {
      answered: (operation, ms) => callsOf(operation).updateUnsafe(ms, context),
      appended: (path) => appendsOf(path).updateUnsafe(1, context),
      saved: (from) => checkpointsOf(from).updateUnsafe(1, context),
      failed: (operation, kind) => failuresOf(operation, kind).updateUnsafe(1, context),
      scriptLoaded: () => loads.updateUnsafe(1, context),
      lagged: (ms) => lag.updateUnsafe(Math.max(0, ms), context),
      connected: (connection, isLive) => connectedOf(connection).updateUnsafe(isLive ? 1 : 0, context),
      reconnected: (connection) => reconnectsOf(connection).updateUnsafe(1, context),
      repaired: (reason) => repairsOf(reason).updateUnsafe(1, context),
      epochBegun: (log) => epochsOf(log).updateUnsafe(1, context)
    }
  })
