/**
 * The way of an event from `emit` onto its user's list: checked against its
 * schema, its size and its run's order, encoded once, numbered, and counted.
 *
 * @since 0.1.0
 */
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Schema from "effect/Schema"
import * as AgentEvents from "../../protocol/event/AgentEvents.ts"
import type { Envelope } from "../../protocol/wire/Envelope.ts"
import type { AnyDefinition, Coalesce, Event } from "../../protocol/event/Event.ts"
import type { RunId } from "../../protocol/values/Identity.ts"
import * as RunEvents from "../../protocol/event/RunEvents.ts"
import * as RunState from "../../protocol/run/RunState.ts"
import { outcomeOf } from "../delivery/Outcome.ts"
import type { Dispatcher } from "../dispatch/Dispatcher.ts"
import type { Outbox } from "../dispatch/Outbox.ts"
import type { Pending } from "../dispatch/Pending.ts"
import type { Receipt } from "../dispatch/Receipt.ts"
import { EmitError, EmitterClosed, EventTooLarge, InvalidPayload, NoRun, Overflow } from "../EmitError.ts"
import type { EmitterConfig } from "../EmitterConfig.ts"
import { AcceptCounters } from "../observe/Counters.ts"
import type { CancelledBy, RunRecord } from "../user/RunRegistry.ts"
import { type Binding, type Kind, runOf } from "./Binding.ts"
import { encode, encodedAlready, EnvelopeWriter, stringify } from "./EnvelopeWriter.ts"
import { encoderOf } from "./EventEncoder.ts"
import { keyedSource } from "./KeyedSource.ts"

/**
 * A critical event as it was accepted, and what became of it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Emitted {
  readonly envelope: Envelope
  readonly receipt: Receipt
}

// A critical event that is to go out, or what became of another one: `wait` before it is accepted.
type Accepted = Pending | "deferred" | "overBudget" | "wait" | EmitError

/**
 * It is a mutable class, since each emit goes through it.
 *
 * @category models
 * @since 0.1.0
 */
export class Acceptor {
  readonly counters = new AcceptCounters()
  private readonly dispatcher: Dispatcher
  private readonly writer: EnvelopeWriter
  private readonly enforcesOrder: boolean
  // What is known of each definition that was emitted.
  private readonly kinds = new WeakMap<AnyDefinition, Kind>()

  constructor(dispatcher: Dispatcher, clock: Clock.Clock, lifecycle: EmitterConfig["lifecycle"]) {
    this.dispatcher = dispatcher
    this.writer = new EnvelopeWriter(clock)
    this.enforcesOrder = lifecycle === "enforce"
  }

  /**
   * Emits an event; what `Emitter.emit` runs. The event is accepted within the
   * call, except where it must wait for room. The effect waits for the receipt. The
   * ending of a run never waits for room. An event that is `owed` ends something that
   * was accepted before: it is never refused for want of room, nor for its size up to
   * 16 KiB. With `keyed` it is the only event of that source.
   */
  emit(binding: Binding, event: Event, owed = false, keyed?: string): Effect.Effect<Receipt, EmitError> {
    const accepted = this.accept(binding, event, false, owed, keyed)
    if (typeof accepted === "object") {
      return accepted instanceof EmitError ? Effect.fail(accepted) : this.send(binding.outbox, accepted)
    }
    switch (accepted) {
      case "deferred":
        return deferred
      case "overBudget":
        return overBudget
      case "wait":
        return Effect.andThen(this.room(binding.outbox), Effect.suspend(() => this.emit(binding, event, owed, keyed)))
    }
  }

  /** Emits an event once for its key: where it is known to be in the log, nothing is sent. */
  emitOnce(binding: Binding, event: Event, key: string): Effect.Effect<Receipt, EmitError> {
    const source = keyedSource(binding.context, key)
    const known = runOf(binding)?.keys?.get(source)
    if (typeof known === "object") return Effect.succeed({ _tag: "Appended", position: known })
    return this.emit(binding, event, false, source)
  }

  /**
   * Emits an event as a critical one, and asks the devices for an acknowledgement.
   * With a `key` it is in the log once.
   */
  emitConfirmed(binding: Binding, event: Event, key?: string): Effect.Effect<Emitted, EmitError> {
    const keyed = key === undefined ? undefined : keyedSource(binding.context, key)
    const accepted = this.accept(binding, { ...event, delivery: "critical" }, true, false, keyed)
    switch (accepted) {
      case "deferred":
      case "overBudget":
        return Effect.die("a critical event neither waits for its batch nor needs a budget")
      case "wait":
        return Effect.andThen(this.room(binding.outbox), Effect.suspend(() => this.emitConfirmed(binding, event, key)))
    }
    if (accepted instanceof EmitError) return Effect.fail(accepted)
    return Effect.map(this.send(binding.outbox, accepted), (receipt) => ({ envelope: accepted, receipt }))
  }

