/** Room at a user's limit, made by connections whose devices say nothing. Their sockets linger: nothing here tells that one is gone. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { CloseCode } from "effect-emitter/events"
import { TestClock } from "effect/testing"
import type { Liveness } from "../../../src/hub/Transport.ts"
import { FakeBroker, FakeTransport } from "../fakes.ts"
import { makeHub, now, open } from "../hub.ts"

/** A transport whose device was heard of at `heardAt`, and answers when it is asked, or never does. */
class Asked extends FakeTransport {
  asked = 0
  readonly liveness: Liveness

  constructor(heardAt: number, answers: boolean) {
    super()
    this.liveness = {
      heardAt: () => heardAt,
      ask: () => void this.asked++,
      isSilent: () => !answers || this.asked === 0,
      heardElsewhere: () => {}
    }
  }
}

const codesOf = ({ closeReasons }: FakeTransport) => closeReasons.map(({ code }) => code)

describe("A user's limit on connections", () => {
  it.effect("fault 3: a silent device counts no more once it had its time, though its socket is still there", () =>
    Effect.gen(function*() {
      const hub = yield* makeHub(new FakeBroker({ maxEvents: 100, delay: now }), { perUser: 1 })
      const [silent, newcomer] = [new Asked(0, false), new FakeTransport()]
      yield* open(hub, silent)
      const opening = yield* Effect.forkChild(open(hub, newcomer))
      yield* TestClock.adjust("1900 millis")
      assert.isUndefined(opening.pollUnsafe())
      assert.deepStrictEqual(codesOf(silent), [])
      yield* TestClock.adjust("150 millis")
      assert.strictEqual(opening.pollUnsafe()?._tag, "Success")
      assert.deepStrictEqual(newcomer.frames.map(({ type }) => type), ["welcome"])
      assert.deepStrictEqual(codesOf(silent), [CloseCode.closeCodes.heartbeatLost])
      assert.strictEqual(silent.asked, 1)
      assert.strictEqual((yield* hub.stats).connections, 1)
    }))

  it.effect("fault 3: only the three that were quiet for longest are asked, and only those are closed that do not answer", () =>
    Effect.gen(function*() {
      const hub = yield* makeHub(new FakeBroker({ maxEvents: 100, delay: now }), { perUser: 5 })
      const there = [[40, true], [10, true], [50, false], [20, false], [30, true]] as const
      const transports = there.map(([heardAt, answers]) => new Asked(heardAt, answers))
      for (const transport of transports) yield* open(hub, transport)
      const opening = yield* Effect.forkChild(open(hub, new FakeTransport()))
      yield* TestClock.adjust("3 seconds")
      assert.strictEqual(opening.pollUnsafe()?._tag, "Success")
      assert.deepStrictEqual(transports.map(({ asked }) => asked), [0, 1, 0, 1, 1])
      assert.deepStrictEqual(transports.map((transport) => codesOf(transport).length), [0, 0, 0, 1, 0])
    }))
})
