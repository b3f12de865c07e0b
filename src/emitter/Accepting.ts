/**
 * The way of an event from `emit` onto its user's list: checked against its
 * schema, its size and its run's order, encoded once, numbered, and counted.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Schema from "effect/Schema"
import * as AgentEvents from "../protocol/AgentEvents.ts"
import type { Envelope } from "../protocol/Envelope.ts"
import type { AnyDefinition, Coalesce, Event } from "../protocol/Event.ts"
import type { EmissionContext, RunId } from "../protocol/Identity.ts"
import * as RunState from "../protocol/RunState.ts"
import { EmitError, EmitterClosed, EventTooLarge, InvalidPayload, NoRun, Overflow } from "./EmitError.ts"
import { contextPart, type Encoder, encoderOf, explain } from "./Encoding.ts"
import type { Engine } from "./Engine.ts"
import {
  bodyBytes,
  eventId,
  type Merging,
  type Outbox,
  type Pending,
  type Receipt,
  type RunRecord,
  type Settlement
} from "./Outbox.ts"

/**
 * What an emitter and those of its runs share: the name and the count that
 * number their events, and whether they have ended. The name is made of the
 * engine's and of the emitter's number in it, when it is first needed.
 *
 * @category models
 * @since 0.1.0
 */
export interface Origin {
  readonly engineName: string
  readonly number: number
  source: string | undefined
  last: number
  isClosed: boolean
}

/**
 * One emitter's binding to a user and, within a run, to the run.
 *
 * @category models
 * @since 0.1.0
 */
export interface Binding {
  readonly engine: Engine
  readonly outbox: Outbox
  readonly context: EmissionContext
  readonly origin: Origin
  /** What goes with every event of the emitter, within its run and without; written when it is first needed. */
  freePart: string | undefined
  runPart: string | undefined
  /** What belongs to the definition used last: most events are of the same kind as the one before. */
  kind: Kind | undefined
  /** The record of the run, as it was found last. */
  record: RunRecord | undefined
}

/**
 * How events of one definition are encoded, and counted, in one engine.
 *
 * @category models
 * @since 0.1.0
 */
export interface Kind {
  readonly definition: AnyDefinition
  readonly encoder: Encoder
  readonly accepted: { count: number }
}

/**
 * @category constructors
 * @since 0.1.0
 */
export const bind = (
  parent: Pick<Binding, "engine" | "outbox" | "origin">,
  context: EmissionContext
): Binding => ({
  engine: parent.engine,
  outbox: parent.outbox,
  origin: parent.origin,
  context,
  freePart: undefined,
  runPart: undefined,
  kind: undefined,
  record: undefined
})

const kindOf = (binding: Binding, definition: AnyDefinition): Kind => {
  if (binding.kind?.definition === definition) return binding.kind
  const kinds = binding.engine.kinds
  let kind = kinds.get(definition)
  if (kind === undefined) {
    kind = {
      definition,
      encoder: encoderOf(definition),
      accepted: binding.engine.counters.acceptedOf(definition.name)
    }
    kinds.set(definition, kind)
  }
  binding.kind = kind
  return kind
}

const closed: Effect.Effect<never, EmitError> = Effect.fail(new EmitError({ reason: new EmitterClosed() }))

const deferred: Effect.Effect<Receipt> = Exit.succeed({ _tag: "Deferred" })

const overBudget: Effect.Effect<Receipt> = Exit.succeed({ _tag: "Dropped", reason: "overBudget" })

const reject = (binding: Binding, reason: EmitError["reason"]): Effect.Effect<never, EmitError> => {
  binding.engine.counters.reject(reason._tag)
  return Effect.fail(new EmitError({ reason }))
}

/**
 * Emits an event; what `Emitter.emit` runs. The event is accepted within the
 * call, except where it must wait for room; the effect waits for what becomes
 * of it. The ending of a run never waits for room. With `confirm` the devices are asked
 * for an acknowledgement, and `onEnvelope` gets the event as it was accepted.
 *
 * @category operations
 * @since 0.1.0
 */
