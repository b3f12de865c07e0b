/**
 * The user-bound handle that programs emit through.
 *
 * An emitter is bound to one user when it is made, so no call takes a user id
 * and no event can reach another user. It is as cheap as an object: make one
 * per request, or per run.
 *
 * ```ts
 * import { Effect } from "effect"
 * import { AgentEvents, Emitter } from "effect-emitter"
 *
 * const answer = Effect.gen(function*() {
 *   yield* Emitter.emit(AgentEvents.AgentThinking.make({ text: "looking it up" }))
 *   const hits = yield* Effect.succeed(["Streams are pull-based"]).pipe(Emitter.tool("search", { q: "streams" }))
 *   yield* Emitter.emit(AgentEvents.TextDelta.make({ messageId: "m1", delta: hits.join() }))
 * }).pipe(Emitter.run({ agentName: "researcher" }))
 *
 * const request = answer.pipe(Effect.provide(Emitter.layerUser({ userId: "ada", threadId: "t1", runId: "r1" })))
 * ```
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import * as Layer from "effect/Layer"
import type * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { BrokerError } from "../broker/Broker.ts"
import type * as AgentEvents from "../protocol/event/AgentEvents.ts"
import type * as Command from "../protocol/command/Command.ts"
import type { Event, PayloadSchema } from "../protocol/event/Event.ts"
import type { EmissionContext } from "../protocol/values/Identity.ts"
import type { Position } from "../protocol/values/Position.ts"
import type { Given } from "../protocol/values/Present.ts"
import type { RunSnapshot } from "../protocol/run/RunSnapshot.ts"
import type { ConfirmOptions } from "./accept/Confirmation.ts"
import type { Receipt } from "./dispatch/Receipt.ts"
import type { AttachError } from "./AttachError.ts"
import type { EmitError } from "./EmitError.ts"
import type { Stats } from "./observe/Stats.ts"
import type * as Run from "./run/Run.ts"
import { comesFirst } from "./run/Arguments.ts"
import { pulledWithin } from "./run/RunStream.ts"
import { type Ask, askBy } from "./run/Requests.ts"
import type { Approved, ToolCall, ToolCallOptions, ToolOptions, ToolRefused } from "./run/ToolCall.ts"

export type { ConfirmOptions } from "./accept/Confirmation.ts"
export type { Appended, DeadLettered, HandedOver, Outcome } from "./delivery/Outcome.ts"
export type { Receipt } from "./dispatch/Receipt.ts"
export { DescribeFailure, errorMessage } from "./run/Failure.ts"
export type { OnlyLogged, PlainRunOptions, RunOptions } from "./run/Run.ts"
export type { AnyDefinition as AnyCommand } from "./run/OwnCommands.ts"
export type { BreakerState, DropReason, Stats } from "./observe/Stats.ts"
export {
  type ApprovalRequest,
  type Ask,
  AskError,
  type ChoiceRequest,
  type FormRequest,
  type Request,
  type RequestOptions,
  type TextRequest
} from "./run/Requests.ts"
export {
  type Approval,
  type Approved,
  type ToolCall,
  type ToolCallOptions,
  type ToolOptions,
  ToolRefused
} from "./run/ToolCall.ts"
export * from "./AttachError.ts"
export * from "./EmitError.ts"

/**
 * What is missing where options stand before the effect: the compiler names it.
 *
 * @category models
 * @since 0.1.0
 */
export interface EffectComesFirst {
  readonly "run(effect, options)": never
}

/**
 * What is missing where options stand before the stream: the compiler names it.
 *
 * @category models
 * @since 0.1.0
 */
export interface StreamComesFirst {
  readonly "runStream(stream, options)": never
}

/**
 * Makes an effect a run, in both styles: `run(effect, options)` and
 * `effect.pipe(run(options))`. `Own` is what the run itself gives its effect,
 * `Needed` what has to be provided.
 *
 * @category models
 * @since 0.1.0
 */
export interface AsRun<in out Own, out Needed = never> {
  <A, E, R>(
    self: Effect.Effect<A, E, R>,
    options: Run.RunOptions<A, E> & Run.OnlyLogged
  ): Effect.Effect<A, E, Needed | Exclude<R, Own>>
  <A, E, R>(
    self: Effect.Effect<A, E, R>,
    options: Run.RunOptions<A, E>
  ): Effect.Effect<A, E | EmitError, Needed | Exclude<R, Own>>
  (options: Run.RunOptions<never, never>, self: EffectComesFirst): void
  (
    options: Run.PlainRunOptions & Run.OnlyLogged
  ): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, Needed | Exclude<R, Own>>
  (
    options: Run.PlainRunOptions
  ): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E | EmitError, Needed | Exclude<R, Own>>
  <A, E>(
    options: Run.RunOptions<A, E> & Run.OnlyLogged
  ): <R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, Needed | Exclude<R, Own>>
  <A, E>(
    options: Run.RunOptions<A, E>
  ): <R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E | EmitError, Needed | Exclude<R, Own>>
}

