/**
 * Schedules that once broke a promise, cut down. They are kept as data, since what a seed draws changes with the kinds of
 * trouble there are.
 */
import type { Schedule } from "./Schedule.ts"

/** A schedule, and what went wrong in it. */
export interface Known {
  readonly name: string
  readonly schedule: Schedule
}

export const known: ReadonlyArray<Known> = [
  {
    name: "fault 44: a run whose start comes out of the spool behind its ending ends once",
    schedule: {
      seed: 771_015_581,
      setting: {
        users: 1,
        overflow: "suspend",
        channels: ["spool"],
        spoolEvents: 1000,
        capacity: 8,
        attempts: 2,
        retained: 1000,
        room: 3,
        direct: false
      },
      steps: [
        { _tag: "broker", behave: { after: 2, do: "fail" } },
        { _tag: "emit", user: 0, emitter: 0, kind: "batched" },
        { _tag: "pass", ms: 150 },
        { _tag: "die" },
        { _tag: "run", user: 0, emitter: 0, lasts: 44, ending: "complete", timeout: undefined, nested: false },
        { _tag: "broker", behave: { after: 9, do: "ok" } },
        { _tag: "channel", name: "spool", behave: { after: 33, do: "fail" } },
        { _tag: "pass", ms: 500 },
        { _tag: "replay" },
        { _tag: "pass", ms: 150 }
      ]
    }
  },
  {
    name: "fault 44: a run whose start is replayed when its process has died ends once",
    schedule: {
      seed: 771_016_892,
      setting: {
        users: 2,
        overflow: "suspend",
        channels: ["spool"],
        spoolEvents: 8,
        capacity: 64,
        attempts: 2,
        retained: 1000,
        room: 1,
        direct: false
      },
      steps: [
        { _tag: "emit", user: 0, emitter: 0, kind: "batched" },
        { _tag: "broker", behave: "loseAnswer" },
        { _tag: "run", user: 1, emitter: 0, lasts: 30, ending: "fail", timeout: undefined, nested: true },
        { _tag: "pass", ms: 150 },
        { _tag: "run", user: 1, emitter: 0, lasts: 92, ending: "byHand", timeout: undefined, nested: false },
        { _tag: "broker", behave: { after: 52, do: "ok" } },
        { _tag: "pass", ms: 500 },
        { _tag: "emit", user: 1, emitter: 0, kind: "volatile" },
        { _tag: "replay" }
      ]
    }
  },
  {
    name: "fault 44: a run that was refused whole, and is replayed, ends once",
    schedule: {
      seed: 771_018_439,
      setting: {
        users: 2,
        overflow: "suspend",
        channels: [],
        spoolEvents: 1000,
        capacity: 8,
        attempts: 1,
        retained: 24,
        room: 1,
        direct: false
      },
      steps: [
        { _tag: "run", user: 1, emitter: 0, lasts: 74, ending: "complete", timeout: undefined, nested: true },
        { _tag: "broker", behave: "refuse" },
        { _tag: "pass", ms: 500 },
        { _tag: "run", user: 0, emitter: 0, lasts: 9, ending: "fail", timeout: undefined, nested: false },
        { _tag: "run", user: 1, emitter: 0, lasts: 71, ending: "die", timeout: 22, nested: false },
        { _tag: "broker", behave: "ok" },
        { _tag: "pass", ms: 20 },
        { _tag: "pass", ms: 5 },
        { _tag: "replay" }
      ]
    }
  },
  {
    name: "fault 36: a run whose start is replayed, though the wall clock went back before it ended, ends once",
    schedule: {
      seed: 1,
      setting: {
        users: 1,
        overflow: "suspend",
        channels: [],
        spoolEvents: 1000,
        capacity: 8,
        attempts: 1,
        retained: 1000,
        room: 1000,
        direct: false
      },
      steps: [
        { _tag: "broker", behave: "fail" },
        { _tag: "run", user: 0, emitter: 0, lasts: 900, ending: "complete", timeout: undefined, nested: false },
        { _tag: "pass", ms: 20 },
        { _tag: "broker", behave: "ok" },
        { _tag: "clock", ms: -60_000 },
        { _tag: "pass", ms: 500 },
        { _tag: "pass", ms: 500 },
        { _tag: "replay" },
        { _tag: "die" },
        { _tag: "pass", ms: 500 }
      ]
    }
  },
  {
    name:
      "what a restart leaves of a batch that was looked through in part stands behind nothing that was tried after it",
    schedule: {
      seed: 990_023_720,
      setting: {
        users: 2,
        overflow: "suspend",
        channels: ["spool"],
        spoolEvents: 1000,
        capacity: 64,
        attempts: 1,
        retained: 24,
        room: 1000,
        direct: false
      },
      steps: [
        { _tag: "emit", user: 0, emitter: 0, kind: "poisonBatched" },
        { _tag: "broker", behave: { after: 19, do: "ok" } },
        { _tag: "restart" },
        { _tag: "pass", ms: 20 },
        { _tag: "emit", user: 0, emitter: 0, kind: "poison" },
        { _tag: "pass", ms: 500 },
        { _tag: "pass", ms: 50 },
        { _tag: "emit", user: 0, emitter: 0, kind: "critical" },
        { _tag: "ail", user: 0, ailment: "refuse" },
        { _tag: "pass", ms: 500 },
        { _tag: "pass", ms: 50 },
        { _tag: "pass", ms: 50 },
        { _tag: "ail", user: 0, ailment: "reject" },
        { _tag: "pass", ms: 5 },
        { _tag: "flood", user: 0, emitter: 0, events: 13 },
        { _tag: "pass", ms: 500 },
        { _tag: "broker", behave: "loseAnswer" },
        { _tag: "pass", ms: 150 }
      ]
    }
  }
]
