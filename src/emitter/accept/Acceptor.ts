/**
 * The way of an event from `emit` onto its user's list: checked against its
 * schema, its size and its run's order, encoded once, numbered, and counted.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Schema from "effect/Schema"
import * as AgentEvents from "../../protocol/AgentEvents.ts"
import type { Envelope } from "../../protocol/Envelope.ts"
import type { Coalesce, Event } from "../../protocol/Event.ts"
import type { RunId } from "../../protocol/Identity.ts"
import * as RunEvents from "../../protocol/RunEvents.ts"
import * as RunState from "../../protocol/RunState.ts"
import { type Binding, kindOf } from "./Binding.ts"
import { EmitError, EmitterClosed, EventTooLarge, InvalidPayload, NoRun, Overflow } from "../EmitError.ts"
import type { Engine } from "../Engine.ts"
import { encode, encodedAlready, envelop, stringify } from "./EnvelopeWriter.ts"
import { lateEvents } from "../delivery/Outcome.ts"
import type { Outbox, Pending, Receipt, RunRecord } from "../dispatch/Outbox.ts"

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
 * What is `owed` closes what was accepted before, so it is refused neither for
 * want of room nor for its size, up to 16 KiB.
 *
 * @category operations
 * @since 0.1.0
 */
export const emit = (
  binding: Binding,
  event: Event,
  confirm: boolean,
  onEnvelope?: (envelope: Envelope) => void,
  owed = false
): Effect.Effect<Receipt, EmitError> => {
  const { engine, outbox } = binding
  if (binding.origin.isClosed || engine.isClosed()) return closed
  const { batching, maxEventBytes } = outbox.settings
  const full = !outbox.hasRoom && !owed && !RunState.isTerminal(event.type)
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
    pending = envelop(
      binding,
      event,
      encoder,
      data,
      json,
      run,
      coalesce,
      confirm,
      run === undefined ? 0 : record?.startedAt ?? 0
    )
    if (
      pending.bytes > maxEventBytes && !((owed || event.type === RunEvents.failed) && pending.bytes <= endingBytes)
    ) {
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
    else if (state !== record.state) advance(binding, record, state, pending)
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

const runRecordOf = (binding: Binding): RunRecord | undefined => {
  const { record } = binding
  if (record?.forgotten === false) return record
  const { runId } = binding.context
  return runId === undefined ? undefined : binding.record = binding.outbox.run(runId)
}

const advance = (
  binding: Binding,
  record: RunRecord,
  state: RunState.RunState,
  pending: Pending | undefined
): void => {
  if (state._tag === "Ended") {
    record.owner = undefined
    record.cancel = undefined
    record.interrupt = undefined
  } else if (record.state._tag === "Idle") {
    record.owner = binding.origin
    if (pending !== undefined) record.startedAt = pending.at
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
    return Exit.succeed(settlement._tag === "Divided" ? settlement.places.at(-1) ?? lateEvents : settlement)
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