/**
 * Makes an effect a tool call, in both styles: `tool(effect, name, input)` and
 * `effect.pipe(tool(name, input))`. `Needed` is what has to be provided.
 *
 * @category models
 * @since 0.1.0
 */
export interface AsTool<out Needed = never> {
  <A, E, R>(
    self: Effect.Effect<A, E, R>,
    name: string,
    input: unknown,
    options: ToolOptions & Approved
  ): Effect.Effect<A, E | EmitError | ToolRefused, Needed | R>
  (
    name: string,
    input: unknown,
    options: ToolOptions & Approved
  ): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E | EmitError | ToolRefused, Needed | R>
  <A, E, R>(
    self: Effect.Effect<A, E, R>,
    name: string,
    input: unknown,
    options?: ToolOptions
  ): Effect.Effect<A, E | EmitError, Needed | R>
  (
    name: string,
    input: unknown,
    options?: ToolOptions
  ): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E | EmitError, Needed | R>
}

/**
 * How an event is emitted.
 *
 * - `key`: with it the event is in the user's log once, however often it is emitted
 *   with this key and by whichever process: for an activity of a workflow, or
 *   another step that is retried. Keys are of one run (of one user, outside of
 *   runs), and of any text; name what the step does, such as `"plan/3"`. What is
 *   repeated gives the receipt of the first, and changes nothing.
 *
 *   It holds while the log has the event, and until 128 other sources of the user's
 *   events have come and gone after it. Within an emitter's run 1,024 keys are
 *   known, so that an event which was accepted is not refused when it is repeated:
 *   a tool call that is open, or an end.
 *
 *   A run outlives its emitter when its `agent_started` is emitted with a key: it
 *   does not end as `cancelled` when the emitter's scope closes, nor with its
 *   layer: it is let go. Whoever emits into it with a key later goes on where the log
 *   has it, from another process too: with its tool calls open, its usage counted,
 *   and refused if it has ended. One process at a time must work on it, as engines of
 *   workflows see to; where nothing sees to it, `Emitters.attach` does. It is active
 *   until it is ended by an event; over Redis it belongs to the process that appended
 *   to it last, and ends as `lost` where that one dies and no other appends to it or
 *   attaches to it within the lease.
 *
 *   Such an event is merged with no other, so it is meant for steps, not for each
 *   piece of a text.
 *
 * @category models
 * @since 0.1.0
 */
export interface EmitOptions {
  readonly key?: string | undefined
}

/**
 * Emits an event, and gives what became of it. `Needed` is what has to be provided.
 *
 * @category models
 * @since 0.1.0
 */
export interface Emit<out Needed = never> {
  (event: Event, options: EmitOptions): Effect.Effect<Receipt, EmitError, Needed>
  (event: Event): Effect.Effect<Receipt, EmitError, Needed>
}

/**
 * One user's emitter.
 *
 * - `emit` accepts one event. When it succeeds the event is in the user's log
 *   (critical events), or on its way there (others), behind all that was
 *   emitted before it. Interrupting the caller does not take it back. Events
 *   whose definition asks for confirmation wait for it. With a `key` the event is
 *   in the log once: see `EmitOptions`.
 * - `emitConfirmed` emits an event as a critical one and waits until a device
 *   has acknowledged it; it gives the event's position.
 * - `run` and `tool` wrap an effect in the events of its beginning and its one
 *   ending; inside `run` the `Emitter` is bound to the run. What the effect takes,
 *   gives or fails with is shown as far as it can be, and never costs the effect
 *   anything: the only failure of their own is a start that was refused, before
 *   which nothing ran. With `onEmitError: "log"` a run has none.
 * - `toolCall` gives a tool call in its steps, for who is told of calls one by one.
 * - `ask` asks the run's user for a yes or no, a choice, a text, or what a schema
 *   describes, and waits for the answer of whichever device gives it first. It is
 *   within a run that has an effect. Where nobody answers it fails with `AskError`.
 * - `commands` are the program's own commands of one kind that devices send to the
 *   run, until it ends. 64 wait at most; more are refused as `tooMany`.
 * - `usage` totals what `usage_reported` events told of this emitter's run.
 * - `snapshot` is the state of this emitter's run as the log has it.
 *
 * An emitter that a run gives, or that was attached to one, is bound to that run. Any other belongs, in each
 * fiber, to the innermost run there that began from it; outside of such a run to
 * the `runId` of its context, and without one to no run.
 *
 * @category services
 * @since 0.1.0
 */