  /** Whether events of the emitter are refused from now on. */
  isClosed({ origin }: Binding): boolean {
    return origin.isClosed || this.dispatcher.isClosed
  }

  /** Fails for this reason, and counts it. */
  rejected(reason: EmitError["reason"]): Effect.Effect<never, EmitError> {
    return Effect.suspend(() => Effect.fail(this.reject(reason)))
  }

  private accept(
    binding: Binding,
    event: Event,
    confirm: boolean,
    owed: boolean,
    keyed: string | undefined
  ): Accepted {
    const { counters, dispatcher } = this
    const { outbox } = binding
    if (binding.origin.isClosed || dispatcher.isClosed) return closed
    const { batching, maxEventBytes } = outbox.settings
    const full = !outbox.hasRoom && !owed && !RunState.isTerminal(event.type)
    if (full) {
      const refused = this.makeRoom(outbox, event)
      if (refused !== undefined) return refused
    }
    if (event.delivery === "volatile" && outbox.size >= volatileBudget(binding)) {
      counters.overBudget++
      return "overBudget"
    }

    const { accepted, encoder } = this.kindOf(binding, event.definition)
    const now = event.delivery === "critical" || confirm
    const coalesce = now || keyed !== undefined ? undefined : event.definition.coalesce
    // An event that is merged into an older one is checked like any other, and not encoded by itself.
    const joinable = coalesce?._tag === "Concatenate" ? encodedAlready(encoder, event.payload) : undefined
    let data = joinable ?? encode(encoder, event)
    if (data instanceof InvalidPayload) return this.reject(data)

    const record = runOf(binding)
    if (record === undefined && event.definition.scope === "run") return this.reject(new NoRun({ event: event.type }))
    let state = record?.state
    if (record !== undefined && (keyed === undefined || !isRepeated(record, event, keyed))) {
      const next = RunState.next(record.state, event)
      if (next instanceof RunState.IllegalEvent) {
        // What must stand in no log is refused whatever the order.
        if (this.enforcesOrder || next.problem === "sensitiveAnswer") return this.reject(next)
        state = undefined
      } else {
        state = next
      }
    }

    const run = record === undefined || record.state._tag !== "Active" && event.definition.scope === "free"
      ? undefined
      : binding.context.runId
    const limit = Math.min(batching.maxBytes, maxEventBytes)
    let pending: Pending | undefined
    if (coalesce === undefined || !merge(binding, event, run, coalesce, data, limit)) {
      if (joinable !== undefined) data = encode(encoder, event)
      if (data instanceof InvalidPayload) return this.reject(data)
      const json = stringify(event, data)
      if (typeof json !== "string") return this.reject(json)
      const notBefore = run === undefined || record === undefined ? 0 : record.startedAt
      pending = this.writer.write(binding, event, encoder, data, json, run, coalesce, confirm, notBefore, keyed)
      if (
        pending.bytes > maxEventBytes && !((owed || event.type === RunEvents.failed) && pending.bytes <= endingBytes)
      ) {
        return this.reject(new EventTooLarge({ event: event.type, bytes: pending.bytes, limit: maxEventBytes }))
      }
      // Only now, since an event that is refused must not cost another its place.
      if (full && outbox.dropOldest() !== undefined) counters.overflow++
      if (keyed === undefined) binding.origin.last = pending.sequence
      counters.lastEventAt = pending.at
    } else {
      counters.merged++
    }

    // Accepted: from here on nothing fails.
    if (record !== undefined) {
      const isCounted = keyed !== undefined && record.keys?.has(keyed) === true
      if (state === undefined) counters.illegal++
      else if (state !== record.state) this.advance(binding, record, state, pending?.at ?? 0, keyed !== undefined)
      if (event.type === RunEvents.usage && !isCounted) addUsage(outbox, record, data)
      if (keyed !== undefined && pending !== undefined) noteKey(binding, record, keyed, pending)
    }
    accepted.count++
    if (pending !== undefined) {
      if (now) return pending
      outbox.push(pending)
    }
    dispatcher.pendingChanged(outbox)
    return "deferred"
  }

  private reject(reason: EmitError["reason"]): EmitError {
    this.counters.reject(reason._tag)
    return new EmitError({ reason })
  }

  // A definition is looked up once for a layer.
  private kindOf(binding: Binding, definition: AnyDefinition): Kind {
    if (binding.kind?.definition === definition) return binding.kind
    let kind = this.kinds.get(definition)
    if (kind === undefined) {
      kind = { definition, encoder: encoderOf(definition), accepted: this.counters.acceptedOf(definition.name) }
      this.kinds.set(definition, kind)
    }
    binding.kind = kind
    return kind
  }

