/**
 * What happens in one simulated life of the package: a setting, and steps. Both are plain data, made from a seed, so that
 * a schedule can be printed, cut short and run again. A step that makes no sense where it stands does nothing.
 */
import { type Draw, seeded } from "../support/random.ts"
import type { Fault } from "../../src/testing/index.ts"

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
  | "poison"
  | "poisonBatched"

export type RunEnding = "complete" | "fail" | "die" | "never" | "byHand"

/** What a device asks of a run. A `wrong` one fits nothing. */
export type CommandName = "cancel" | "answer" | "steer" | "wrong"

/** What becomes of each append of a user in trouble. */
export type Ailment = "reject" | "refuse" | "die" | "slow"

/** What is `held` happens in a caller that cannot be interrupted. */
export type Step =
  | {
    readonly _tag: "emit"
    readonly user: number
    readonly emitter: number
    readonly kind: Kind
    readonly held?: boolean
  }
  | { readonly _tag: "flood"; readonly user: number; readonly emitter: number; readonly events: number }
  | { readonly _tag: "interrupt"; readonly back: number }
  | {
    readonly _tag: "run"
    readonly user: number
    readonly emitter: number
    readonly lasts: number
    readonly ending: RunEnding
    readonly timeout: number | undefined
    readonly nested: boolean
    readonly held?: boolean
    /** It asks its user something, and reads the program's own commands. */
    readonly asks?: boolean
    /** Its user may not cancel it. */
    readonly isProtected?: boolean
  }
  /** A device of the user asks something of the run that began so many runs ago, `again` with an id that was used before. */
  | {
    readonly _tag: "command"
    readonly user: number
    readonly back: number
    readonly name: CommandName
    readonly again: boolean
  }
  | { readonly _tag: "cancel"; readonly back: number }
  | { readonly _tag: "open"; readonly user: number; readonly emitter: number; readonly ownRun: boolean }
  | { readonly _tag: "close"; readonly user: number; readonly emitter: number }
  | { readonly _tag: "broker"; readonly behave: Fault.Fault }
  | { readonly _tag: "ail"; readonly user: number; readonly ailment: Ailment | "none" }
  | { readonly _tag: "channel"; readonly name: "push" | "spool"; readonly behave: Fault.Fault }
  | { readonly _tag: "pass"; readonly ms: number }
  /** The wall clock is put forwards, or back. */
  | { readonly _tag: "clock"; readonly ms: number }
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