export class Emitter extends Context.Service<Emitter, {
  readonly context: EmissionContext
  readonly emit: Emit
  readonly emitConfirmed: (event: Event, options: ConfirmOptions) => Effect.Effect<Position, EmitError>
  readonly run: AsRun<Emitter>
  readonly tool: AsTool
  readonly toolCall: (name: string, options?: ToolCallOptions) => Effect.Effect<ToolCall>
  readonly ask: Ask
  readonly commands: <Payload extends PayloadSchema>(
    definition: Command.Definition<string, Payload>
  ) => Stream.Stream<Payload["Type"], EmitError>
  readonly usage: Effect.Effect<AgentEvents.Usage>
  readonly snapshot: Effect.Effect<Option.Option<RunSnapshot>, BrokerError>
}>()("effect-emitter/Emitter") {}

/**
 * The engine of a layer: makes users' emitters.
 *
 * - `forUser` gives an emitter that lives as long as the scope. When the scope
 *   closes, the runs it started and that are still active end as `cancelled`,
 *   and what is pending is delivered, within `closeTimeout`.
 * - `attach` gives an emitter that goes on with an active run, from another process
 *   too, where its log has it: with its tool calls open, its usage counted, its keys
 *   known, its thread. The emitter is bound to that run, as one that a run gives. It
 *   ends the run by emitting `agent_completed` or `agent_error`. When its scope closes
 *   the run is not ended but let go, and the next may attach; a run that nobody goes
 *   on with ends as `lost` once the process that let it go is gone.
 *
 *   A run is held by one emitter at a time. `attach` fails with `AttachError`, and
 *   changes nothing, where the run is unknown, has ended, or is held: by an open
 *   emitter of this process, or by another process that lives. Where the broker cannot
 *   be asked it fails with the broker's error, and may be tried again. A process is known to
 *   live by its lease: where the holder has not let the run go, `attach` waits until it
 *   renews its lease, a third of the lease's time, or until that time is over; then
 *   the run is the caller's instead of lost. Of several who attach at once one gets
 *   the run. Whatever the last holder still emits is refused from then on, as of a
 *   lost run.
 * - `stats` is one view of all that was counted.
 *
 * ```ts
 * import { Effect } from "effect"
 * import { AgentEvents, Emitters } from "effect-emitter"
 *
 * // A step of a workflow, in whichever process it runs: the run is begun once, and gone on with after a crash.
 * const step = Effect.scoped(Effect.gen(function*() {
 *   const emitters = yield* Emitters
 *   const context = { userId: "ada", runId: "order-1" }
 *   const begin = Effect.gen(function*() {
 *     const emitter = yield* emitters.forUser(context)
 *     yield* emitter.emit(AgentEvents.AgentStarted.make({ agentName: "biller" }), { key: "start" })
 *     return emitter
 *   })
 *   const emitter = yield* emitters.attach(context).pipe(
 *     Effect.catchReason("AttachError", "RunUnknown", () => begin)
 *   )
 *   yield* Effect.succeed("receipt-7").pipe(emitter.tool("charge", { cents: 250 }))
 *   yield* emitter.emit(AgentEvents.AgentCompleted.make({ agentName: "biller", durationMs: 40 }), { key: "end" })
 * }))
 * ```
 *
 * @category services
 * @since 0.1.0
 */
export class Emitters extends Context.Service<Emitters, {
  readonly forUser: (
    context: Given<typeof EmissionContext.Encoded>
  ) => Effect.Effect<Emitter["Service"], InvalidContext, Scope.Scope>
  readonly attach: (
    context: Given<typeof EmissionContext.Encoded> & { readonly runId: string }
  ) => Effect.Effect<Emitter["Service"], InvalidContext | AttachError | BrokerError, Scope.Scope>
  readonly stats: Effect.Effect<Stats>
}>()("effect-emitter/Emitters") {}

