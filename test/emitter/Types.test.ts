// @effect-diagnostics missingEffectContext:off
// @effect-diagnostics missingEffectError:off
/**
 * Wrong use does not compile. The compiler holds these, with `npm run check`; a directive that expects an error and finds
 * none is itself one.
 */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Layer, Schema } from "effect"
import { AgentEvents, Broker, ConfigError, Emitter, EmitterLayer, Emitters, Event, Webhook } from "effect-emitter"

type Ada = Emitter.Emitter["Service"]

/** What is written here is compiled, and never run. */
const assertCompiles = (..._examples: ReadonlyArray<(ada: Ada) => unknown>) => assert.isAbove(_examples.length, 0)

const program = Effect.flatMap(Emitters, ({ stats }) => stats)

describe("the compiler takes by their public names", () => {
  it("the options of retries, and the problems that an error of settings lists", () =>
    assertCompiles(
      (): Webhook.RetryOptions => ({ attempts: 2, base: "200 millis", cap: "1 second" }),
      (): ReadonlyArray<ConfigError.Issue> => new ConfigError.ConfigError({ of: "Webhook", issues: [] }).issues
    ))
})

describe("the compiler refuses", () => {
  it("a program without a broker", () =>
    assertCompiles(
      () => Effect.runPromise(Effect.provide(program, EmitterLayer().pipe(Layer.provide(Broker.layerMemory())))),
      // @ts-expect-error: the broker is missing
      () => Effect.runPromise(Effect.provide(program, EmitterLayer()))
    ))

  it("an emitter outside of its scope", () =>
    assertCompiles(
      () => (emitters: Emitters["Service"]) => Effect.runPromise(Effect.scoped(emitters.forUser({ userId: "ada" }))),
      // @ts-expect-error: the scope is missing
      () => (emitters: Emitters["Service"]) => Effect.runPromise(emitters.forUser({ userId: "ada" }))
    ))

  it("an emitter attached to no run, outside of its scope, or whose failures are not all seen", () =>
    assertCompiles(
      () => (emitters: Emitters["Service"]) =>
        emitters.attach({ userId: "ada", runId: "r", threadId: undefined }).pipe(
          Effect.catchTags({
            AttachError: ({ reason }) => Effect.die(reason._tag satisfies "RunUnknown" | "RunEnded" | "RunHeld"),
            BrokerError: Effect.die,
            InvalidContext: Effect.die
          }),
          Effect.scoped,
          Effect.runPromise<Ada, never>
        ),
      // @ts-expect-error: the run is missing
      () => (emitters: Emitters["Service"]) => emitters.attach({ userId: "ada" }),
      // @ts-expect-error: the run may be missing
      () => (emitters: Emitters["Service"]) => emitters.attach({ userId: "ada", runId: undefined }),
      // @ts-expect-error: the scope is missing
      () => (emitters: Emitters["Service"]) => Effect.runPromise(emitters.attach({ userId: "ada", runId: "r" }))
    ))

  it("a user id, or anything else, beside the event", () =>
    assertCompiles(
      (ada) => ada.emit(AgentEvents.AgentThinking.make({ text: "hm" })),
      // @ts-expect-error: an emitter is bound to its user
      (ada) => ada.emit(AgentEvents.AgentThinking.make({ text: "hm" }), "bob"),
      // @ts-expect-error: an emitter is bound to its user
      (ada) => ada.emit("bob", AgentEvents.AgentThinking.make({ text: "hm" })),
      // @ts-expect-error: a payload takes no user either
      (ada) => ada.emit(AgentEvents.AgentThinking.make({ text: "hm", userId: "bob" }))
    ))

  it("another broker or manager given by hand", () =>
    assertCompiles(
      // @ts-expect-error: there is no such option
      () => EmitterLayer({ manager: 1 }),
      // @ts-expect-error: there is no such option
      () => EmitterLayer({ broker: Broker.layerMemory() })
    ))

  it("a payload that does not fit its event", () =>
    assertCompiles(
      // @ts-expect-error: text is missing
      () => AgentEvents.AgentThinking.make({}),
      // @ts-expect-error: text is a string
      () => AgentEvents.AgentThinking.make({ text: 1 }),
      // @ts-expect-error: there is no such reason
      () => AgentEvents.AgentError.make({ reason: "bored", message: "", retryable: true }),
      // @ts-expect-error: a function is no JSON
      () => AgentEvents.Custom.make({ name: "n", data: () => 1 }),
      // @ts-expect-error: a bare object is no event
      (ada) => ada.emit({ type: "agent_thinking", payload: { text: "hm" } })
    ))

  it("a context that is none", () =>
    assertCompiles(
      () => Emitter.layerUser({ userId: "ada", threadId: "t", runId: "r", tier: "pro", priority: 9 }),
      // @ts-expect-error: the user is missing
      () => Emitter.layerUser({ threadId: "t" }),
      // @ts-expect-error: an id is a string
      () => Emitter.layerUser({ userId: 1 }),
      // @ts-expect-error: there is no such field
      () => Emitter.layerUser({ userId: "ada", user_id: "ada" }),
      () => Emitter.layerUser({ userId: "ada", runId: undefined })
    ))

  it("the same context in one spelling and not in the other", () =>
    assertCompiles(() => {
      const context: Parameters<typeof Emitter.layerUser>[0] = { userId: "ada" }
      const same: Parameters<Emitters["Service"]["forUser"]>[0] = context
      const back: Parameters<typeof Emitter.layerUser>[0] = same
      return back
    }))

  it("settings that do not exist, or have another type", () =>
    assertCompiles(
      () => EmitterLayer({ profile: "throughput", batching: { maxDelay: "50 millis", overflow: "fail" } }),
      // @ts-expect-error: there is no such profile
      () => EmitterLayer({ profile: "fast" }),
      // @ts-expect-error: there is no such field
      () => EmitterLayer({ batching: { size: 5 } }),
      () => EmitterLayer({ batching: { maxDelay: 50 } }),
      () => EmitterLayer({ batching: { maxDelay: Duration.millis(50) } }),
      // @ts-expect-error: there is no such unit
      () => EmitterLayer({ batching: { maxDelay: "50 milis" } }),
      // @ts-expect-error: a text has its unit
      () => EmitterLayer({ batching: { maxDelay: "50" } }),
      // @ts-expect-error: there is no such overflow
      (): EmitterConfig.Options => ({ batching: { overflow: "drop" } })
    ))

  it("a definition that cannot be encoded, or merged as it says", () =>
    assertCompiles(
      () => Event.make("note_added", { payload: { id: Schema.String, text: Schema.String } }),
      // @ts-expect-error: there is no such delivery class
      () => Event.make("note_added", { payload: { text: Schema.String }, delivery: "soon" }),
      () =>
        Event.make("note_added", {
          payload: { id: Schema.String, count: Schema.Number },
          // @ts-expect-error: a number cannot be joined
          coalesce: { _tag: "Concatenate", by: "id", text: "count" }
        })
    ))

  it("a run whose emitter is missing, and an error that is not handled", () =>
    assertCompiles(
      (ada) =>
        Effect.runPromise(
          Effect.void.pipe(Emitter.run({ agentName: "a" }), Effect.provideService(Emitter.Emitter, ada))
        ),
      // @ts-expect-error: the emitter is missing
      () => Effect.runPromise(Effect.void.pipe(Emitter.run({ agentName: "a" }))),
      // @ts-expect-error: emit can fail
      (ada): Effect.Effect<Emitter.Receipt> => ada.emit(AgentEvents.AgentThinking.make({ text: "hm" }))
    ))
})
