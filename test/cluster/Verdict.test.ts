import { assert, describe, it } from "@effect/vitest"
import { Command } from "effect-emitter"
import type { Sent } from "./Commander.ts"
import type { Device, Devices, Log, Seen } from "./Devices.ts"
import type { Line } from "./Record.ts"
import { judge } from "./Verdict.ts"

interface Wanted {
  readonly type: string
  readonly run?: string
  readonly n?: number
  readonly critical?: boolean
  readonly id?: string
  readonly reason?: string
}

const event = ({ critical = false, id, n, reason, run = "r-1", type }: Wanted, offset: number): Seen => ({
  id: id ?? `e-${offset}`,
  type,
  run,
  at: offset,
  data: n === undefined
    ? reason === undefined ? {} : { reason }
    : type === "text_delta"
    ? { delta: `${n} ` }
    : { name: critical ? "critical" : "n", data: { run, n } }
})

const logOf = (user: string, events: ReadonlyArray<Wanted>): Log => ({
  user,
  events: new Map(events.map((wanted, index) => [`x:${index + 1}`, event(wanted, index + 1)])),
  open: new Set()
})

/** A device of ada's that stands at this offset. */
const at = (offset: number): Device => ({
  name: "ada/1",
  user: "ada",
  position: () => ({ epoch: "x", offset }),
  reload: () => {},
  status: () => "live",
  commands: () => {
    throw new Error("it asks nothing")
  }
})

const devicesOf = (logs: ReadonlyArray<Log>, all: ReadonlyArray<Device>): Devices => ({
  all,
  logs: new Map(logs.map((log) => [log.user, log])),
  problems: [],
  totals: { delivered: 0, suppressed: 0, connections: 0, resumed: 0, gaps: 0, snapshots: 0 }
})

const whole: ReadonlyArray<Wanted> = [
  { type: "agent_started" },
  { type: "custom", n: 1 },
  { type: "text_delta", n: 2 },
  { type: "custom", n: 3, critical: true },
  { type: "agent_completed" }
]

const accepted = (n: number, offset: number): Extract<Line, { readonly _tag: "Accepted" }> => ({
  _tag: "Accepted",
  run: "r-1",
  n,
  critical: true,
  receipt: "Appended",
  epoch: "x",
  offset
})

/** What is said to be broken about ada's log, while a device of hers has heard of all of it. */
const broken = (
  events: ReadonlyArray<Wanted>,
  lines: ReadonlyArray<Line> = [],
  commands: ReadonlyArray<Sent> = []
) =>
  judge({
    devices: devicesOf([logOf("ada", events)], [at(events.length)]),
    heads: new Map([["ada", { epoch: "x", offset: events.length }]]),
    records: [lines],
    commands
  }).broken

