/**
 * What happens in one simulated life of the package: a setting, and steps. Both are plain data, made from a seed, so that
 * a schedule can be printed, cut short and run again. A step that makes no sense where it stands does nothing.
 */
import { type Draw, seeded } from "../emitter/support/random.ts"
import type { Behaviour } from "../../src/testing/index.ts"

export type Kind =
  | "critical"
  | "batched"
  | "volatile"
  | "text"
  | "progress"
  | "thinking"
  | "large"
  | "invalid"
  | "confirmed"

export type RunEnding = "complete" | "fail" | "die" | "never" | "byHand"

export type Step =
  | { readonly _tag: "emit"; readonly user: number; readonly emitter: number; readonly kind: Kind }
  | { readonly _tag: "interrupt"; readonly back: number }
  | {
    readonly _tag: "run"
    readonly user: number
    readonly emitter: number
    readonly lasts: number
    readonly ending: RunEnding
    readonly timeout: number | undefined
    readonly nested: boolean
  }
  | { readonly _tag: "cancel"; readonly back: number }
  | { readonly _tag: "open"; readonly user: number; readonly emitter: number; readonly ownRun: boolean }
  | { readonly _tag: "close"; readonly user: number; readonly emitter: number }
  | { readonly _tag: "broker"; readonly behave: Behaviour.Behaviour }
  | { readonly _tag: "channel"; readonly name: "push" | "spool"; readonly behave: Behaviour.Behaviour }
  | { readonly _tag: "pass"; readonly ms: number }
  | { readonly _tag: "receive"; readonly device: number; readonly messages: number }
  | { readonly _tag: "handle"; readonly device: number }
  | { readonly _tag: "cut"; readonly device: number }
  | { readonly _tag: "replay" }
  | { readonly _tag: "restart" }
  | { readonly _tag: "die" }

export interface Setting {
  readonly users: number
  readonly overflow: "suspend" | "dropOldest" | "fail"
  readonly channels: ReadonlyArray<"push" | "spool">
  readonly spoolEvents: number
  readonly capacity: number
  readonly attempts: number
  /** How many events a log keeps. */
  readonly retained: number
  /** How many writes a device's wire takes. */
  readonly room: number
  /** The broker appends at once and never fails, as the one in memory does. */
  readonly direct: boolean
}

export interface Schedule {
  readonly seed: number
  readonly setting: Setting
  readonly steps: ReadonlyArray<Step>
}

const weighted = <A>(draw: Draw, from: ReadonlyArray<readonly [number, A]>): A => {
  let left = draw.next() * from.reduce((sum, [weight]) => sum + weight, 0)
  for (const [weight, value] of from) {
    left -= weight
    if (left < 0) return value
  }
  return draw.pick(from)[1]
}

const settingOf = (draw: Draw): Setting => ({
  users: 1 + draw.below(3),
  overflow: draw.pick(["suspend", "suspend", "dropOldest", "fail"]),
  channels: draw.pick([["spool"], ["spool"], ["push", "spool"], ["spool", "push"], ["push"], []]),
  spoolEvents: draw.pick([8, 1000, 1000]),
  capacity: draw.pick([4, 8, 64]),
  attempts: draw.pick([1, 2]),
  retained: draw.pick([24, 1000, 1000]),
  room: draw.pick([1, 3, 1000]),
  direct: draw.chance(0.1)
})

/** What a schedule is mostly about, so that rare combinations come often enough in some. */
interface Flavour {
  readonly kinds: ReadonlyArray<Kind>
  readonly runs: number
  readonly slow: number
  readonly failing: number
}

const flavourOf = (draw: Draw): Flavour => ({
  kinds: draw.pick([anything, anything, streaming, notes]),
  runs: draw.pick([5, 15]),
  slow: draw.pick([3, 12]),
  failing: draw.pick([1, 1, 4])
})

const behaviourOf = (draw: Draw, { failing, slow }: Flavour): Behaviour.Behaviour =>
  weighted<() => Behaviour.Behaviour>(draw, [
    [5, () => "ok"],
    [3 * failing, () => "fail"],
    [failing, () => "refuse"],
    [failing, () => "die"],
    [2 * failing, () => "loseAnswer"],
    [failing, () => "interrupt"],
    [0.5, () => "hang"],
    [
      slow,
      () => ({ after: 1 + draw.below(60), do: draw.pick(["ok", "ok", "fail", "loseAnswer", "interrupt"] as const) })
    ]
  ])()

const channelBehaviourOf = (draw: Draw): Behaviour.Behaviour =>
  weighted<() => Behaviour.Behaviour>(draw, [
    [5, () => "ok"],
    [2, () => "fail"],
    [1, () => "die"],
    [1, () => "loseAnswer"],
    [3, () => ({ after: 1 + draw.below(40), do: draw.pick(["ok", "ok", "fail"] as const) })]
  ])()

const stepOf = (draw: Draw, { users }: Setting, flavour: Flavour): Step => {
  const user = draw.below(users)
  const emitter = draw.below(2)
  const device = draw.below(users)
  return weighted<() => Step>(draw, [
    [30, () => ({ _tag: "emit", user, emitter, kind: draw.pick(flavour.kinds) })],
    [3, () => ({ _tag: "interrupt", back: draw.below(4) })],
    [flavour.runs, () => ({
      _tag: "run",
      user,
      emitter,
      lasts: draw.below(120),
      ending: draw.pick(["complete", "complete", "fail", "die", "never", "byHand"]),
      timeout: draw.chance(0.3) ? 1 + draw.below(100) : undefined,
      nested: draw.chance(0.3)
    })],
    [2, () => ({ _tag: "cancel", back: draw.below(3) })],
    [3, () => ({ _tag: "open", user, emitter, ownRun: draw.chance(0.5) })],
    [2, () => ({ _tag: "close", user, emitter })],
    [8, () => ({ _tag: "broker", behave: behaviourOf(draw, flavour) })],
    [4, () => ({ _tag: "channel", name: draw.pick(["push", "spool"]), behave: channelBehaviourOf(draw) })],
    [16, () => ({ _tag: "pass", ms: draw.pick([1, 5, 20, 20, 50, 150, 500]) })],
    [6, () => ({ _tag: "receive", device, messages: draw.pick([1, 2, 1000]) })],
    [4, () => ({ _tag: "handle", device })],
    [3, () => ({ _tag: "cut", device })],
    [1, () => ({ _tag: "replay" })],
    [1, () => ({ _tag: "restart" })],
    [1, () => ({ _tag: "die" })]
  ])()
}

const anything: ReadonlyArray<Kind> = [
  "critical",
  "critical",
  "critical",
  "batched",
  "batched",
  "batched",
  "volatile",
  "text",
  "text",
  "progress",
  "thinking",
  "large",
  "invalid",
  "confirmed"
]

const streaming: ReadonlyArray<Kind> = ["text", "text", "text", "progress", "thinking", "critical"]
const notes: ReadonlyArray<Kind> = ["batched", "batched", "critical", "volatile", "confirmed"]

export const scheduleOf = (seed: number): Schedule => {
  const draw = seeded(seed)
  const setting = settingOf(draw)
  const flavour = flavourOf(draw)
  const steps = Array.from({ length: 15 + draw.below(50) }, () => stepOf(draw, setting, flavour))
  return { seed, setting, steps }
}