export const emit = (
  binding: Binding,
  event: Event,
  confirm: boolean,
  onEnvelope?: (envelope: Envelope) => void
): Effect.Effect<Receipt, EmitError> => {
  const { engine, outbox } = binding
  if (binding.origin.isClosed || engine.isClosed()) return closed
  const { batching, maxEventBytes } = outbox.settings
  const full = !outbox.hasRoom && !RunState.isTerminal(event.type)
  if (full) {
    const room = makeRoom(binding, event)
    if (room !== undefined) return room === "wait" ? waitForRoom(binding, event, confirm, onEnvelope) : room
  }
  if (event.delivery === "volatile" && outbox.size >= volatileBudget(binding)) {
    engine.counters.dropped.overBudget++
    return overBudget
  }

  const { accepted, encoder } = kindOf(binding, event.definition)
  const now = event.delivery === "critical" || confirm
  const coalesce = now ? undefined : event.definition.coalesce
  // What joins an older event is checked like any other, but only what stands for itself needs to be encoded.
  const joinable = coalesce?._tag === "Concatenate" ? encodedAlready(encoder, event.payload) : undefined
  let data = joinable ?? encode(encoder, event)
  if (data instanceof InvalidPayload) return reject(binding, data)

  const record = runRecordOf(binding)
  if (record === undefined && event.definition.scope === "run") return reject(binding, new NoRun({ event: event.type }))
  let state = record?.state
  if (record !== undefined) {
    const next = RunState.next(record.state, event)
    if (next instanceof RunState.IllegalEvent) {
      if (engine.config.lifecycle === "enforce") return reject(binding, next)
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
    if (data instanceof InvalidPayload) return reject(binding, data)
    const json = stringify(event, data)
    if (typeof json !== "string") return reject(binding, json)
    pending = envelop(binding, event, encoder, data, json, run, coalesce, confirm)
    if (pending.bytes > maxEventBytes && !(event.type === "agent_error" && pending.bytes <= endingBytes)) {
      return reject(binding, new EventTooLarge({ event: event.type, bytes: pending.bytes, limit: maxEventBytes }))
    }
    // Only now, since an event that is refused must not cost another its place.
    if (full && outbox.dropOldest() !== undefined) engine.counters.dropped.overflow++
    binding.origin.last = pending.sequence
    engine.counters.lastEventAt = pending.at
    if (onEnvelope !== undefined) onEnvelope(pending)
  } else {
    engine.counters.merged++
  }

  // Accepted: from here on nothing fails.
  if (record !== undefined) {
    if (state === undefined) engine.counters.illegal++
    else if (state !== record.state) advance(binding, record, state)
  }
  if (record !== undefined && event.type === "usage_reported") addUsage(record, data)
  accepted.count++
  if (pending !== undefined) {
    if (now) return send(engine, outbox, pending)
    outbox.push(pending)
  }
  engine.pendingChanged(outbox)
  return deferred
}

// What every run can end with is not refused for its size up to here, whatever the settings.
const endingBytes = 16 * 1024

// A schema, and JSON too, may run out of stack on a payload that is nested too deeply.
const encode = (encoder: Encoder, event: Event): Schema.JsonObject | InvalidPayload => {
  try {
    const encoded = encoder.encode(event.payload)
    return encoded._tag === "Success" ? encoded.value : invalid(event, encoded)
  } catch (defect) {
    return new InvalidPayload({ event: event.type, problem: `it cannot be encoded: ${String(defect)}` })
  }
}

// The payload itself, where its schema would encode it to its like.
const encodedAlready = (encoder: Encoder, payload: object): Schema.JsonObject | undefined => {
  try {
    return encoder.isEncoded(payload) ? payload : undefined
  } catch {
    return undefined
  }
}

const stringify = (event: Event, data: Schema.JsonObject): string | InvalidPayload => {
  try {
    return JSON.stringify(data)
  } catch (defect) {
    return new InvalidPayload({ event: event.type, problem: `it cannot be written as JSON: ${String(defect)}` })
  }
}

// One that stands for an older one is written before it takes its place: its program may change what it is made of.
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

const invalid = (event: Event, exit: Exit.Failure<unknown, Schema.SchemaError>): InvalidPayload => {
  const error = Exit.findErrorOption(exit)
  return new InvalidPayload({
    event: event.type,
    problem: error._tag === "Some" ? explain(event.definition, event.payload, error.value) : "it cannot be encoded"
  })
}

const runRecordOf = (binding: Binding): RunRecord | undefined => {
  const { record } = binding
  if (record?.forgotten === false) return record
  const { runId } = binding.context
  return runId === undefined ? undefined : binding.record = binding.outbox.run(runId)
}

const advance = (binding: Binding, record: RunRecord, state: RunState.RunState): void => {
  if (state._tag === "Ended") {
    record.owner = undefined
    record.cancel = undefined
  } else if (record.state._tag === "Idle") {
    record.owner = binding.origin
    record.cancel = () => void emit(binding, cancelled, false)
  }
  record.state = state
}

const cancelled = AgentEvents.AgentError.make({
  reason: "cancelled",
  message: "The run was cancelled",
  retryable: true
})

const addUsage = (record: RunRecord, data: Schema.JsonObject): void => {
  const { cost, inputTokens, outputTokens } = data
  if (typeof inputTokens === "number") record.inputTokens += inputTokens
  if (typeof outputTokens === "number") record.outputTokens += outputTokens
  if (typeof cost === "number") record.cost = (record.cost ?? 0) + cost
}

const envelop = (
  binding: Binding,
  event: Event,
  encoder: Encoder,
  data: Schema.JsonObject,
  json: string,
  run: RunId | undefined,
  coalesce: Coalesce | undefined,
  confirm: boolean
): Pending => {
  const { context, engine, origin } = binding
  // A test's clock may stand between two milliseconds; what travels is a whole number.
  const at = Math.floor(engine.clock.currentTimeMillisUnsafe())
  const source = origin.source ??= `${origin.engineName}${origin.number.toString(36)}-`
  const sequence = origin.last + 1
  const part = confirm
    ? contextPart(context, run, true)
    : run === undefined
    ? binding.freePart ??= contextPart(context, undefined, false)
    : binding.runPart ??= contextPart(context, run, false)
  const id = eventId(source, sequence)
  const head = `"id":"${id}${engine.middle.of(encoder.typePart, at, part)}`
  return {
    id,
    source,
    sequence,
    type: event.type,
    delivery: event.delivery,
    at,
    run,
    thread: context.threadId,
    confirm,
    body: `${head}${json}}`,
    bytes: bodyBytes(head, json),
    data: coalesce?._tag === "Concatenate" ? ownData(data, json) : data,
    merging: coalesce === undefined ? undefined : mergingOf(coalesce, head, data),
    onReceipt: undefined
  }
}

// What text is still joined to is written again later, so it must not share anything with its program.
const ownData = (data: Schema.JsonObject, json: string): Schema.JsonObject =>
  Object.values(data).some((value) => typeof value === "object" && value !== null) ? JSON.parse(json) : data

const mergingOf = (coalesce: Coalesce, head: string, data: Schema.JsonObject): Merging => {
  const text = coalesce._tag === "Concatenate" ? data[coalesce.text] : ""
  return { coalesce, head, text: typeof text === "string" ? text : "", grown: false }
}

// What volatile events may take of a user's room: all at the highest priority, a tenth at the lowest.
const volatileBudget = ({ context, outbox }: Binding): number =>
  outbox.settings.batching.capacity * ((context.priority ?? 5) + 1) / 10

// `undefined` when there is room now, or can be made.
const makeRoom = (binding: Binding, event: Event): "wait" | Effect.Effect<Receipt, EmitError> | undefined => {
  const { engine, outbox } = binding
  const { capacity, overflow } = outbox.settings.batching
  if (event.delivery === "volatile") {
    engine.counters.dropped.overBudget++
    return overBudget
  }
  switch (overflow) {
    case "suspend":
      return "wait"
    case "fail":
      return reject(binding, new Overflow({ pending: outbox.size, limit: capacity }))
    case "dropOldest":
      return outbox.hasDroppable() ? undefined : "wait"
  }
}

const waitForRoom = (
  binding: Binding,
  event: Event,
  confirm: boolean,
  onEnvelope: ((envelope: Envelope) => void) | undefined
): Effect.Effect<Receipt, EmitError> =>
  Effect.andThen(
    Effect.callback<void>((resume) => {
      const { engine, outbox } = binding
      const wake = () => resume(Effect.void)
      outbox.waitingForRoom.push(wake)
      engine.flush(outbox)
      return Effect.sync(() => {
        const index = outbox.waitingForRoom.indexOf(wake)
        if (index >= 0) outbox.waitingForRoom.splice(index, 1)
      })
    }),
    Effect.suspend(() => emit(binding, event, confirm, onEnvelope))
  )

// Sends the event behind what is pending, and waits for what becomes of it; most often that is known at once.
const send = (engine: Engine, outbox: Outbox, pending: Pending): Effect.Effect<Receipt> => {
  const settlement = engine.sendNow(outbox, pending)
  // The event is the last of its list, so what became of the list became of it.
  if (settlement !== undefined) {
    return Exit.succeed(settlement._tag === "Divided" ? partOf(settlement, pending) : settlement)
  }
  let receipt: Receipt | undefined
  let resume: ((effect: Effect.Effect<Receipt>) => void) | undefined
  pending.onReceipt = (late) => {
    receipt = late
    resume?.(Exit.succeed(late))
  }
  return Effect.callback<Receipt>((resumed) => {
    if (receipt === undefined) resume = resumed
    else resumed(Exit.succeed(receipt))
  })
}

const partOf = (
  { lost, rest }: Extract<Settlement, { readonly _tag: "Divided" }>,
  { run }: Pending
): Receipt => run !== undefined && lost.has(run) ? { _tag: "DeadLettered", reason: "runLost" } : rest
