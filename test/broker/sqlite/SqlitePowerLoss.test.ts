/**
 * A machine that ends at random moments, played by copies of the file without its last writes: what is left is the beginning
 * of what was, and whoever has seen more is told of a gap.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import type { Envelope } from "effect-emitter/protocol"
import { Identity, type Position } from "effect-emitter"
import { type Draw, forSeeds, seeded } from "../../support/random.ts"
import { textOf } from "../../support/runs.ts"
import type { BrokerService } from "../brokerSuite.ts"
import { envelope, idOf, newUser, plenty } from "../events.ts"
import { life } from "./lives.ts"
import { asOfAnotherBoot, copyTorn } from "./powerLoss.ts"
import { newFile } from "./sqliteFile.ts"

const limits = { maxEvents: 64 } as const

/** A user's log as it was answered: where the device stands, and which event has which offset. */
interface Known {
  readonly user: Identity.UserId
  readonly events: Array<Envelope.Envelope>
  position: Position.Position | undefined
}

const run = (known: Known, n: number) => `${known.user}-run-${n}`

const perRun = 20

/** The next event: runs of so many events follow each other, and say their numbers. */
const nextOf = (known: Known): Envelope.Envelope => {
  const sequence = known.events.length + 1
  const n = Math.floor((sequence - 1) / perRun)
  const at = (sequence - 1) % perRun
  const of = { sequence, run: run(known, n), at: sequence }
  return at === 0
    ? envelope({ ...of, type: "agent_started", data: { agentName: "a" } })
    : at === perRun - 1
    ? envelope({ ...of, type: "agent_completed", data: { agentName: "a", durationMs: 1 } })
    : envelope({ ...of, type: "text_delta", data: { messageId: "m", delta: `${sequence} ` } })
}

/** Appends at random, and says before each step how the logs stand: `moment` may play the end of the machine. */
const live = (broker: BrokerService, users: ReadonlyArray<Known>, draw: Draw, moment: (step: number) => void) =>
  Effect.gen(function*() {
    for (let step = 0; step < 160; step++) {
      moment(step)
      const known = draw.pick(users)
      const batch = [nextOf(known)] as [Envelope.Envelope, ...Array<Envelope.Envelope>]
      known.events.push(batch[0])
      for (let more = draw.below(6); more > 0; more--) {
        const next = nextOf(known)
        known.events.push(next)
        batch.push(next)
      }
      known.position = yield* broker.append(known.user, batch)
      assert.strictEqual(known.position.offset, known.events.length)
      if (draw.chance(0.1)) yield* broker.acknowledge(known.user, known.position)
    }
  })

/** What a log of the copy must be to a device that stood at `before`, and to an emitter that repeats what it has; gives how many events it lacks. */
const holds = (broker: BrokerService, { events, position: before, user }: Known) =>
  Effect.gen(function*() {
    if (before === undefined) return 0
    const { entries, gap, next } = yield* broker.pull(user, before, plenty)
    assert.strictEqual(gap?.reason, "epoch")
    assert.notStrictEqual(next.epoch, before.epoch)
    // Each offset has the event that it had, up to some offset, and then what ended with the machine.
    const endings = entries.filter(({ type }) => type === "agent_error")
    const kept = entries.slice(0, entries.length - endings.length)
    const from = kept[0]?.offset ?? 1
    assert.deepStrictEqual(entries.map(({ offset }) => offset), entries.map((_, index) => from + index))
    assert.deepStrictEqual(
      kept.map((entry) => [entry.offset, idOf(entry)]),
      kept.map(({ offset }) => [offset, `${events[offset - 1]?.id}`])
    )
    const last = kept.at(-1)?.offset ?? 0
    // The states of runs are of just these events, and every run has ended.
    for (const { run, state } of (yield* broker.snapshots(user, 0)).snapshots) {
      assert.notStrictEqual(state.status, "active", run)
      const said = events.slice(0, last).filter((event) => event.run === run && event.type === "text_delta")
      assert.strictEqual(state.parts.map(textOf).join(""), said.map(({ sequence }) => `${sequence} `).join(""))
    }
    assert.lengthOf(endings, last % perRun === 0 ? 0 : 1)
    // What its emitter still has is taken where it is missing, once: runs that ended with the machine take no more.
    const [first, ...others] = events.filter((event) => event.sequence > Math.ceil(last / perRun) * perRun)
    const lost = events.length - last
    if (first === undefined) return lost
    const repeated = yield* broker.append(user, [first, ...others])
    const again = yield* broker.append(user, [first, ...others])
    assert.deepStrictEqual(again, repeated)
    assert.strictEqual(repeated.offset, last + endings.length + others.length + 1)
    return lost
  })

describe("SqliteBroker, power that is lost at random moments", () => {
  it.effect("leaves the beginning of each log, tells of a gap, and takes each event that is missing once", () =>
    forSeeds({ count: 1 }, (draw, seed) =>
      Effect.gen(function*() {
        const file = yield* newFile
        const users: ReadonlyArray<Known> = ["a", "b", "c"].map((name) => ({
          user: newUser(name),
          events: [],
          position: undefined
        }))
        const copies: Array<{ readonly copy: string; readonly users: ReadonlyArray<Known> }> = []
        yield* life(file, (broker) =>
          live(broker, users, draw, (step) => {
            if (step % 20 !== 6) return
            const copy = `${file}-copy${step}`
            if (!copyTorn(file, copy, seeded(seed * 1_000 + step))) return
            copies.push({ copy, users: users.map((known) => ({ ...known, events: [...known.events] })) })
          }), limits)
        assert.isAtLeast(copies.length, 5)
        let lost = 0
        for (const { copy, users } of copies) {
          asOfAnotherBoot(copy)
          const lostOfEach = yield* life(
            copy,
            (broker) => Effect.forEach(users, (known) => holds(broker, known)),
            limits
          )
          lost += lostOfEach.reduce((sum, one) => sum + one, 0)
        }
        assert.isAbove(lost, 100)
      }).pipe(Effect.scoped)))
})
