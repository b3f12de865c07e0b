import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Fiber, Option } from "effect"
import { Broker } from "effect-emitter"
import { TestClock } from "effect/testing"
import { Strangers } from "../../../src/gateway/admission/Strangers.ts"
import * as OperatorLog from "../../../src/gateway/OperatorLog.ts"
import type { SessionContext } from "../../../src/gateway/session/SessionContext.ts"
import { renew } from "../../../src/gateway/websocket/Renewal.ts"
import { Revoked } from "../../../src/hub/Revocation.ts"
import { FakeBroker } from "../../hub/fakes.ts"
import { makeHub, now } from "../../hub/hub.ts"
import { makeCommands } from "../commands.ts"
import { user } from "../server.ts"

const away = new Broker.BrokerError({ reason: new Broker.BrokerRefused({ operation: "subscribe", detail: "away" }) })
const few = { count: 10, ms: Infinity }
const ada = { userId: user("ada"), expiresAt: undefined, issuedAt: 1 }

/** A renewal over a log that is away so many times before it tells that the access was revoked. */
const renewOver = Effect.fnUntraced(function*(awayTimes: number, isAwaited: () => boolean) {
  let asked = 0
  const hub = yield* makeHub(new FakeBroker({ maxEvents: 10, delay: now }))
  const context: SessionContext = {
    limits: {
      helloTimeoutMs: 1,
      heartbeatMs: 1,
      silenceMs: 1,
      expiryGraceMs: 1,
      framesPerSecond: 1,
      maxSnapshots: 100,
      maxFrameBytesIn: 16_384,
      retentionMs: 1
    },
    hub: {
      ...hub,
      admit: () => Effect.suspend(() => Effect.fail(++asked > awayTimes ? new Revoked() : away))
    },
    commands: yield* makeCommands(),
    authenticator: { verify: () => Effect.succeed(ada), recognize: () => Effect.succeed(Option.none()) },
    strangers: new Strangers({ silent: few, unauthenticated: few, refused: few }, () => 0),
    clock: yield* Clock.Clock,
    compressor: undefined,
    run: Effect.runForkWith(yield* Effect.context<never>()),
    add: () => {},
    remove: () => {},
    nextId: () => assert.fail("no connection is opened"),
    tell: OperatorLog.make(yield* Clock.Clock),
    admits: () => true,
    comeBackAfterMs: () => 1,
    closed: () => {}
  }
  let renewed = 0
  const renewal = yield* Effect.forkChild(
    Effect.exit(renew(context, { known: ada, token: "newer", renewed: () => renewed++, isAwaited }))
  )
  yield* TestClock.adjust(1)
  assert.strictEqual(renewed, 1)
  return { renewal, asked: () => asked }
})

describe("A renewal", () => {
  it.effect("fault 10: while the log is away asks it again, and ends the connection if it tells of a revocation then", () =>
    Effect.gen(function*() {
      const { asked, renewal } = yield* renewOver(3, () => false)
      assert.strictEqual(asked(), 1)
      yield* TestClock.adjust("3 seconds")
      const exit = yield* Fiber.join(renewal)
      assert.strictEqual(exit._tag === "Failure" ? String(exit.cause).includes("revoked") : false, true)
      assert.strictEqual(asked(), 4)
    }))

  it.effect("fault 10: while the log is away holds nothing up that waits for it", () =>
    Effect.gen(function*() {
      let isAwaited = false
      const { asked, renewal } = yield* renewOver(Infinity, () => isAwaited)
      yield* TestClock.adjust("2 seconds")
      isAwaited = true
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* Fiber.join(renewal))._tag, "Success")
      assert.strictEqual(asked(), 4)
    }))
})
