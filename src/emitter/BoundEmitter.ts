/**
 * Emitters bound to users, over the parts of one layer.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Effectable from "effect/Effectable"
import * as Exit from "effect/Exit"
import { dual } from "effect/Function"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import type { Broker } from "../broker/Broker.ts"
import type * as AgentEvents from "../protocol/event/AgentEvents.ts"
import type { Confirmation, Event } from "../protocol/event/Event.ts"
import { EmissionContext } from "../protocol/values/Identity.ts"
import { type Given, present } from "../protocol/values/Present.ts"
import type { Acceptor } from "./accept/Acceptor.ts"
import { bind, type Binding } from "./accept/Binding.ts"
import type { Confirm } from "./accept/Confirmation.ts"
import type { TakeUp } from "./accept/LoggedRun.ts"
import type { Dispatcher } from "./dispatch/Dispatcher.ts"
import type { Receipt } from "./dispatch/Receipt.ts"
import type { EmitError } from "./EmitError.ts"
import { type EmitOptions, Emitter, type Emitters, InvalidContext } from "./Emitter.ts"
import type { EmitterConfig, TierSettings } from "./EmitterConfig.ts"
import type { Stats } from "./observe/Stats.ts"
import type { Attachment } from "./run/Attachment.ts"
import type { Reporter } from "./run/Reporting.ts"
import * as Run from "./run/Run.ts"
import { comesFirst } from "./run/Arguments.ts"
import { bindingHere } from "./run/CurrentRun.ts"
import * as OwnCommands from "./run/OwnCommands.ts"
import * as Requests from "./run/Requests.ts"
import { tool } from "./run/Tool.ts"
import { type Approved, toolCall, type ToolOptions } from "./run/ToolCall.ts"

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
  readonly takeUp: TakeUp
  readonly attachment: Attachment
  readonly stats: Effect.Effect<Stats>
}

// What an emitter does.
type Actions = Pick<Parts, "acceptor" | "confirm" | "reporter" | "snapshots" | "takeUp">

// What `emit` gives: an effect of its own kind, which costs less than a suspended closure.
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
    return this.#acceptor.emit(bindingHere(this.#binding), this.#event)
  }
}

const emitWith =
  ({ acceptor, confirm, takeUp }: Actions, binding: Binding) =>
  (event: Event, options?: EmitOptions): Effect.Effect<Receipt, EmitError> => {
    const asked = confirmationOf(event)
    if (asked instanceof TypeError) return Effect.die(asked)
    const key = options?.key
    if (asked !== undefined) {
      return Effect.map(
        here(binding, (bound) => confirm(bound, event, asked, key)),
        (position) => ({ _tag: "Appended", position })
      )
    }
    return key === undefined
      ? new Emission(acceptor, binding, event)
      : here(
        binding,
        (bound) => Effect.andThen(takeUp(bound), Effect.suspend(() => acceptor.emitOnce(bound, event, key)))
      )
  }

// What the compiler refuses is told to programs without one.
const confirmationOf = (event: Event | null | undefined): Confirmation | TypeError | undefined => {
  const definition = event?.definition
  if (definition !== undefined) return definition.confirm
  const name = Predicate.isObject(event) && "name" in event && "make" in event ? String(event["name"]) : undefined
  return new TypeError(
    name === undefined
      ? "What was emitted is no event: emit what the make of a definition gives"
      : `${name} is a definition and no event: emit what its make(payload) gives`
  )
}

// What the emitter is bound to where the effect runs.
const here = <A, E, R>(binding: Binding, use: (bound: Binding) => Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.suspend(() => use(bindingHere(binding)))

const zeroUsage: AgentEvents.Usage = { inputTokens: 0, outputTokens: 0 }

// Its members are made when they are asked for, and `emit` is kept: an idle emitter takes little more than its binding.
// So it is a mutable class.
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
    return (event, options) => {
      const asked = confirmationOf(event)
      return asked instanceof TypeError
        ? Effect.die(asked)
        : here(this.#binding, (bound) => this.#actions.confirm(bound, event, options))
    }
  }

  get run(): Emitter["Service"]["run"] {
    const actions = this.#actions
    const binding = this.#binding
    const run = <A, E, R>(self: Effect.Effect<A, E, R>, options: Run.RunOptions<A, E>) => {
      const inside = (child: Binding) => Effect.provideService(self, Emitter, new BoundEmitter(actions, child))
      return options.onEmitError === "log"
        ? Run.runAnyway(actions.reporter, binding, options, inside)
        : Run.run(actions.reporter, binding, options, inside)
    }
    return dual(comesFirst("run", "effect"), run)
  }

  get tool(): Emitter["Service"]["tool"] {
    return dual(
      (args) => Effect.isEffect(args[0]),
      <A, E, R>(
        self: Effect.Effect<A, E, R>,
        name: string,
        input: unknown,
        options: ToolOptions & Partial<Approved> = {}
      ) => here(this.#binding, (bound) => tool(this.#actions.reporter, bound, name, input, options, self))
    )
  }

  get toolCall(): Emitter["Service"]["toolCall"] {
    return (name, options) =>
      here(this.#binding, (bound) => Effect.succeed(toolCall(this.#actions.reporter, bound, name, options)))
  }

  get ask(): Emitter["Service"]["ask"] {
    return Requests.askBy((request) =>
      here(this.#binding, (bound) => Requests.ask(this.#actions.reporter, bound, request))
    )
  }

  get commands(): Emitter["Service"]["commands"] {
    return (definition) => OwnCommands.commands(this.#actions.acceptor, () => bindingHere(this.#binding), definition)
  }

  get usage(): Emitter["Service"]["usage"] {
    return Effect.sync(() => Run.usageOf(bindingHere(this.#binding)) ?? zeroUsage)
  }

  get snapshot(): Emitter["Service"]["snapshot"] {
    return here(this.#binding, ({ context: { runId }, outbox }) =>
      Effect.map(
        this.#actions.snapshots(outbox.user),
        ({ snapshots }) => Option.fromUndefinedOr(snapshots.find(({ run }) => run === runId)?.state)
      ))
  }
}

/**
 * Makes the service of a layer.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (parts: Parts): Emitters["Service"] => {
  const { attachment, config, dispatcher, name } = parts
  const hasTiers = Object.keys(config.tiers).length > 0
  let opened = 0

  const settingsFor = ({ tier }: EmissionContext): TierSettings | undefined => {
    if (tier === undefined || !hasTiers) return config
    return Object.hasOwn(config.tiers, tier) ? config.tiers[tier] : undefined
  }

  // Its runs are held until all that it emitted is delivered.
  const close = (binding: Binding): Effect.Effect<void> =>
    Effect.suspend(() => {
      const { origin, outbox } = binding
      outbox.runs.cancel(origin)
      origin.isClosed = true
      return Effect.andThen(dispatcher.release(outbox), attachment.letGo(binding))
    })

  // Made here, it holds the binding alone.
  const closing = (binding: Binding) => () => close(binding)

  const open = (
    context: EmissionContext,
    settings: TierSettings,
    scope: Scope.Scope,
    isWithinRun = false
  ): Effect.Effect<Binding> =>
    Effect.suspend(() => {
      const outbox = dispatcher.hold(context.userId, settings)
      const origin = {
        layerName: name,
        number: opened++,
        boundTo: context.runId,
        source: undefined,
        last: 0,
        isClosed: false
      }
      const binding = bind({ outbox, origin }, context, isWithinRun)
      if (context.runId !== undefined) outbox.runs.bind(origin)
      return Effect.as(Scope.addFinalizerExit(scope, closing(binding)), binding)
    })

  const check = (
    context: Given<typeof EmissionContext.Encoded>
  ): Effect.Effect<{ readonly checked: EmissionContext; readonly settings: TierSettings }, InvalidContext> =>
    Effect.suspend(() => {
      const decoded = decodeContext(present(context))
      if (decoded._tag === "Failure") return Effect.fail(invalidContext(decoded))
      const settings = settingsFor(decoded.value)
      return settings === undefined
        ? Effect.fail(unknownTier(decoded.value.tier, Object.keys(config.tiers)))
        : Effect.succeed({ checked: decoded.value, settings })
    })

  const forUser: Emitters["Service"]["forUser"] = (context) =>
    Effect.flatMap(Effect.scope, (scope) =>
      Effect.flatMap(
        check(context),
        ({ checked, settings }) =>
          Effect.map(open(checked, settings, scope), (binding) => new BoundEmitter(parts, binding))
      ))

  const attach: Emitters["Service"]["attach"] = (context) =>
    Effect.uninterruptibleMask((restore) =>
      Effect.gen(function*() {
        const { checked, settings } = yield* check(context)
        const { runId } = checked
        if (runId === undefined) return yield* new InvalidContext({ problem: "the run is missing\n  at [\"runId\"]" })
        // What did not come to be attached does not last as long as the scope.
        const scope = yield* Scope.fork(yield* Effect.scope)
        const binding = yield* open(checked, settings, scope, true)
        const threadId = yield* restore(attachment.attach(binding, runId)).pipe(
          Effect.onError((cause) => Scope.close(scope, Exit.failCause(cause)))
        )
        const isComplete = checked.threadId !== undefined || threadId === undefined
        return new BoundEmitter(parts, isComplete ? binding : bind(binding, { ...checked, threadId }, true))
      })
    )

  return { forUser, attach, stats: parts.stats }
}

const unknownTier = (tier: string | undefined, known: ReadonlyArray<string>): InvalidContext =>
  new InvalidContext({
    problem: `no tier is named ${JSON.stringify(tier)} (there are: ${known.join(", ")})\n  at ["tier"]`
  })

const invalidContext = (exit: Exit.Failure<unknown, Schema.SchemaError>): InvalidContext => {
  const error = Exit.findErrorOption(exit)
  return new InvalidContext({ problem: Option.isSome(error) ? error.value.message : "the context cannot be read" })
}
