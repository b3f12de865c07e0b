/**
 * Envelopes as an emitter would make them, for tests of all that they travel through.
 */
import type { Schema } from "effect"
import type { Envelope } from "../../src/protocol/wire/Envelope.ts"
import type { DeliveryClass, Keep } from "../../src/protocol/event/Event.ts"
import { EventId, RunId, ThreadId } from "../../src/protocol/values/Identity.ts"

/** What there is to say of one; it is a critical `custom` without data unless it says otherwise. */
export interface Wanted {
  readonly id: string
  readonly source: string
  readonly sequence: number
  readonly at: number
  readonly type?: string | undefined
  readonly delivery?: DeliveryClass | undefined
  readonly run?: string | undefined
  readonly thread?: string | undefined
  readonly confirm?: boolean | undefined
  readonly keep?: Keep | undefined
  readonly data?: Schema.JsonObject | undefined
}

export const toEnvelope = (wanted: Wanted): Envelope => {
  const { at, confirm = false, data = {}, delivery = "critical", keep, sequence, source, type = "custom" } = wanted
  const id = EventId.make(wanted.id)
  const run = wanted.run === undefined ? undefined : RunId.make(wanted.run)
  const thread = wanted.thread === undefined ? undefined : ThreadId.make(wanted.thread)
  const body = JSON.stringify({ id, type, keep, at, run, thread, confirm: confirm ? true : undefined, data }).slice(1)
  return {
    id,
    source,
    sequence,
    type,
    delivery,
    at,
    run,
    thread,
    confirm,
    keep,
    body,
    bytes: Buffer.byteLength(body),
    data
  }
}
