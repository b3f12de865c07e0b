/** A receipt says what is so, also when closing took too long. */
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Fiber, Layer, Scope } from "effect"
import { DeadLetters, Emitters, type FallbackChannel, Spool } from "effect-emitter"
import { TestBroker } from "effect-emitter/testing"
import { TestClock } from "effect/testing"
import { layer, urgent } from "../support/emitting.ts"

/** Emits while the broker gives no answer, closes the layer, and gives the receipt beside what is in the dead letters. */
const receiptOf = Effect.fnUntraced(function*(
  channels: ReadonlyArray<FallbackChannel.FallbackChannel>,
  spans = false
) {
  const scope = yield* Scope.make()
  const context = yield* Layer.buildWithScope(layer({ channels, config: { closeTimeout: "1 second", spans } }), scope)
  yield* Context.get(context, TestBroker.TestBroker).behave("hang")
  const emitter = yield* Scope.provide(Context.get(context, Emitters).forUser({ userId: "ada" }), scope)
  const emitting = yield* Effect.forkDetach(emitter.emit(urgent(1)), { startImmediately: true })
  yield* TestClock.adjust("100 millis")
  assert.isUndefined(emitting.pollUnsafe())
  const closing = yield* Effect.forkDetach(Scope.close(scope, Exit.void))
  yield* TestClock.adjust("10 seconds")
  yield* Fiber.join(closing)
  const letters = yield* Context.get(context, DeadLetters.DeadLetters).list()
  return [yield* Fiber.join(emitting), letters.map(({ trigger }) => trigger)] as const
})

describe("Receipts", () => {
  for (const spans of [false, true]) {
    const how = spans ? ", with spans" : ""
    it.effect(`fault 4: names the spool, where closing took too long and the spool took the event${how}`, () =>
      Effect.gen(function*() {
        const spool = yield* Spool.memory()
        const [receipt, letters] = yield* receiptOf([spool], spans)
        assert.deepStrictEqual(receipt, { _tag: "HandedOver", channel: "spool" })
        assert.deepStrictEqual(letters, [])
        assert.strictEqual(spool.spool?.depth().events, 1)
      }))

    it.effect(`fault 4: names the dead letter, where there is no spool${how}`, () =>
      Effect.gen(function*() {
        const [receipt, letters] = yield* receiptOf([], spans)
        assert.deepStrictEqual(receipt, { _tag: "DeadLettered", reason: "interrupted" })
        assert.deepStrictEqual(letters, ["interrupted"])
      }))
  }
})
