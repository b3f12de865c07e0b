/**
 * How the server is doing, in the few numbers that the operator's page draws.
 */
import { Clock, Effect } from "effect"
import { Gateway } from "../gateway/index.ts"
import { Emitters } from "../index.ts"
import { Outage } from "./Outage.ts"

const sum = (counts: Readonly<Record<string, number>>) => Object.values(counts).reduce((all, one) => all + one, 0)

/** One look at the emitters, the gateway and the process. */
export const report = Effect.gen(function*() {
  const emitters = yield* Emitters
  const gateway = yield* Gateway.Gateway
  const outage = yield* Outage
  const [emitted, served] = yield* Effect.all([emitters.stats, gateway.stats])
  return {
    at: yield* Clock.currentTimeMillis,
    connections: served.connections,
    users: served.users,
    accepted: sum(emitted.accepted),
    written: served.events,
    lag: served.lag,
    behind: served.behind,
    degraded: served.degraded,
    backlog: served.backlog,
    pending: emitted.pending,
    breaker: emitted.breaker,
    brokerAway: yield* outage.isUnder,
    spooled: emitted.delivery.spool?.events ?? 0,
    drained: emitted.delivery.drainedEvents,
    deadLettered: emitted.deadLettered,
    dropped: sum(emitted.dropped),
    gaps: { ...served.gaps },
    leftOut: sum(served.leftOut),
    closed: { ...served.closed },
    draining: served.draining,
    heapBytes: process.memoryUsage().heapUsed
  }
})
