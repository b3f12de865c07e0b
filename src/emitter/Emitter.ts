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
 *   const emitter = yield* Emitter.Emitter
 *   yield* emitter.emit(AgentEvents.AgentThinking.make({ text: "looking it up" }))
 *   const hits = yield* Effect.succeed(["Streams are pull-based"]).pipe(emitter.tool("search", { q: "streams" }))
 *   yield* emitter.emit(AgentEvents.TextDelta.make({ messageId: "m1", delta: hits.join() }))
 * }).pipe(Emitter.run({ agentName: "researcher" }))
 *
 * const request = answer.pipe(Effect.provide(Emitter.layerUser({ userId: "ada", threadId: "t1", runId: "r1" })))
 * ```
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type { BrokerError } from "../broker/Broker.ts"
import type * as AgentEvents from "../protocol/AgentEvents.ts"
import type { Event } from "../protocol/Event.ts"
import type { EmissionContext } from "../protocol/Identity.ts"
import type { Position } from "../protocol/Position.ts"
import type { Given } from "../protocol/Present.ts"
import type { RunSnapshot } from "../protocol/RunSnapshot.ts"
import type { ConfirmOptions } from "./accept/Confirmation.ts"
import type { Receipt } from "./dispatch/Receipt.ts"
import type { EmitError } from "./EmitError.ts"
import type { Stats } from "./observe/Stats.ts"
import type * as Run from "./run/Run.ts"
import type { ToolOptions } from "./run/Tool.ts"

export type { ConfirmOptions } from "./accept/Confirmation.ts"
export type { Receipt } from "./dispatch/Receipt.ts"
export { DescribeFailure, errorMessage } from "./run/Failure.ts"
export type { OnlyLogged, PlainRunOptions, RunOptions } from "./run/Run.ts"
export type { DropReason, Stats } from "./observe/Stats.ts"
export type { ToolOptions } from "./run/Tool.ts"
export * from "./EmitError.ts"

/**
 * One user's emitter.
 *
 * - `emit` accepts one event. When it succeeds the event is in the user's log
 *   (critical events), or on its way there (others), behind all that was
 *   emitted before it. Interrupting the caller does not take it back. Events
 *   whose definition asks for confirmation wait for it.
 * - `emitConfirmed` emits an event as a critical one and waits until a device
 *   has acknowledged it; it gives the event's position.
 * - `run` and `tool` wrap an effect in the events of its beginning and its one
 *   ending; inside `run` the `Emitter` is bound to the run. What the effect takes,
 *   gives or fails with is shown as far as it can be, and never costs the effect
 *   anything: the only failure of their own is a start that was refused, before
 *   which nothing ran. With `onEmitError: "log"` a run has none.
 * - `usage` totals what `usage_reported` events told of this emitter's run.
 * - `snapshot` is the state of this emitter's run as the log has it.
 *
 * @category services
 * @since 0.1.0
 */
export class Emitter extends Context.Service<Emitter, {
  readonly context: EmissionContext
  readonly emit: (event: Event) => Effect.Effect<Receipt, EmitError>
  readonly emitConfirmed: (event: Event, options: ConfirmOptions) => Effect.Effect<Position, EmitError>
  readonly run: {
    <A, E, R>(
      options: Run.RunOptions<A, E> & Run.OnlyLogged,
      effect: Effect.Effect<A, E, R>
    ): Effect.Effect<A, E, Exclude<R, Emitter>>
    <A, E, R>(
      options: Run.RunOptions<A, E>,
      effect: Effect.Effect<A, E, R>
    ): Effect.Effect<A, E | EmitError, Exclude<R, Emitter>>
  }
  readonly tool: (
    name: string,
    input: unknown,
    options?: ToolOptions
  ) => <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E | EmitError, R>
  readonly usage: Effect.Effect<AgentEvents.Usage>
  readonly snapshot: Effect.Effect<Option.Option<RunSnapshot>, BrokerError>
}>()("effect-emitter/Emitter") {}

/**
 * The engine of a layer: makes users' emitters.
 *
 * - `forUser` gives an emitter that lives as long as the scope. When the scope
 *   closes, the runs it started and that are still active end as `cancelled`,
 *   and what is pending is delivered, within `closeTimeout`.
 * - `stats` is one view of all that was counted.
 *
 * @category services
 * @since 0.1.0
 */
export class Emitters extends Context.Service<Emitters, {
  readonly forUser: (
    context: Given<typeof EmissionContext.Encoded>
  ) => Effect.Effect<Emitter["Service"], InvalidContext, Scope.Scope>
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
 * Makes an effect a run: see the `run` of {@link Emitter}. The context's
 * `runId` names the first run; further and nested runs get ids of their own,
 * nested ones with `parentRunId`.
 *
 * @category combinators
 * @since 0.1.0
 */
export const run: {
  (
    options: Run.PlainRunOptions & Run.OnlyLogged
  ): <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, Emitter | Exclude<R, Emitter>>
  (
    options: Run.PlainRunOptions
  ): <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E | EmitError, Emitter | Exclude<R, Emitter>>
  <A, E>(
    options: Run.RunOptions<A, E> & Run.OnlyLogged
  ): <R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, Emitter | Exclude<R, Emitter>>
  <A, E>(
    options: Run.RunOptions<A, E>
  ): <R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E | EmitError, Emitter | Exclude<R, Emitter>>
} =
  <A, E>(options: Run.RunOptions<A, E>) =>
  <R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E | EmitError, Emitter | Exclude<R, Emitter>> =>
    Effect.flatMap(Emitter, (emitter) => emitter.run(options, effect))