/**
 * The context of an emitter breaks the rules of ids; `problem` lists every
 * field with its path.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidContext extends Schema.TaggedError<InvalidContext>()("InvalidContext", {
  problem: Schema.String
}) {
  override get message() {
    return `No emitter can be made: ${this.problem}`
  }
}

/**
 * The user's emitter as a layer, for as long as the layer lives.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerUser = (
  context: Given<typeof EmissionContext.Encoded>
): Layer.Layer<Emitter, InvalidContext, Emitters> =>
  Layer.effect(Emitter, Effect.flatMap(Emitters, (emitters) => emitters.forUser(context)))

/**
 * Emits an event through the emitter of the context: see the `emit` of
 * {@link Emitter}. It fails with `EmitError`, whose `reason` says why. With a `key`
 * it is in the log once, however often this is run: see {@link EmitOptions}.
 *
 * ```ts
 * import { Effect } from "effect"
 * import { AgentEvents, Emitter } from "effect-emitter"
 *
 * const answer = Effect.gen(function*() {
 *   yield* Emitter.emit(AgentEvents.AgentThinking.make({ text: "looking it up" }))
 *   yield* Emitter.emit(AgentEvents.TextDelta.make({ messageId: "m1", delta: "Streams are pull-based" }))
 *   yield* Emitter.emit(AgentEvents.Custom.make({ name: "charged", data: { cents: 250 } }), { key: "charge/1" })
 * }).pipe(Emitter.run({ agentName: "researcher" }))
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const emit: Emit<Emitter> = (event: Event, options: EmitOptions = {}) =>
  Effect.flatMap(Emitter, (emitter) => emitter.emit(event, options))

/**
 * Makes an effect a run of the context's emitter: see the `run` of
 * {@link Emitter}. The context's `runId` names the first run; further and nested
 * runs get ids of their own, nested ones with `parentRunId`.
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Emitter } from "effect-emitter"
 *
 * const piped = Effect.succeed(42).pipe(Emitter.run({ agentName: "researcher" }))
 * const plain = Emitter.run(Effect.succeed(42), { agentName: "researcher", result: (answer) => ({ answer }) })
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const run: AsRun<Emitter, Emitter> = dual(
  comesFirst("run", "effect"),
  <A, E, R>(self: Effect.Effect<A, E, R>, options: Run.RunOptions<A, E>) =>
    Effect.flatMap(Emitter, (emitter) => emitter.run(self, options))
)

/**
 * Makes a stream a run of the context's emitter, which lasts as long as the
 * stream is consumed: `agent_started` comes before its first element, and exactly
 * one ending after its last. Each consumption is a run of its own, as {@link run}
 * has them.
 *
 * - The run completes when the stream ends. Its `result` is made from the last
 *   element, if there was one.
 * - It fails, or is out of time, when the stream fails.
 * - It is cancelled when its consumer is interrupted, or leaves before the stream
 *   has ended: a closed connection, or a `Stream.take` behind it. What belongs to
 *   the run, such as a `Stream.takeUntil` that ends the answer, goes before it.
 *
 * What reads the stream decides how fast it is pulled: nothing is pulled ahead.
 * The end is seen once the run's ending was emitted.
 *
 * ```ts
 * import { Effect, Stream } from "effect"
 * import { AgentEvents, Emitter } from "effect-emitter"
 *
 * const answer = Stream.make("Streams ", "are ", "pull-based").pipe(
 *   Stream.tap((delta) => Emitter.emit(AgentEvents.TextDelta.make({ messageId: "m1", delta }))),
 *   Emitter.runStream({ agentName: "researcher" })
 * )
 *
 * const text = Stream.mkString(answer).pipe(Effect.provide(Emitter.layerUser({ userId: "ada" })))
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const runStream: {
  <A, E, R>(
    self: Stream.Stream<A, E, R>,
    options: Run.RunOptions<Option.Option<A>, E> & Run.OnlyLogged
  ): Stream.Stream<A, E, Emitter | Exclude<R, Emitter>>
  <A, E, R>(
    self: Stream.Stream<A, E, R>,
    options: Run.RunOptions<Option.Option<A>, E>
  ): Stream.Stream<A, E | EmitError, Emitter | Exclude<R, Emitter>>
  (options: Run.RunOptions<never, never>, self: StreamComesFirst): void
  (
    options: Run.PlainRunOptions & Run.OnlyLogged
  ): <A, E, R>(self: Stream.Stream<A, E, R>) => Stream.Stream<A, E, Emitter | Exclude<R, Emitter>>
  (
    options: Run.PlainRunOptions
  ): <A, E, R>(self: Stream.Stream<A, E, R>) => Stream.Stream<A, E | EmitError, Emitter | Exclude<R, Emitter>>
  <A, E>(
    options: Run.RunOptions<Option.Option<A>, E> & Run.OnlyLogged
  ): <R>(self: Stream.Stream<A, E, R>) => Stream.Stream<A, E, Emitter | Exclude<R, Emitter>>
  <A, E>(
    options: Run.RunOptions<Option.Option<A>, E>
  ): <R>(self: Stream.Stream<A, E, R>) => Stream.Stream<A, E | EmitError, Emitter | Exclude<R, Emitter>>
} = dual(
  comesFirst("runStream", "stream"),
  <A, E, R>(self: Stream.Stream<A, E, R>, options: Run.RunOptions<Option.Option<A>, E>) =>
    pulledWithin(self, (pulling) => run(pulling, options))
)

/**
 * Makes an effect a tool call of the context's emitter: see the `tool` of
 * {@link Emitter}. `tool_executing` shows the `input`, any value, and
 * `tool_completed` what the effect gave, or that it failed.
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Emitter } from "effect-emitter"
 *
 * const search = (query: string) =>
 *   Effect.succeed(["Streams are pull-based"]).pipe(Emitter.tool("search", { query }))
 *
 * const answer = search("streams").pipe(Emitter.run({ agentName: "researcher" }))
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const tool: AsTool<Emitter> = dual(
  (args) => Effect.isEffect(args[0]),
  <A, E, R>(self: Effect.Effect<A, E, R>, name: string, input: unknown, options?: ToolOptions) =>
    Effect.flatMap(Emitter, (emitter) => emitter.tool(self, name, input, options))
)

/**
 * Gives a tool call of the context's emitter in its steps: see {@link ToolCall}. Where the
 * tool is an effect of the program's own, {@link tool} does all of it.
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Emitter } from "effect-emitter"
 *
 * const answer = Effect.gen(function*() {
 *   const call = yield* Emitter.toolCall("search")
 *   yield* call.write('{"query":')
 *   yield* call.write('"streams"}')
 *   yield* call.begin({ query: "streams" })
 *   yield* call.run(Effect.succeed(["Streams are pull-based"]))
 * }).pipe(Emitter.run({ agentName: "researcher" }))
 * ```
 *
 * @category combinators
 * @since 0.2.0
 */
