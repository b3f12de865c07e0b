import type { NonEmptyArray } from "effect/Array"
import { Schema } from "effect"
import type { Envelope } from "../../../src/protocol/Envelope.ts"
import { EventId, UserId } from "../../../src/protocol/Identity.ts"

const decodeUser = Schema.decodeSync(UserId)
const decodeEventId = Schema.decodeSync(EventId)

export const userId = (name: string): UserId => decodeUser(name)

/** The `sequence`th event of an emitter called `source`. */
export const envelope = (source: string, sequence: number, text = ""): Envelope => {
  const id = decodeEventId(`${source}-${sequence}`)
  const data = { name: "n", data: text }
  const body = `"id":"${id}","type":"custom","at":${sequence},"data":${JSON.stringify(data)}}`
  return {
    id,
    source: `${source}-`,
    sequence,
    type: "custom",
    delivery: "critical",
    at: sequence,
    run: undefined,
    thread: undefined,
    confirm: false,
    body,
    bytes: Buffer.byteLength(body),
    data
  }
}

/** The events `from` to `to`, both included. */
export const envelopes = (source: string, from: number, to = from): NonEmptyArray<Envelope> => {
  const batch: NonEmptyArray<Envelope> = [envelope(source, from)]
  for (let sequence = from + 1; sequence <= to; sequence++) batch.push(envelope(source, sequence))
  return batch
}

export const sequences = (batch: ReadonlyArray<Envelope>): ReadonlyArray<number> =>
  batch.map(({ sequence }) => sequence)