const faultOf = (draw: Draw, { failing, slow }: Flavour): Fault.Fault =>
  weighted<() => Fault.Fault>(draw, [
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

const channelFaultOf = (draw: Draw): Fault.Fault =>
  weighted<() => Fault.Fault>(draw, [
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
    [8, () => ({ _tag: "broker", behave: faultOf(draw, flavour) })],
    [4, () => ({ _tag: "channel", name: draw.pick(["push", "spool"]), behave: channelFaultOf(draw) })],
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

const scheduleWithoutTrouble = (seed: number): Schedule => {
  const draw = seeded(seed)
  const setting = settingOf(draw)
  const flavour = flavourOf(draw)
  const steps = Array.from({ length: 15 + draw.below(50) }, () => stepOf(draw, setting, flavour))
  return { seed, setting, steps }
}

const clockSteps = [-3_600_000, -60_000, -2_000, -500, -50, 50, 2_000, 3_600_000] as const

type Trouble = (draw: Draw, user: number) => Step

const troubles: ReadonlyArray<Trouble> = [
  (draw, user) => ({
    _tag: "ail",
    user,
    ailment: draw.pick(["reject", "refuse", "die", "slow", "none"] as const)
  }),
  (draw, user) => ({ _tag: "emit", user, emitter: 0, kind: draw.pick(["poison", "poisonBatched"] as const) }),
  (draw, user) => ({ _tag: "flood", user, emitter: 0, events: 5 + draw.below(60) }),
  (draw) => ({ _tag: "clock", ms: draw.pick(clockSteps) })
]

const isOfWell = (step: Step): boolean =>
  step._tag !== "broker" || step.behave === "ok" || typeof step.behave === "object" && step.behave.do === "ok"

/**
 * The same steps, with trouble in between: of some users, each of whom fails, is poisoned or floods; of the clock; and
 * with callers that cannot be interrupted. In half of these the broker itself is well, so that nobody else may notice.
 */
const troubled = ({ seed, setting, steps }: Schedule, draw: Draw): Schedule => {
  const users = Math.max(2, setting.users)
  const kinds = troubles.filter(() => draw.chance(0.6))
  const isBrokerWell = draw.chance(0.5)
  const isHeld = draw.chance(0.5)
  const bad = draw.below(users)
  const mixed: Array<Step> = []
  for (const step of steps) {
    if (kinds.length > 0 && draw.chance(0.2)) {
      // Most trouble is one user's, so that there are neighbours.
      mixed.push(draw.pick(kinds)(draw, draw.chance(0.8) ? bad : draw.below(users)))
    }
    if (draw.chance(0.1)) {
      mixed.push({ _tag: "emit", user: draw.below(users), emitter: 0, kind: "critical" })
    }
    if (isBrokerWell && !isOfWell(step)) continue
    const canBeHeld = step._tag === "emit" || step._tag === "run"
    mixed.push(isHeld && canBeHeld && draw.chance(0.4) ? { ...step, held: true } : step)
  }
  return { seed, setting: { ...setting, users }, steps: mixed }
}

/** Lists that run over while the broker takes its time: texts are merged into what may be dropped next. */
const crowded = (seed: number, draw: Draw): Schedule => {
  const users = 1 + draw.below(2)
  const setting: Setting = {
    ...settingOf(draw),
    users,
    overflow: "dropOldest",
    capacity: 4,
    room: 1000,
    direct: false
  }
  const slow = (): Step => ({
    _tag: "broker",
    behave: { after: 20 + draw.below(150), do: draw.pick(["ok", "ok", "ok", "fail"] as const) }
  })
  const begin = (user: number): Step => ({
    _tag: "run",
    user,
    emitter: 0,
    lasts: 200 + draw.below(1_000),
    ending: draw.pick(["complete", "never", "fail"]),
    timeout: undefined,
    nested: false
  })
  const one = (): ReadonlyArray<Step> => {
    const user = draw.below(users)
    return weighted<() => ReadonlyArray<Step>>(draw, [
      [12, () =>
        Array.from({ length: 1 + draw.below(7) }, (): Step => ({
          _tag: "emit",
          user,
          emitter: 0,
          kind: draw.pick(["text", "text", "text", "batched", "batched", "progress"])
        }))],
      [2, () => [{ _tag: "emit", user, emitter: 0, kind: draw.pick(["critical", "volatile"] as const) }]],
      [6, () => [{ _tag: "pass", ms: draw.pick([1, 5, 20, 50, 150]) }]],
      [1, () => [slow()]],
      [1, () => [begin(user)]],
      [0.3, () => [{ _tag: "close", user, emitter: 0 }, { _tag: "open", user, emitter: 0, ownRun: true }]]
    ])()
  }
  const steps: ReadonlyArray<Step> = [
    ...Array.from({ length: users }, (_, user) => begin(user)),
    slow(),
    ...Array.from({ length: 10 + draw.below(20) }, one).flat()
  ]
  return { seed, setting, steps }
}

/**
 * The same steps, with commands of devices in between, and runs that take them. In half of these the broker itself is
 * well, so that nothing may keep a command from its run.
 */
const commanded = ({ seed, setting, steps }: Schedule, draw: Draw): Schedule => {
  const isBrokerWell = draw.chance(0.5)
  const mixed: Array<Step> = []
  for (const step of steps) {
    if (isBrokerWell && !isOfWell(step)) continue
    const isHeld = step._tag === "run" && draw.chance(0.3)
    mixed.push(
      step._tag === "run"
        ? { ...step, asks: draw.chance(0.7), isProtected: draw.chance(0.1), ...(isHeld ? { held: true } : {}) }
        : step
    )
    while (draw.chance(0.35)) {
      mixed.push({
        _tag: "command",
        user: draw.below(setting.users),
        back: draw.below(3),
        name: draw.pick(["cancel", "answer", "answer", "steer", "steer", "wrong"]),
        again: draw.chance(0.25)
      })
    }
  }
  return { seed, setting, steps: mixed }
}

/**
 * The schedule of a seed. What kind of trouble there is is drawn apart, so that schedules without it are as they were
 * before there was any.
 */
export const scheduleOf = (seed: number): Schedule => {
  const draw = seeded(seed ^ 0x5bd1e995)
  const kind = draw.next()
  if (kind < 0.15) return crowded(seed, draw)
  const plain = scheduleWithoutTrouble(seed)
  if (kind < 0.6) return troubled(plain, draw)
  return kind < 0.8 ? commanded(plain, draw) : plain
}
