/**
 * Makes the envelope of an event: its payload is checked by being encoded, and
 * written as JSON once for all who will get it.
 *
 * @since 0.1.0
 */
import type * as Clock from "effect/Clock"
import * as Exit from "effect/Exit"
import type * as Schema from "effect/Schema"
import type { Coalesce, Event } from "../../protocol/event/Event.ts"
import type { EventId, RunId } from "../../protocol/values/Identity.ts"
import { bodyBytes, type Merging, owned, type Pending } from "../dispatch/Pending.ts"
import { InvalidPayload } from "../EmitError.ts"
import type { Binding } from "./Binding.ts"
import { contextPart, type Encoder, explain } from "./EventEncoder.ts"
import { onlySequence } from "./KeyedSource.ts"
import { followSpan, traceOf } from "./TraceContext.ts"

/**
 * The payload as its schema encodes it. A schema, and JSON too, may run out of
 * stack on a payload that is nested too deeply.
 *
 * @category conversions
 * @since 0.1.0
 */
export const encode = (encoder: Encoder, event: Event): Schema.JsonObject | InvalidPayload => {
  try {
    const encoded = encoder.encode(event.payload)
    return encoded._tag === "Success" ? encoded.value : invalid(event, encoded)
  } catch (defect) {
    return new InvalidPayload({ event: event.type, problem: `it cannot be encoded: ${String(defect)}` })
  }
}

/**
 * The payload itself, where its schema would encode it to its like.
 *
 * @category conversions
 * @since 0.1.0
 */
export const encodedAlready = (encoder: Encoder, payload: object): Schema.JsonObject | undefined => {
  try {
    return encoder.isEncoded(payload) ? payload : undefined
  } catch {
    return undefined
  }
}

/**
 * The payload as JSON.
 *
 * @category conversions
 * @since 0.1.0
 */
export const stringify = (event: Event, data: Schema.JsonObject): string | InvalidPayload => {
  try {
    return JSON.stringify(data)
  } catch (defect) {
    return new InvalidPayload({ event: event.type, problem: `it cannot be written as JSON: ${String(defect)}` })
  }
}

const invalid = (event: Event, exit: Exit.Failure<unknown, Schema.SchemaError>): InvalidPayload => {
  const error = Exit.findErrorOption(exit)
  return new InvalidPayload({
    event: event.type,
    problem: error._tag === "Some" ? explain(event.definition, event.payload, error.value) : "it cannot be encoded"
  })
}

/**
 * Writes envelopes by one clock.
 *
 * Many events in a row share their type, their emitter and their millisecond: what
 * stands between their id and their data is then written once. It is a mutable
 * class for that.
 *
 * @category models
 * @since 0.1.0
 */
export class EnvelopeWriter {
  private readonly clock: Clock.Clock
  private typePart = ""
  private at = Number.NaN
  private contextPart = ""
  private middle = ""

  constructor(clock: Clock.Clock) {
    this.clock = clock
  }

  /**
   * The event as it will travel: numbered, stamped with the time, and written.
   * `json` is `data` as text, `run` the run that it belongs to. Its time is not
   * before `notBefore`. With `keyed` it is the only event of that source.
   */
  write(
    binding: Binding,
    event: Event,
    encoder: Encoder,
    data: Schema.JsonObject,
    json: string,
    run: RunId | undefined,
    coalesce: Coalesce | undefined,
    confirm: boolean,
    notBefore: number,
    keyed: string | undefined
  ): Pending {
    const { context, origin } = binding
    followSpan(binding)
    // A test's clock may stand between two milliseconds; what travels is a whole number.
    const at = Math.max(Math.floor(this.clock.currentTimeMillisUnsafe()), notBefore)
    const source = keyed ?? (origin.source ??= `${origin.layerName}${origin.number.toString(36)}-`)
    const sequence = keyed === undefined ? origin.last + 1 : onlySequence
    const part = confirm
      ? contextPart(context, traceOf(binding), run, true)
      : run === undefined
      ? binding.freePart ??= contextPart(context, traceOf(binding), undefined, false)
      : binding.runPart ??= contextPart(context, traceOf(binding), run, false)
    const id = eventId(source, sequence)
    const head = `"id":"${id}${this.middleOf(encoder.typePart, at, part)}`
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
      keep: encoder.keep,
      body: `${head}${json}}`,
      bytes: bodyBytes(head, json),
      data: encoder.isFlat ? data : owned(data, json),
      merging: coalesce === undefined ? undefined : mergingOf(coalesce, head, data),
      isApart: keyed !== undefined,
      onReceipt: undefined
    }
  }

  private middleOf(typePart: string, at: number, contextPart: string): string {
    if (this.at !== at || this.typePart !== typePart || this.contextPart !== contextPart) {
      this.typePart = typePart
      this.at = at
      this.contextPart = contextPart
      this.middle = `${typePart}${at}${contextPart}`
    }
    return this.middle
  }
}

// The id's type is checked where ids enter; ids made here fit by construction.
const eventId = (source: string, sequence: number): EventId => `${source}${sequence}` as EventId

const mergingOf = (coalesce: Coalesce, head: string, data: Schema.JsonObject): Merging => {
  const text = coalesce._tag === "Concatenate" ? data[coalesce.text] : ""
  return { coalesce, head, text: typeof text === "string" ? text : "", grown: false }
}
