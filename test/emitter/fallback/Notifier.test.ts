import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Fiber } from "effect"
import type { NonEmptyReadonlyArray } from "effect/Array"
import { TestClock } from "effect/testing"
import { ChannelError, ChannelTimeout, ChannelUnavailable } from "../../../src/emitter/fallback/FallbackChannel.ts"
import * as Notifier from "../../../src/emitter/fallback/Notifier.ts"
import type { Envelope } from "../../../src/protocol/wire/Envelope.ts"
import { DeliveryBench } from "../support/DeliveryBench.ts"
import { envelopes, sequences, userId } from "../support/envelopes.ts"

class Mail extends Context.Service<Mail, { readonly send: (to: string, text: string) => Effect.Effect<void> }>()(
  "test/Mail"
) {}

const ada = userId("ada")

describe("Notifier", () => {
  it.effect("gives a whole batch to the user's effect, with the services of where it was made", () =>
    Effect.gen(function*() {
      const sent: Array<string> = []
      const mail = Mail.of({ send: (to, text) => Effect.sync(() => sent.push(`${to}: ${text}`)) })
      const channel = yield* Notifier.make({
        notify: (user, batch) => Effect.flatMap(Mail, ({ send }) => send(user, sequences(batch).join(" ")))
      }).pipe(Effect.provideService(Mail, mail))
      const bench = yield* DeliveryBench.make({
        channels: [channel],
        retry: { attempts: 0, base: "1 millis", cap: "5 millis" }
      })
      const taken = { _tag: "HandedOver", channel: "notifier" } as const
      bench.broker.behaviour = "fail"
      assert.deepStrictEqual(yield* bench.deliver(ada, envelopes("ada", 1, 3)), taken)
      assert.deepStrictEqual(sent, ["ada: 1 2 3"])
      // What the broker takes of nobody comes alone: the events around it might have gone to the broker.
      bench.broker.behaviour = "die"
      assert.deepStrictEqual(yield* bench.deliver(ada, envelopes("ada", 4, 5)), {
        _tag: "Divided",
        outcomes: [taken, taken]
      })
      assert.deepStrictEqual(sent, ["ada: 1 2 3", "ada: 4", "ada: 5"])
    }))

  it.effect("fails typed with what the effect failed with", () =>
    Effect.gen(function*() {
      const channel = yield* Notifier.make({ name: "mail", notify: () => Effect.fail("no such address") })
      assert.deepStrictEqual(
        yield* Effect.flip(channel.deliver(ada, envelopes("ada", 1))),
        new ChannelError({ channel: "mail", reason: new ChannelUnavailable({ cause: "no such address" }) })
      )
    }))

  it.effect("does not wait longer than its deadline, and stops the effect", () =>
    Effect.gen(function*() {
      let stopped = false
      const channel = yield* Notifier.make({
        notify: () => Effect.onInterrupt(Effect.never, () => Effect.sync(() => stopped = true)),
        deadline: "3 seconds"
      })
      const fiber = yield* Effect.forkChild(Effect.flip(channel.deliver(ada, envelopes("ada", 1))))
      yield* TestClock.adjust("3 seconds")
      const reason = new ChannelTimeout({ withinMs: 3_000 })
      assert.deepStrictEqual(yield* Fiber.join(fiber), new ChannelError({ channel: "notifier", reason }))
      assert.isTrue(stopped)
    }))

  it.effect("treats an effect that throws where it is made as one that dies", () =>
    Effect.gen(function*() {
      const notify = (_user: string, _batch: NonEmptyReadonlyArray<Envelope>): Effect.Effect<void> => {
        throw new Error("thrown")
      }
      const bench = yield* DeliveryBench.make({ channels: [yield* Notifier.make({ notify })] })
      bench.broker.behaviour = "die"
      assert.deepStrictEqual(yield* bench.deliver(ada, envelopes("ada", 1)), { _tag: "DeadLettered", reason: "defect" })
    }))
})
