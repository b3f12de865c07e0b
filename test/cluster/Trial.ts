/**
 * One trial of a cluster: devices connect, emitters run, something happens, all becomes quiet, and the promises are
 * checked.
 */
import { Context, Effect, Layer, Schedule, type Scope } from "effect"
import * as Broker from "../../src/broker/Broker.ts"
import { UserId } from "../../src/protocol/values/Identity.ts"
import type { Position } from "../../src/protocol/values/Position.ts"
import * as Cluster from "./Cluster.ts"
import * as Devices from "./Devices.ts"
import type { Sent } from "./Commander.ts"
import { brokerLayer } from "./program.ts"
import type * as Store from "./Store.ts"
import { type Account, judge } from "./Verdict.ts"

/** How large a trial is. */
export interface Options extends Cluster.Options {
  readonly devicesPerUser: number
}

/** What is there while something happens. `broker` reaches the server directly. */
export interface Trial {
  readonly cluster: Cluster.Cluster
  readonly devices: Devices.Devices
  readonly broker: Broker.Broker["Service"]
}

/** What a trial came to. */
export interface Outcome extends Trial {
  readonly account: Account
}

/** How long all may take to become quiet: the leases of dead runs are part of it. */
export const quietWithinMs = 60_000

/** How long spools may take to get any emptier once the server is back. */
const emptierWithinMs = 30_000

/** Waits, for a bounded time, until it is so; tells whether it is. */
export const until = (is: () => boolean, withinMs: number) =>
  Effect.gen(function*() {
    for (const end = performance.now() + withinMs; !is();) {
      if (performance.now() > end) return false
      yield* Effect.sleep("100 millis")
    }
    return true
  })

const headsOf = ({ broker, cluster }: Trial) =>
  Effect.forEach(cluster.users, (user) => Effect.map(broker.head(UserId.make(user)), (head) => [user, head] as const))
    .pipe(
      Effect.map((heads): ReadonlyMap<string, Position> => new Map(heads)),
      Effect.retry({ schedule: Schedule.spaced("100 millis"), times: 100 }),
      Effect.orDie
    )

/** Whether every run has ended, for every device, and every device stands at the head. */
export const isQuiet = ({ devices }: Pick<Trial, "devices">, heads: ReadonlyMap<string, Position>): boolean =>
  [...devices.logs.values()].every(({ open }) => open.size === 0)
  && devices.all.every(({ position, user }) => (position()?.offset ?? 0) === (heads.get(user)?.offset ?? 0))

/** Waits until nobody emits any more and the spools are empty, for as long as they get emptier; says what is wrong. */
export const rest = Effect.fnUntraced(function*(emitters: ReadonlyArray<Cluster.Emitting>) {
  const alive = emitters.filter(({ isUp }) => isUp())
  yield* Effect.forEach(alive, ({ child }) => child().rest)
  const unrested = () => alive.filter(({ hasRested }) => !hasRested()).length
  const spooled = () => alive.reduce((sum, { spooled }) => sum + spooled(), 0)
  let least = Number.POSITIVE_INFINITY
  for (let since = performance.now(); performance.now() - since < emptierWithinMs;) {
    const left = unrested() * 1_000_000 + spooled()
    if (left === 0) return undefined
    if (left < least) since = performance.now()
    least = Math.min(least, left)
    yield* Effect.sleep("250 millis")
  }
  return `P3: ${unrested()} emitters did not come to rest, ${spooled()} events are in spools still, though the server is back`
})

// Everybody emits no more; what is on its way arrives, also the endings of runs whose process died.
const settle = Effect.fnUntraced(function*(trial: Trial, commands: ReadonlyArray<Sent>) {
  const { cluster, devices } = trial
  const problem = yield* rest(cluster.emitters)
  const problems = problem === undefined ? [] : [problem]
  const endings = yield* Effect.forEach(cluster.emitters, ({ stop }) => stop, { concurrency: "unbounded" })
  for (const [index, { code, signal }] of endings.entries()) {
    // One that the trial killed, and did not start again, has ended as it was meant to.
    if (code !== 0 && signal !== "SIGKILL") {
      problems.push(`P7: ${cluster.emitters[index]?.name} ended with ${code ?? signal} when it was stopped`)
    }
  }
  let heads = yield* headsOf(trial)
  for (const end = performance.now() + quietWithinMs; !isQuiet(trial, heads) && performance.now() < end;) {
    yield* Effect.sleep("250 millis")
    heads = yield* headsOf(trial)
  }
  const account = judge({ devices, heads, records: cluster.emitters.map(({ record }) => record()), commands })
  return { ...account, broken: [...problems, ...account.broken] }
})

/** Runs a trial, with `happening` in its middle, which gives the commands that were sent. Devices are all live before the first event, and emitters run. */
export const run = <E, R>(
  kind: Store.Kind,
  program: string,
  options: Options,
  happening: (trial: Trial) => Effect.Effect<ReadonlyArray<Sent>, E, R>
): Effect.Effect<Outcome, E, Exclude<R, Scope.Scope>> =>
  Effect.gen(function*() {
    const cluster = yield* Cluster.make(kind, program, options)
    const context = yield* Effect.orDie(Layer.build(Layer.fresh(brokerLayer(cluster.store.url))))
    const devices = yield* Devices.make(cluster.url, cluster.users, options.devicesPerUser)
    const trial: Trial = { cluster, devices, broker: Context.get(context, Broker.Broker) }
    const isLive = () => devices.all.every(({ status }) => status() === "live")
    if (!(yield* until(isLive, 60_000))) return yield* Effect.die(new Error("the devices do not come up"))
    yield* Effect.forEach(cluster.emitters, ({ start }) => start, { concurrency: "unbounded" })
    const commands = yield* happening(trial)
    return { ...trial, account: yield* settle(trial, commands) }
  }).pipe(Effect.scoped)
