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
import * as Effectable from "effect/Effectable"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import type { Broker, BrokerError } from "../broker/Broker.ts"
import * as AgentEvents from "../protocol/AgentEvents.ts"
import type { Event } from "../protocol/Event.ts"
import { EmissionContext } from "../protocol/Identity.ts"
import type { Position } from "../protocol/Position.ts"
import { type Given, present } from "../protocol/Present.ts"
import type { RunSnapshot } from "../protocol/RunSnapshot.ts"
import type { Acceptor } from "./accept/Acceptor.ts"
import { bind, type Binding } from "./accept/Binding.ts"
import type { Confirm, ConfirmOptions } from "./accept/Confirmation.ts"
import type { Dispatcher } from "./dispatch/Dispatcher.ts"
import type { Receipt } from "./dispatch/Receipt.ts"
import type { EmitError } from "./EmitError.ts"
import type { EmitterConfig, TierSettings } from "./EmitterConfig.ts"
import type { Stats } from "./observe/Stats.ts"
import type { Reporter } from "./run/Reporting.ts"
import * as Run from "./run/Run.ts"
import { tool, type ToolOptions } from "./run/Tool.ts"

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

const decodeContext = Schema.decodeUnknownExit(EmissionContext, { errors: "all", onExcessProperty: "error" })

/**
 * What the emitters of a layer are made of. `name` begins the names of all their
 * events' sources, unlike those of any other layer.
 *
 * @category models
 * @since 0.1.0
 */
export interface Parts {
  readonly name: string
  readonly config: Pick<EmitterConfig, "tiers"> & TierSettings
  readonly dispatcher: Dispatcher
  readonly acceptor: Acceptor
  readonly confirm: Confirm
  readonly reporter: Reporter
  readonly snapshots: Broker["Service"]["snapshots"]
  readonly stats: Effect.Effect<Stats>
}

// What an emitter does.
type Actions = Pick<Parts, "acceptor" | "confirm" | "reporter" | "snapshots">

// What `emit` gives. An effect of its own kind costs every event about 50 ns less than a suspended closure.
class Emission extends Effectable.Class<Receipt, EmitError> {
  readonly #acceptor: Acceptor
  readonly #binding: Binding
  readonly #event: Event

  constructor(acceptor: Acceptor, binding: Binding, event: Event) {
    super()
    this.#acceptor = acceptor
    this.#binding = binding
    this.#event = event
  }

  asEffect(): Effect.Effect<Receipt, EmitError> {
    return this.#acceptor.emit(this.#binding, this.#event)
  }
}

const emitWith =
  ({ acceptor, confirm }: Actions, binding: Binding) => (event: Event): Effect.Effect<Receipt, EmitError> => {
    const asked = event.definition.confirm
    return asked === undefined
      ? new Emission(acceptor, binding, event)
      : Effect.map(confirm(binding, event, asked), (position) => ({ _tag: "Appended", position }))
  }

const zeroUsage: AgentEvents.Usage = { inputTokens: 0, outputTokens: 0 }

// Its members are made when they are asked for, and `emit` is kept: an idle emitter takes little more than its binding.
class BoundEmitter {
  readonly #actions: Actions
  readonly #binding: Binding
  #emit: Emitter["Service"]["emit"] | undefined

  constructor(actions: Actions, binding: Binding) {
    this.#actions = actions
    this.#binding = binding
  }

  get emit(): Emitter["Service"]["emit"] {
    return this.#emit ??= emitWith(this.#actions, this.#binding)
  }

  get context(): EmissionContext {
    return this.#binding.context
  }

  get emitConfirmed(): Emitter["Service"]["emitConfirmed"] {
    return (event, options) => this.#actions.confirm(this.#binding, event, options)
  }

  get run(): Emitter["Service"]["run"] {
    const actions = this.#actions
    const binding = this.#binding
    function run<A, E, R>(
      options: Run.RunOptions<A, E> & Run.OnlyLogged,
      effect: Effect.Effect<A, E, R>
    ): Effect.Effect<A, E, Exclude<R, Emitter>>
    function run<A, E, R>(
      options: Run.RunOptions<A, E>,
      effect: Effect.Effect<A, E, R>
    ): Effect.Effect<A, E | EmitError, Exclude<R, Emitter>>
    function run<A, E, R>(options: Run.RunOptions<A, E>, effect: Effect.Effect<A, E, R>) {
      const inside = (child: Binding) => Effect.provideService(effect, Emitter, new BoundEmitter(actions, child))
      return options.onEmitError === "log"
        ? Run.runAnyway(actions.reporter, binding, options, inside)
        : Run.run(actions.reporter, binding, options, inside)
    }
    return run
  }

  get tool(): Emitter["Service"]["tool"] {
    return (name, input, options = {}) => (effect) =>
      tool(this.#actions.reporter, this.#binding, name, input, options, effect)
  }

  get usage(): Emitter["Service"]["usage"] {
    return Effect.sync(() => Run.usageOf(this.#binding) ?? zeroUsage)
  }

  get snapshot(): Emitter["Service"]["snapshot"] {
    return Effect.suspend(() => {
      const { context: { runId }, outbox } = this.#binding
      return Effect.map(
        this.#actions.snapshots(outbox.user),
        ({ snapshots }) => Option.fromUndefinedOr(snapshots.find(({ run }) => run === runId)?.state)
      )
    })
  }
}

/**
 * Makes the service of a layer.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (parts: Parts): Emitters["Service"] => {
  const { config, dispatcher, name } = parts
  const hasTiers = Object.keys(config.tiers).length > 0
  let opened = 0

  const settingsFor = ({ tier }: EmissionContext): TierSettings | undefined => {
    if (tier === undefined || !hasTiers) return config
    return Object.hasOwn(config.tiers, tier) ? config.tiers[tier] : undefined
  }

  const close = ({ origin, outbox }: Binding): Effect.Effect<void> =>
    Effect.suspend(() => {
      outbox.runs.cancel(origin)
      origin.isClosed = true
      return dispatcher.release(outbox)
    })

  const open = (context: EmissionContext, settings: TierSettings, scope: Scope.Scope): Effect.Effect<Binding> =>
    Effect.suspend(() => {
      const outbox = dispatcher.hold(context.userId, settings)
      const origin = { layerName: name, number: opened++, source: undefined, last: 0, isClosed: false }
      const binding = bind({ outbox, origin }, context)
      return Effect.as(Scope.addFinalizer(scope, close(binding)), binding)
    })

  const forUser: Emitters["Service"]["forUser"] = (context) =>
    Effect.flatMap(Effect.scope, (scope) => {
      const decoded = decodeContext(present(context))
      if (decoded._tag === "Failure") return Effect.fail(invalidContext(decoded))
      const settings = settingsFor(decoded.value)
      return settings === undefined
        ? Effect.fail(unknownTier(decoded.value.tier, Object.keys(config.tiers)))
        : Effect.map(open(decoded.value, settings, scope), (binding) => new BoundEmitter(parts, binding))
    })

  return { forUser, stats: parts.stats }
}

const unknownTier = (tier: string | undefined, known: ReadonlyArray<string>): InvalidContext =>
  new InvalidContext({
    problem: `no tier is named ${JSON.stringify(tier)} (there are: ${known.join(", ")})\n  at ["tier"]`
  })

const invalidContext = (exit: Exit.Failure<unknown, Schema.SchemaError>): InvalidContext => {
  const error = Exit.findErrorOption(exit)
  return new InvalidContext({ problem: Option.isSome(error) ? error.value.message : "the context cannot be read" })
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
