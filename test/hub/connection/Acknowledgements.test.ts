import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { Broker, type Position } from "effect-emitter"
import { Acknowledgements, maxKept } from "../../../src/hub/connection/Acknowledgements.ts"
import { makeCounters } from "../../../src/hub/Stats.ts"
import { FakeBroker } from "../fakes.ts"
import { ada, now } from "../hub.ts"

const at = (offset: number, epoch = "E1"): Position.Position => ({ epoch, offset })

const away = new Broker.BrokerError({
  reason: new Broker.BrokerUnavailable({ operation: "acknowledge", afterMs: 0, cause: new Error("a test") })
})

/** What a broker was told that does not take these offsets. */
const passTo = (refused: ReadonlySet<number> = new Set()) => {
  const taken: Array<Position.Position> = []
  const broker: Broker.Broker["Service"] = {
    ...new FakeBroker({ maxEvents: 1, delay: now }).service,
    acknowledge: (_, position) =>
      refused.has(position.offset) ? Effect.fail(away) : Effect.sync(() => void taken.push(position))
  }
  return { options: { broker, counters: makeCounters(), user: ada }, taken }
}

describe("Acknowledgements", () => {
  it.effect("keeps what the broker did not take, and lets go of what it took", () =>
    Effect.gen(function*() {
      const acknowledgements = new Acknowledgements()
      for (const offset of [1, 2, 3, 2]) acknowledgements.keep(at(offset))
      const first = passTo(new Set([3]))
      yield* acknowledgements.passKept(first.options)
      assert.deepStrictEqual([first.taken, first.options.counters.acknowledgements], [[at(1), at(2)], 2])
      assert.isTrue(acknowledgements.hasKept)
      const second = passTo()
      yield* acknowledgements.passKept(second.options)
      assert.deepStrictEqual([second.taken, acknowledgements.hasKept], [[at(3)], false])
    }))

  it.effect("keeps so many, the last of them", () =>
    Effect.gen(function*() {
      const acknowledgements = new Acknowledgements()
      for (let offset = 1; offset <= maxKept + 2; offset++) acknowledgements.keep(at(offset))
      const { options, taken } = passTo()
      yield* acknowledgements.passKept(options)
      assert.deepStrictEqual(taken, Array.from({ length: maxKept }, (_, index) => at(index + 3)))
    }))

  it.effect("keeps those of the newest log alone", () =>
    Effect.gen(function*() {
      const acknowledgements = new Acknowledgements()
      for (const position of [at(7), at(8), at(1, "E2"), at(2, "E2")]) acknowledgements.keep(position)
      const { options, taken } = passTo()
      yield* acknowledgements.passKept(options)
      assert.deepStrictEqual(taken, [at(1, "E2"), at(2, "E2")])
    }))
})