export const toolCall = (name: string, options?: ToolCallOptions): Effect.Effect<ToolCall, never, Emitter> =>
  Effect.flatMap(Emitter, (emitter) => emitter.toolCall(name, options))

/**
 * Asks the user of the context's run, and waits for the answer: see the `ask` of
 * {@link Emitter}. Every device sees the question, one answers it, and every device
 * sees that. It waits an hour, or as long as `timeout` says; then it gives the
 * `default`, or fails with `AskError`.
 *
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { Emitter } from "effect-emitter"
 *
 * const Address = Schema.Struct({ street: Schema.NonEmptyString, city: Schema.NonEmptyString })
 *
 * const order = Effect.gen(function*() {
 *   const isSure = yield* Emitter.ask({ kind: "approval", title: "Order the book?", timeout: "5 minutes", default: false })
 *   if (!isSure) return undefined
 *   const size = yield* Emitter.ask({ kind: "choice", title: "Which cover?", options: ["hard", "soft"] })
 *   const address = yield* Emitter.ask({ kind: "form", title: "Where to?", schema: Address })
 *   return { size, city: address.city }
 * }).pipe(Emitter.run({ agentName: "bookseller" }))
 * ```
 *
 * @category combinators
 * @since 0.2.0
 */
export const ask: Ask<Emitter> = askBy((request) => Effect.flatMap(Emitter, (emitter) => emitter.ask(request)))

/**
 * The program's own commands of one kind that devices send to the context's run, until
 * it ends: see the `commands` of {@link Emitter}. They wait from when this is run, or
 * from the start of a run whose options name them.
 *
 * ```ts
 * import { Effect, Schema, Stream } from "effect"
 * import { Command, Emitter } from "effect-emitter"
 *
 * const Steer = Command.make("steer", { payload: { text: Schema.NonEmptyString } })
 *
 * const answer = Effect.gen(function*() {
 *   const wishes = Emitter.commands(Steer).pipe(Stream.runForEach(({ text }) => Effect.log(text)))
 *   yield* Effect.forkChild(wishes)
 *   yield* Effect.sleep("1 second")
 * }).pipe(Emitter.run({ agentName: "writer", commands: [Steer] }))
 * ```
 *
 * @category combinators
 * @since 0.2.0
 */
export const commands = <Payload extends PayloadSchema>(
  definition: Command.Definition<string, Payload>
): Stream.Stream<Payload["Type"], EmitError, Emitter> =>
  Stream.unwrap(Effect.map(Emitter, (emitter) => emitter.commands(definition)))
