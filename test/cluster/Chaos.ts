/**
 * Faults that strike a cluster, drawn from a seed: three hands strike at once, one at gateways, one at emitters, and one
 * at the server and the ways to it. Each heals what it did before it strikes again, so that there is always a gateway left.
 */
import { Effect } from "effect"
import { type Draw, seeded } from "../support/random.ts"
import { type Cluster, type Node, type Place, stricken } from "./Cluster.ts"
import type { Trial } from "./Trial.ts"

/** How often each kind of fault struck. */
export type Faults = Record<string, number>

/** A kind of fault, and what it does until it is healed. */
export interface Fault<T = Trial> {
  readonly name: string
  readonly strike: (trial: T, draw: Draw) => Effect.Effect<unknown>
}

const between = (draw: Draw, least: number, most: number) => Effect.sleep(least + draw.below(most - least))

export const kill = (node: Place, draw: Draw) =>
  Effect.andThen(node.kill, Effect.andThen(between(draw, 200, 2_000), node.start))

export const freeze = (node: Place, draw: Draw, least = 300, most = 5_000) =>
  Effect.andThen(node.child().freeze, Effect.andThen(between(draw, least, most), node.child().thaw))

export const stepClock = (node: Place) => node.child().stepClock

const nodes = ({ emitters, gateways }: Cluster): ReadonlyArray<Node> => [...gateways, ...emitters]

/** Some devices begin anew from what they had handled. */
export const devicesReloaded: Fault<Pick<Trial, "devices">> = {
  name: "devices reloaded",
  strike: ({ devices }, draw) =>
    Effect.sync(() => {
      for (const device of devices.all) if (draw.chance(0.1)) device.reload()
    })
}

const atGateways: ReadonlyArray<Fault> = [
  { name: "gateway killed", strike: ({ cluster }, draw) => kill(draw.pick(cluster.gateways), draw) },
  { name: "gateway frozen", strike: ({ cluster }, draw) => freeze(draw.pick(cluster.gateways), draw) },
  { name: "gateway's clock stepped", strike: ({ cluster }, draw) => stepClock(draw.pick(cluster.gateways)) },
  {
    name: "gateway restarted",
    strike: ({ cluster }, draw) => {
      const gateway = draw.pick(cluster.gateways)
      return Effect.andThen(gateway.stop, gateway.start)
    }
  }
]

const atEmitters: ReadonlyArray<Fault> = [
  { name: "emitter killed", strike: ({ cluster }, draw) => kill(draw.pick(cluster.emitters), draw) },
  { name: "emitter frozen", strike: ({ cluster }, draw) => freeze(draw.pick(cluster.emitters), draw) },
  {
    // Longer than its lease: it is taken for dead, and learns of it when it goes on.
    name: "emitter away",
    strike: ({ cluster }, draw) => freeze(draw.pick(cluster.emitters), draw, 10_000, 14_000)
  },
  {
    name: "user floods",
    strike: ({ cluster }, draw) => draw.pick(cluster.emitters).child().flood
  },
  { name: "emitter's clock stepped", strike: ({ cluster }, draw) => stepClock(draw.pick(cluster.emitters)) },
  {
    name: "emitter restarted",
    strike: ({ cluster }, draw) => {
      const emitter = draw.pick(cluster.emitters)
      return Effect.andThen(emitter.stop, emitter.start)
    }
  }
]

const atServer: ReadonlyArray<Fault> = [
  {
    name: "server killed",
    strike: ({ cluster: { store } }, draw) =>
      Effect.andThen(store.kill, Effect.andThen(between(draw, 50, 3_000), store.start))
  },
  {
    name: "server frozen",
    strike: ({ cluster: { store } }, draw) =>
      Effect.andThen(store.freeze, Effect.andThen(between(draw, 100, 4_000), store.thaw))
  },
  {
    name: "user stricken",
    strike: ({ cluster: { store } }, draw) => store.spoil(stricken, draw, 1_000 + draw.below(4_000))
  },
  { name: "way cut", strike: ({ cluster }, draw) => draw.pick(nodes(cluster)).proxy.cut },
  {
    name: "way slow",
    strike: ({ cluster }, draw) => {
      const { proxy } = draw.pick(nodes(cluster))
      return Effect.andThen(proxy.delay(20 + draw.below(280)), Effect.andThen(between(draw, 500, 4_000), proxy.heal))
    }
  },
  {
    name: "way swallowed",
    strike: ({ cluster }, draw) => {
      const { proxy } = draw.pick(nodes(cluster))
      return Effect.andThen(proxy.swallow, Effect.andThen(between(draw, 500, 4_000), proxy.heal))
    }
  },
  devicesReloaded
]

/** How long faults strike, which, and who is told of each. */
export interface Storm {
  readonly seed: number
  readonly ms: number
  readonly onFault?: (name: string) => void
}

/** Strikes for so long with several hands at once, each kind of each hand at least once, and heals everything. */
export const strikeAll = <T>(
  hands: ReadonlyArray<ReadonlyArray<Fault<T>>>,
  trial: T,
  { ms, onFault, seed }: Storm
): Effect.Effect<Faults> =>
  Effect.gen(function*() {
    const faults: Faults = {}
    const end = performance.now() + ms
    const hand = (kinds: ReadonlyArray<Fault<T>>, seed: number) =>
      Effect.gen(function*() {
        const draw = seeded(seed)
        for (let strikes = 0; performance.now() < end || strikes < kinds.length; strikes++) {
          yield* between(draw, 500, 6_000)
          const fault = strikes < kinds.length ? kinds[(seed + strikes) % kinds.length] : draw.pick(kinds)
          if (fault === undefined) continue
          faults[fault.name] = (faults[fault.name] ?? 0) + 1
          onFault?.(fault.name)
          yield* fault.strike(trial, draw)
        }
      })
    yield* Effect.forEach(hands, (kinds, index) => hand(kinds, seed * hands.length + index), {
      concurrency: "unbounded",
      discard: true
    })
    return faults
  })

/** Strikes a cluster. */
export const storm = (trial: Trial, options: Storm): Effect.Effect<Faults> =>
  strikeAll([atGateways, atEmitters, atServer], trial, options)
