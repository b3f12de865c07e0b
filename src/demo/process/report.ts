/**
 * How a process is doing, in the few numbers that the operator's page draws.
 */
import { Clock, Effect, Option } from "effect"
import { Gateway } from "../../gateway/index.ts"
import { Emitters } from "../../index.ts"
import { Outage } from "../trouble/Outage.ts"
import { Place } from "./Place.ts"

const sum = (counts: Readonly<Record<string, number>>) => Object.values(counts).reduce((all, one) => all + one, 0)

const ofEmitters = ({ stats }: Emitters["Service"]) =>
  Effect.map(stats, (emitted) => ({
    accepted: sum(emitted.accepted),
    pending: emitted.pending,
    breaker: emitted.breaker,
    spooled: emitted.delivery.spool?.events ?? 0,
    drained: emitted.delivery.drainedEvents,
    deadLettered: emitted.deadLettered,
    dropped: sum(emitted.dropped)
  }))

const ofGateway = ({ stats }: Gateway.Gateway["Service"]) =>
  Effect.map(stats, (served) => ({
    connections: served.connections,
    users: served.users,
    written: served.events,
    lag: served.lag,
    behind: served.behind,
    degraded: served.degraded,
    backlog: served.backlog,
    gaps: { ...served.gaps },
    leftOut: sum(served.leftOut),
    closed: { ...served.closed },
    draining: served.draining
  }))

/**
 * Takes one look at what this process has of emitters and gateway, and at the process itself. What is there is found out
 * once, beforehand.
 */
export const makeReport = Effect.gen(function*() {
  const emitters = yield* Effect.serviceOption(Emitters)
  const gateway = yield* Effect.serviceOption(Gateway.Gateway)
  const outage = yield* Outage
  const place = yield* Place
  const startedAt = yield* Clock.currentTimeMillis
  return Effect.gen(function*() {
    const at = yield* Clock.currentTimeMillis
    return {
      at,
      ...(Option.isSome(emitters) ? yield* ofEmitters(emitters.value) : {}),
      ...(Option.isSome(gateway) ? yield* ofGateway(gateway.value) : {}),
      brokerAway: yield* outage.isUnder,
      heapBytes: process.memoryUsage().heapUsed,
      ...(place === undefined ? {} : {
        node: { name: place.name, role: place.role, process: process.pid, upMs: at - startedAt },
        nodes: [...place.nodes]
      })
    }
  })
})
