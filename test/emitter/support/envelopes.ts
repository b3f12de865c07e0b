import type { NonEmptyArray } from "effect/Array"
import * as Schema from "effect/Schema"
import type { Envelope } from "../../../src/protocol/wire/Envelope.ts"
import { UserId } from "../../../src/protocol/values/Identity.ts"
import { toEnvelope } from "../../support/envelopes.ts"

const decodeUser = Schema.decodeSync(UserId)

export const userId = (name: string): UserId => decodeUser(name)

/** The `sequence`th event of an emitter called `source`. */
export const envelope = (source: string, sequence: number, text = ""): Envelope =>
  toEnvelope({
    id: `${source}-${sequence}`,
    source: `${source}-`,
    sequence,
    at: sequence,
    data: { name: "n", data: text }
  })

/** The events `from` to `to`, both included. */
export const envelopes = (source: string, from: number, to = from): NonEmptyArray<Envelope> => {
  const batch: NonEmptyArray<Envelope> = [envelope(source, from)]
  for (let sequence = from + 1; sequence <= to; sequence++) batch.push(envelope(source, sequence))
  return batch
}

export const sequences = (batch: ReadonlyArray<Envelope>): ReadonlyArray<number> =>
  batch.map(({ sequence }) => sequence)
