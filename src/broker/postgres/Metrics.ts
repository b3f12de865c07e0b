/**
 * What the Postgres broker measures, as metrics of Effect, for Prometheus or OTLP.
 *
 * All carry the label `server`: host, port and database, without user and password.
 *
 * | metric | kind | further labels |
 * |---|---|---|
 * | `emitter_postgres_call_milliseconds` | histogram: from a call to its answer, for calls that were answered | `operation` |
 * | `emitter_postgres_failures_total` | counter: calls that failed | `operation`; `kind`: `disconnected` (there was no connection), `deadline` (no answer in time), `unavailable` (it broke, or cannot serve now), `refused` (its answer was no) |
 * | `emitter_postgres_connected` | gauge: 1 while it can be used | `connection`: `calls`, and `listening`, which is 1 while what this process tells by NOTIFY comes back |
 *
 * @since 0.2.0
 */
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as MetricVariants from "../MetricVariants.ts"

/**
 * Why a call failed.
 *
 * @category models
 * @since 0.2.0
 */
export type FailureKind = "disconnected" | "deadline" | "unavailable" | "refused"

/**
 * Where one server's doings are counted. Times are in milliseconds.
 *
 * @category models
 * @since 0.2.0
 */
export interface PostgresMetrics {
  readonly answered: (operation: string, ms: number) => void
  readonly failed: (operation: string, kind: FailureKind) => void
  readonly connected: (connection: "calls" | "listening", isLive: boolean) => void
}

const calls = Metric.histogram("emitter_postgres_call_milliseconds", {
  description: "From a call to its answer",
  boundaries: [0.25, 0.5, 1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500]
})
const failures = Metric.counter("emitter_postgres_failures_total", {
  description: "Calls that failed",
  incremental: true
})
const connections = Metric.gauge("emitter_postgres_connected", { description: "1 while it can be used" })

/**
 * Counts for the server of this name, in the registry of the fiber that makes it.
 *
 * @category constructors
 * @since 0.2.0
 */
export const make = (server: string): Effect.Effect<PostgresMetrics> =>
  Effect.map(Effect.context<never>(), (context) => {
    const callsOf = MetricVariants.make(server, calls, "operation")
    const failuresOf = MetricVariants.make(server, failures, "operation", "kind")
    const connectedOf = MetricVariants.make(server, connections, "connection")
    for (const connection of ["calls", "listening"]) connectedOf(connection).updateUnsafe(0, context)
    return {
      answered: (operation, ms) => callsOf(operation).updateUnsafe(ms, context),
      failed: (operation, kind) => failuresOf(operation, kind).updateUnsafe(1, context),
      connected: (connection, isLive) => connectedOf(connection).updateUnsafe(isLive ? 1 : 0, context)
    }
  })
