/**
 * Envelopes for the brokers' tests, and ways to look at a log.
 */
import type { NonEmptyArray, NonEmptyReadonlyArray } from "effect/Array"
import * as Effect from "effect/Effect"
import type { Broker, Position } from "effect-emitter"
import type { Envelope } from "effect-emitter/protocol"
import { UserId } from "../../src/protocol/values/Identity.ts"
import { toEnvelope, type Wanted as EnvelopeWanted } from "../support/envelopes.ts"
import { patience } from "../support/patience.ts"

let users = 0

/** A user that no other test knows, also when tests share a server. */
export const newUser = (name = "user"): UserId => UserId.make(`${name}-${process.pid}-${++users}`)

/** An envelope to be: its number, and what else is not as usual. */
export type Wanted = Partial<Omit<EnvelopeWanted, "id" | "sequence">> & Pick<EnvelopeWanted, "sequence">

export const envelope = ({ at = 1_000, sequence, source = "s", ...more }: Wanted): Envelope.Envelope =>
  toEnvelope({ ...more, id: `${source}.${sequence}`, source: `${source}.`, sequence, at })

/** The numbers `from` to `to` of a source, both included. */
export const numbered = (
  from: number,
  to = from,
  more: Omit<Wanted, "sequence"> = {}
): NonEmptyArray<Envelope.Envelope> => {
  const batch: NonEmptyArray<Envelope.Envelope> = [envelope({ ...more, sequence: from })]
  for (let sequence = from + 1; sequence <= to; sequence++) batch.push(envelope({ ...more, sequence }))
  return batch
}

/** The entry that an envelope becomes at this offset. */
export const entryOf = (offset: number, from: Envelope.Envelope): Broker.Entry => {
  const { at, body, bytes, confirm, delivery, run, thread, type } = from
  return { offset, type, delivery, at, run, thread, confirm, body, bytes }
}

/** Only what an entry promises, whatever else an implementation keeps in it. */
export const plain = (
  { at, body, bytes, confirm, delivery, offset, run, thread, type }: Broker.Entry
): Broker.Entry => ({
  offset,
  type,
  delivery,
  at,
  run,
  thread,
  confirm,
  body,
  bytes
})

/** The id of the event an entry holds. */
export const idOf = (entry: Broker.Entry): string => {
  const wire: { readonly id: string } = JSON.parse(`{${entry.body}`)
  return wire.id
}

export const plenty: Broker.PullLimits = { maxEvents: 100_000, maxBytes: 1_000_000_000 }

type BrokerService = Broker.Broker["Service"]

/** Everything past a position, as `id` by offset, in one pull. */
export const idsAfter = (broker: BrokerService, user: UserId, after: Position.Position) =>
  Effect.map(broker.pull(user, after, plenty), ({ entries }) => entries.map((entry) => [entry.offset, idOf(entry)]))

/** Position 0 of the user's log. */
export const start = (broker: BrokerService, user: UserId) =>
  Effect.map(broker.head(user), ({ epoch }): Position.Position => ({ epoch, offset: 0 }))

/** Appends batch after batch, and gives the position of the last. */
export const appendAll = Effect.fnUntraced(function*(
  broker: BrokerService,
  user: UserId,
  batches: NonEmptyReadonlyArray<NonEmptyReadonlyArray<Envelope.Envelope>>
) {
  let position = yield* broker.append(user, batches[0])
  for (const batch of batches.slice(1)) position = yield* broker.append(user, batch)
  return position
})

/** Looks again and again, ever more seldom, for 5 seconds at most by default, until `look` gives what is wanted. */
export const eventually = <A, E, R>(
  look: Effect.Effect<A, E, R>,
  is: (value: A) => boolean,
  what: string,
  seconds = 5
) =>
  Effect.gen(function*() {
    for (let pauseMillis = 5;; pauseMillis = Math.min(2 * pauseMillis, 40)) {
      const value = yield* look
      if (is(value)) return value
      yield* Effect.sleep(pauseMillis)
    }
  }).pipe(
    Effect.timeoutOrElse({
      duration: seconds * patience * 1_000,
      orElse: () => Effect.die(new Error(`not within ${seconds * patience} seconds: ${what}`))
    })
  )
