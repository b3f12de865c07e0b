import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Scope } from "effect"
import { TestClock } from "effect/testing"
import * as Alerts from "../../../src/emitter/observe/Alerts.ts"
import { DeliveryBench } from "../support/DeliveryBench.ts"
import { envelopes, userId } from "../support/envelopes.ts"

const recording = Effect.fnUntraced(function*(
  more: { readonly notify?: Effect.Effect<void, string>; readonly atMostEvery?: string & `${number} minutes` } = {}
) {
  const alerts: Array<Alerts.Alert> = []
  const alert = yield* Alerts.make({
    notify: (told) => Effect.andThen(Effect.sync(() => alerts.push(told)), more.notify ?? Effect.void),
    atMostEvery: more.atMostEvery ?? "1 minute",
    timeout: "10 seconds"
  })
  return { alert, alerts }
})

describe("OperatorAlert", () => {
  it.effect("tells the first trouble at once", () =>
    Effect.gen(function*() {
      const { alert, alerts } = yield* recording()
      yield* TestClock.adjust("3 seconds")
      alert.breakerOpened("broker")
      yield* TestClock.adjust(0)
      assert.deepStrictEqual(alerts, [{ since: 3_000, breakerOpenings: { broker: 1 }, deadLetters: {} }])
    }))

  it.effect("puts together what happens within the time between two alerts, and then is silent", () =>
    Effect.gen(function*() {
      const { alert, alerts } = yield* recording()
      alert.breakerOpened("broker")
      yield* TestClock.adjust("1 second")
      for (let i = 0; i < 1_000; i++) alert.deadLettered("brokerFailed", 2)
      alert.deadLettered("defect", 1)
      alert.breakerOpened("webhook")
      alert.breakerOpened("broker")
      yield* TestClock.adjust("58 seconds")
      assert.strictEqual(alerts.length, 1)
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(alerts[1], {
        since: 1_000,
        breakerOpenings: { webhook: 1, broker: 1 },
        deadLetters: { brokerFailed: 2_000, defect: 1 }
      })
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(alerts.length, 2)
      alert.breakerOpened("broker")
      yield* TestClock.adjust(0)
      assert.strictEqual(alerts.length, 3)
    }))

  for (
    const [how, notify] of [
      ["fails", Effect.fail("no mail today")],
      ["dies", Effect.die("a bug")],
      ["hangs", Effect.never]
    ] as const
  ) {
    it.effect(`goes on after an alert that ${how}`, () =>
      Effect.gen(function*() {
        const { alert, alerts } = yield* recording({ notify })
        alert.breakerOpened("broker")
        yield* TestClock.adjust("2 minutes")
        alert.breakerOpened("broker")
        yield* TestClock.adjust("2 minutes")
        assert.strictEqual(alerts.length, 2)
      }))
  }

  it.effect("tells on closing what was not told yet, and nothing later", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const { alert, alerts } = yield* Scope.provide(recording(), scope)
      alert.breakerOpened("broker")
      yield* TestClock.adjust("1 second")
      alert.deadLettered("interrupted", 5)
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(alerts.map(({ deadLetters }) => deadLetters), [{}, { interrupted: 5 }])
      alert.breakerOpened("broker")
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(alerts.length, 2)
    }))

  it.effect("hears from a delivery of openings and of dead letters", () =>
    Effect.gen(function*() {
      const { alert, alerts } = yield* recording()
      const bench = yield* DeliveryBench.make({ alert, retry: { attempts: 0, base: "1 millis", cap: "5 millis" } })
      bench.broker.behaviour = "fail"
      for (let i = 1; i <= 5; i++) yield* bench.deliver(userId("ada"), envelopes("ada", i))
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(alerts, [{
        since: 0,
        breakerOpenings: { broker: 1 },
        deadLetters: { brokerFailed: 3, breakerOpen: 2 }
      }])
    }))

  it.effect("hears from a delivery of dead letters alone, where only one user's events are not taken", () =>
    Effect.gen(function*() {
      const { alert, alerts } = yield* recording()
      const bench = yield* DeliveryBench.make({ alert })
      bench.broker.behaviour = "die"
      for (let i = 1; i <= 5; i++) yield* bench.deliver(userId("ada"), envelopes("ada", i))
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(alerts, [
        { since: 0, breakerOpenings: {}, deadLetters: { defect: 5 } }
      ])
    }))
})
