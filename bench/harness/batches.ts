/**
 * Batches of envelopes, as an emitter would append them.
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import type { Identity } from "../../src/index.ts"
import type { Envelope } from "../../src/protocol/index.ts"
import { toEnvelope } from "../../test/support/envelopes.ts"
import { check } from "./question.ts"
import { numbered } from "./wire.ts"
import { context, payloadOf } from "./workload.ts"

export type Batch = NonEmptyReadonlyArray<Envelope.Envelope>

/** The events `from` to `from + count - 1` of a user. */
export const envelopes = (
  user: Identity.UserId,
  from: number,
  count: number
): ReadonlyArray<Envelope.Envelope> => {
  const make = numbered(user, "bench_noted")
  const { runId, threadId } = context(user)
  return Array.from({ length: count }, (_, index) => {
    const step = from + index
    const { offset, ...event } = make(step)
    check(offset === index + 1, "the wire event has another number")
    return toEnvelope({
      id: `bench-${user}-${step + 1}`,
      source: `bench-${user}-`,
      sequence: step + 1,
      at: event.at,
      type: event.type,
      delivery: "batched",
      run: runId,
      thread: threadId,
      data: { ...payloadOf(step) }
    })
  })
}

/** So many events of a user, each with a text of so many characters. */
export const longEnvelopes = (
  user: Identity.UserId,
  count: number,
  characters: number
): ReadonlyArray<Envelope.Envelope> =>
  Array.from({ length: count }, (_, index) =>
    toEnvelope({
      id: `bench-${user}-${index + 1}`,
      source: `bench-${user}-`,
      sequence: index + 1,
      at: 1_700_000_000_000 + index,
      type: "bench_noted",
      delivery: "batched",
      data: { text: "x".repeat(characters) }
    }))

export const inBatches = (events: ReadonlyArray<Envelope.Envelope>, size: number): ReadonlyArray<Batch> => {
  const batches: Array<Batch> = []
  for (let at = 0; at < events.length; at += size) {
    const [first, ...rest] = events.slice(at, at + size)
    if (first !== undefined) batches.push([first, ...rest])
  }
  return batches
}
