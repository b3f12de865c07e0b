/**
 * Counts what happens to leases, as metrics of Effect.
 *
 * | metric | kind |
 * |---|---|
 * | `emitter_lost_runs_total` | counter: runs that this process ended as lost, since theirs died |
 * | `emitter_lease_failures_total` | counter: renewals of this process's lease that failed |
 * | `emitter_leases_lost_total` | counter: leases that this process lost though it lives |
 *
 * All carry the label `server`, as those of `Metrics` do. What a process emitted for runs that were ended as lost is among the dead
 * letters: `emitter_dead_letters_total` with the trigger `runLost`.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import type { Notes } from "./Leases.ts"

const counter = (name: string, description: string) => Metric.counter(name, { description, incremental: true })

const runsEnded = counter("emitter_lost_runs_total", "Runs that were ended as lost, since their process died")
const renewalsFailed = counter("emitter_lease_failures_total", "Renewals of the process's lease that failed")
const leasesLost = counter("emitter_leases_lost_total", "Leases that the process lost though it lives")

/**
 * Makes the counts of leases at one server.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (server: string): Effect.Effect<Notes> =>
  Effect.map(Effect.context<never>(), (context) => {
    const [ended, failed, lost] = [runsEnded, renewalsFailed, leasesLost].map((metric) =>
      Metric.withAttributes(metric, { server })
    )
    return {
      runsEnded: (count) => ended?.updateUnsafe(count, context),
      renewalFailed: () => failed?.updateUnsafe(1, context),
      leaseLost: () => lost?.updateUnsafe(1, context)
    }
  })
