/**
 * What the SQLite broker tells of its file, as metrics of Effect, for Prometheus or OTLP.
 *
 * | metric | kind |
 * |---|---|
 * | `emitter_sqlite_file_bytes` | gauge: what is used of the file, in bytes: what `maxTotalBytes` bounds |
 *
 * @since 0.2.0
 */
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"

/**
 * Takes how much of the file is used.
 *
 * @category models
 * @since 0.2.0
 */
export interface SqliteMetrics {
  readonly set: (fileBytes: number) => void
}

const fileBytesUsed = Metric.gauge("emitter_sqlite_file_bytes", { description: "What is used of the file of the logs" })

/**
 * Makes the gauge.
 *
 * @category constructors
 * @since 0.2.0
 */
export const make: Effect.Effect<SqliteMetrics> = Effect.map(Effect.context<never>(), (context) => ({
  set: (fileBytes) => fileBytesUsed.updateUnsafe(fileBytes, context)
}))