describe("the verdict on a trial", () => {
  it("finds nothing where every promise was kept", () => {
    const lines: ReadonlyArray<Line> = [
      { _tag: "Began", at: 0 },
      { _tag: "Started", run: "r-1", user: "ada", at: 0 },
      accepted(3, 4),
      { _tag: "Ended", run: "r-1", at: 0 },
      { _tag: "Closed" }
    ]
    assert.deepStrictEqual(broken(whole, lines), [])
  })

  it("counts what became of runs", () => {
    const lost: ReadonlyArray<Wanted> = [{ type: "agent_started", run: "r-2" }, {
      type: "agent_error",
      run: "r-2",
      reason: "lost"
    }]
    const { endings, inLog, runs } = judge({
      devices: devicesOf([logOf("ada", [...whole, ...lost])], []),
      heads: new Map(),
      records: [],
      commands: []
    })
    assert.deepStrictEqual({ endings, inLog, runs }, { endings: { completed: 1, lost: 1 }, inLog: 7, runs: 2 })
  })

  it("sees a device that did not get to the end", () => {
    const { broken } = judge({
      devices: devicesOf([logOf("ada", whole)], [at(4)]),
      heads: new Map([["ada", { epoch: "x", offset: 5 }]]),
      records: [],
      commands: []
    })
    assert.deepStrictEqual(broken, ["P2: ada/1 ended at x:4 (live), the log at x:5"])
  })

  it("sees numbers that are missing, repeated, or out of order", () => {
    const [started, one, two, three, completed] = whole
    const log = (...events: ReadonlyArray<Wanted | undefined>) => events.flatMap((event) => event ?? [])
    assert.deepStrictEqual(broken(log(started, one, three, completed)), [
      "P2: r-1 has 3, which is critical, behind 1 others",
      "P3: r-1 has 2 of 3 numbers"
    ])
    assert.deepStrictEqual(broken(log(started, one, one, completed)), ["P4: r-1 has 1 twice"])
    assert.deepStrictEqual(broken(log(started, three, two, one, completed)), [
      "P2: r-1 has 3, which is critical, behind 0 others",
      "P2: r-1 has 1 behind 3"
    ])
  })

  it("sees an event that is in a log twice, and one that is in the logs of two users", () => {
    const twice = whole.map((wanted, index) => index === 2 ? { ...wanted, id: "e-2" } : wanted)
    assert.deepStrictEqual(broken(twice), ["P4: e-2 is in the log of ada twice"])
    const { broken: shared } = judge({
      devices: devicesOf([
        logOf("ada", [{ type: "note", id: "e-9" }].map((wanted) => ({ ...wanted, run: "" }))),
        logOf("bob", [{ type: "note", id: "e-9" }].map((wanted) => ({ ...wanted, run: "" })))
      ], []),
      heads: new Map(),
      records: [],
      commands: []
    })
    assert.include(shared, "P1: e-9 is in the logs of ada and of bob")
  })

  it("sees a run that went to somebody else", () => {
    assert.deepStrictEqual(broken(whole, [{ _tag: "Started", run: "r-1", user: "bob", at: 0 }]), [
      "P1: r-1 of bob went to ada"
    ])
  })

  it("sees an accepted event that is not there, or elsewhere than its receipt says", () => {
    assert.deepStrictEqual(broken(whole, [accepted(4, 5)]), [
      "P3: r-1 4 was accepted (Appended at x:5), and is not in the log (its run: completed)"
    ])
    assert.deepStrictEqual(broken(whole, [accepted(3, 3)]), ["P3: r-1 3 was appended at x:3, and is at x:4"])
  })

  it("takes what was spooled for a run that was lost as set aside, and for no other", () => {
    const spooled: Line = { _tag: "Accepted", run: "r-1", n: 9, critical: true, receipt: "HandedOver" }
    const lost = [...whole.slice(0, 4), { type: "agent_error", reason: "lost" }]
    assert.deepStrictEqual(broken(lost, [spooled]), [])
    assert.deepStrictEqual(broken(whole, [spooled]), [
      "P3: r-1 9 was accepted (HandedOver), and is not in the log (its run: completed)"
    ])
  })

  it("sees dead letters of runs that were not lost, in every life of an emitter", () => {
    const counts: Line = {
      _tag: "Counts",
      accepted: 5,
      deadLettered: 3,
      setAside: 1,
      spooled: 0,
      dropped: 0,
      confirmed: 0,
      unconfirmed: 0
    }
    const lines: ReadonlyArray<Line> = [{ _tag: "Began", at: 0 }, counts, { _tag: "Began", at: 0 }, counts]
    const what = "P3: 2 dead letters are neither of lost runs nor of the stricken user"
    assert.deepStrictEqual(broken(whole, lines), [what, what])
  })

  it("judges nothing of a user without devices but where its runs went", () => {
    const lines: ReadonlyArray<Line> = [
      { _tag: "Started", run: "r-2", user: "stricken", at: 0 },
      { ...accepted(1, 7), run: "r-2" }
    ]
    assert.deepStrictEqual(broken(whole, lines), [])
    assert.deepStrictEqual(broken(whole, [{ ...accepted(1, 7), run: "r-2" }]), [
      "P3: r-2 1 was accepted (Appended at x:7), and is not in the log (its run: unknown)"
    ])
  })

  it("sees a run without an ending, with two, or with something behind it", () => {
    assert.deepStrictEqual(broken(whole.slice(0, -1)), ["P8: r-1 has no ending"])
    assert.deepStrictEqual(broken([...whole, { type: "agent_error", reason: "lost" }]), [
      "P8: agent_error is behind the ending of r-1"
    ])
    assert.deepStrictEqual(broken(whole.slice(1)), ["P8: r-1 has custom as its event 1"])
  })

  it("sees commands that were accepted and did not reach their run, or reached it twice, or though they were refused", () => {
    const sent = (n: number, name: Sent["name"], outcome: Sent["outcome"]): Sent => ({
      n,
      run: "r-1",
      user: "ada",
      name,
      outcome,
      heardAt: 0
    })
    const took = (n: number, run = "r-1"): Line => ({ _tag: "Took", run, name: "steer", n })
    const cancelled = [...whole.slice(0, 4), { type: "agent_error", reason: "cancelled" }]
    const steered = sent(1, "steer", Command.accepted)
    assert.deepStrictEqual(broken(whole, [took(1)], [steered]), [])
    assert.deepStrictEqual(broken(whole, [], [steered]), [
      "P10: steer 1 of r-1 was accepted, and did not reach the run"
    ])
    assert.deepStrictEqual(broken(whole, [], [{ ...steered, heardAt: whole.length - 2 }]), [])
    assert.deepStrictEqual(broken(cancelled, [], [steered]), [])
    assert.deepStrictEqual(broken(whole, [took(1), took(1)], [steered]), ["P10: r-1 was given steer 1 2 times"])
    assert.deepStrictEqual(broken(whole, [took(1, "r-2")], [steered]), [
      "P10: r-2 was given steer 1, which nobody sent it"
    ])
    assert.deepStrictEqual(broken(whole, [took(1)], [sent(1, "steer", Command.refused("unavailable"))]), [
      "P10: steer 1 of r-1 was refused as unavailable, and reached the run"
    ])
    assert.deepStrictEqual(broken(cancelled, [], [sent(1, "cancel", Command.accepted)]), [])
    assert.deepStrictEqual(broken(whole, [], [sent(1, "cancel", Command.accepted)]), [
      "P10: cancel 1 of r-1 was accepted, and the run ended as completed"
    ])
    const answers = [sent(1, "answer", Command.accepted), sent(2, "answer", Command.accepted)]
    assert.include(broken(cancelled, [], answers), "P10: answers 1 and 2 of r-1 were both accepted")
  })
})