  private advance(
    binding: Binding,
    record: RunRecord,
    state: RunState.RunState,
    at: number,
    outlives: boolean
  ): void {
    binding.outbox.runs.advance(record, state, () => ({
      owner: outlives ? undefined : binding.origin,
      at,
      cancel: outlives ? undefined : () => void this.emit(binding, cancelled[record.cancelledBy ?? "program"])
    }))
  }

  // `undefined` when there is room now, or can be made.
  private makeRoom(outbox: Outbox, event: Event): "wait" | "overBudget" | EmitError | undefined {
    const { capacity, overflow } = outbox.settings.batching
    if (event.delivery === "volatile") {
      this.counters.overBudget++
      return "overBudget"
    }
    switch (overflow) {
      case "suspend":
        return "wait"
      case "fail":
        return this.reject(new Overflow({ pending: outbox.size, limit: capacity }))
      case "dropOldest":
        return outbox.hasDroppable() ? undefined : "wait"
    }
  }

  // Waits until there may be room.
  private room(outbox: Outbox): Effect.Effect<void> {
    return Effect.callback<void>((resume) => {
      const wake = () => resume(Effect.void)
      outbox.waitingForRoom.push(wake)
      this.dispatcher.flush(outbox)
      return Effect.sync(() => {
        const index = outbox.waitingForRoom.indexOf(wake)
        if (index >= 0) outbox.waitingForRoom.splice(index, 1)
      })
    })
  }

  // Sends the event behind what is pending, and waits for what becomes of it; most often that is known at once.
  private send(outbox: Outbox, pending: Pending): Effect.Effect<Receipt> {
    const outcome = this.dispatcher.sendNow(outbox, pending)
    // The event is the last of its list.
    if (outcome !== undefined) {
      return Exit.succeed(
        outcome._tag === "Divided" ? outcomeOf(outcome, outcome.outcomes.length, outcome.outcomes.length - 1) : outcome
      )
    }
    let receipt: Receipt | undefined
    let resume: ((effect: Effect.Effect<Receipt>) => void) | undefined
    const { onReceipt } = pending
    pending.onReceipt = (late) => {
      receipt = late
      onReceipt?.(late)
      resume?.(Exit.succeed(late))
    }
    return Effect.callback<Receipt>((resumed) => {
      if (receipt === undefined) resume = resumed
      else resumed(Exit.succeed(receipt))
    })
  }
}

const closed = new EmitError({ reason: new EmitterClosed() })

const deferred: Effect.Effect<Receipt> = Exit.succeed({ _tag: "Deferred" })

const overBudget: Effect.Effect<Receipt> = Exit.succeed({ _tag: "Dropped", reason: "overBudget" })

// What every run can end with is not refused for its size up to here, whatever the settings.
const endingBytes = 16 * 1024

const cancelledBy = (by: CancelledBy) =>
  AgentEvents.AgentError.make({ reason: "cancelled", message: "The run was cancelled", retryable: true, by })

const cancelled = { user: cancelledBy("user"), program: cancelledBy("program") }

// A merged event is written before it replaces the older one, since the program may change the payload later.
const merge = (
  { context, outbox }: Binding,
  event: Event,
  run: RunId | undefined,
  coalesce: Coalesce,
  data: Schema.JsonObject,
  limit: number
): boolean => {
  const json = coalesce._tag === "Concatenate" ? "" : stringify(event, data)
  return typeof json === "string" && outbox.merge(event.type, run, context.threadId, coalesce, data, json, limit)
}

// Whether the event is known to be under way or to have got lost, so that its run already stands behind it. What got lost
// may still follow within its run, and the ending that got lost may follow its own.
const isRepeated = ({ keys, state }: RunRecord, { type }: Event, keyed: string): boolean => {
  const known = keys?.get(keyed)
  return known !== undefined && (known !== "deadLettered" || state._tag !== "Ended" || RunState.isTerminal(type))
}

const noteKey = ({ origin, outbox: { runs } }: Binding, record: RunRecord, keyed: string, pending: Pending): void => {
  if (record.state._tag === "Active") runs.hold(record, origin)
  runs.noteKey(record, keyed, "underWay")
  pending.onReceipt = (outcome) => {
    if (outcome._tag === "Appended") runs.noteKey(record, keyed, outcome.position)
    if (outcome._tag === "DeadLettered") runs.noteKey(record, keyed, "deadLettered")
  }
}

const addUsage = ({ runs }: Outbox, record: RunRecord, { cost, inputTokens, outputTokens }: Schema.JsonObject): void =>
  runs.addUsage(
    record,
    typeof inputTokens === "number" ? inputTokens : 0,
    typeof outputTokens === "number" ? outputTokens : 0,
    typeof cost === "number" ? cost : undefined
  )

// What volatile events may take of a user's room: all at the highest priority, a tenth at the lowest.
const volatileBudget = ({ context, outbox }: Binding): number =>
  outbox.settings.batching.capacity * ((context.priority ?? 5) + 1) / 10
