/**
 * What a device asks of a run, for tests of programs whose runs are stopped, asked and
 * steered.
 *
 * A test plays the device: it needs no gateway and no socket, and time goes by
 * `TestClock`. Each command has an id of its own, and ends in the outcome that a device
 * would be told.
 *
 * ```ts
 * import { Effect, Exit, Fiber, Layer } from "effect"
 * import { Broker, Emitter, EmitterLayer } from "effect-emitter"
 * import { TestDevice } from "effect-emitter/testing"
 *
 * const program = Effect.gen(function*() {
 *   const asking = Emitter.ask({ kind: "approval", title: "Send it?" }).pipe(
 *     Emitter.run({ agentName: "writer" }),
 *     Effect.provide(Emitter.layerUser({ userId: "ada", runId: "r1" }))
 *   )
 *   const run = yield* Effect.forkChild(Effect.exit(asking), { startImmediately: true })
 *   const device = TestDevice.of("ada", "r1")
 *   yield* device.answer("request-1", true)
 *   const exit = yield* Fiber.join(run)
 *   return Exit.isSuccess(exit) && exit.value
 * }).pipe(Effect.provide(EmitterLayer().pipe(Layer.provideMerge(Broker.layerMemory()))))
 * ```
 *
 * @since 0.2.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import { Broker, type BrokerError } from "../broker/Broker.ts"
import * as Command from "../protocol/command/Command.ts"
import type { PayloadSchema } from "../protocol/event/EventDefinition.ts"
import { RunId, UserId } from "../protocol/values/Identity.ts"
import * as Names from "../protocol/values/Names.ts"

/**
 * What a device asks of one run.
 *
 * - `cancel` stops it; the program may be told a `reason`.
 * - `answer` answers a request of the run: its first one is `request-1`.
 * - `send` sends a command of the program's own.
 *
 * @category models
 * @since 0.2.0
 */
export interface TestDevice {
  readonly cancel: (reason?: string) => Effect.Effect<Command.Outcome, BrokerError, Broker>
  readonly answer: (requestId: string, value: Schema.Json) => Effect.Effect<Command.Outcome, BrokerError, Broker>
  readonly send: <Payload extends PayloadSchema>(
    definition: Command.Definition<string, Payload>,
    payload: Payload["Type"]
  ) => Effect.Effect<Command.Outcome, BrokerError, Broker>
}

/**
 * A device of a user that looks at a run. A broker that takes no commands is a mistake
 * in the test, and dies.
 *
 * @category constructors
 * @since 0.2.0
 */
export const of = (userId: string, runId: string): TestDevice => {
  const user = UserId.make(userId)
  const run = RunId.make(runId)
  const ask = (name: string, data: Schema.Json | undefined) =>
    Effect.gen(function*() {
      const { commands } = yield* Broker
      if (commands === undefined) return yield* Effect.die(new Error("The broker takes no commands"))
      const id = Command.CommandId.make(`test-${yield* Names.next}`)
      return yield* commands.send(user, { id, run, name, ...(data === undefined ? {} : { data }) }, within)
    })
  return {
    cancel: (reason) => ask("cancel", reason === undefined ? undefined : { reason }),
    answer: (requestId, answer) => ask("answer", { requestId, answer }),
    send: ({ name, write }, payload) => Effect.suspend(() => ask(name, write(payload)))
  }
}

// How long a gateway waits by default.
const within = Duration.seconds(5)
