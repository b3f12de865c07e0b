/**
 * Faults that strike a cluster, drawn from a seed: three hands strike at once, one at gateways, one at emitters, and one
 * at the server and the ways to it. Each heals what it did before it strikes again, so that there is always a gateway left.
 */
import { Effect } from "effect"
import { type Draw, seeded } from "../support/random.ts"
import { type Cluster, type Node, stricken } from "./Cluster.ts"
import type { Trial } from "./Trial.ts"

/** How often each kind of fault struck. */
export type Faults = Record<string, number>

/** A kind of fault, and what it does until it is healed. */
interface Fault {
  readonly name: string
  readonly strike: (trial: Trial, draw: Draw) => Effect.Effect<unknown>
}

const between = (draw: Draw, least: number, most: number) => Effect.sleep(least + draw.below(most - least))

const kill = (node: Node, draw: Draw) =>
  Effect.andThen(node.kill, Effect.andThen(between(draw, 200, 2_000), node.start))

const freeze = (node: Node, draw: Draw, least = 300, most = 5_000) =>
  Effect.andThen(node.child().freeze, Effect.andThen(between(draw, least, most), node.child().thaw))

const stepClock = (node: Node) => node.child().stepClock

const nodes = ({ emitters, gateways }: Cluster): ReadonlyArray<Node> => [...gateways, ...emitters]

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
  {
    name: "devices reloaded",
    strike: ({ devices }, draw) =>
      Effect.sync(() => {
        for (const device of devices.all) if (draw.chance(0.1)) device.reload()
      })
  }
]

/**
 * Strikes for so long, each kind at least once, and heals everything. `onFault` is told of each fault when it strikes.
 */
export const storm = (
  trial: Trial,
  options: { readonly seed: number; readonly ms: number; readonly onFault?: (name: string) => void }
): Effect.Effect<Faults> =>
  Effect.gen(function*() {
    const faults: Faults = {}
    const end = performance.now() + options.ms
    const hand = (kinds: ReadonlyArray<Fault>, seed: number) =>
      Effect.gen(function*() {
        const draw = seeded(seed)
        for (let strikes = 0; performance.now() < end || strikes < kinds.length; strikes++) {
          yield* between(draw, 500, 6_000)
          const fault = strikes < kinds.length ? kinds[(seed + strikes) % kinds.length] : draw.pick(kinds)
          if (fault === undefined) continue
          faults[fault.name] = (faults[fault.name] ?? 0) + 1
          options.onFault?.(fault.name)
          yield* fault.strike(trial, draw)
        }
      })
    yield* Effect.forEach(
      [atGateways, atEmitters, atServer],
      (kinds, index) => hand(kinds, options.seed * 3 + index),
      { concurrency: "unbounded", discard: true }
    )
    return faults
  })
