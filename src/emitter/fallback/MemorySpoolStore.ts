/**
 * A spool's store in this process: it outlives a broker's failure, and not the
 * process.
 *
 * @since 0.1.0
 */
import * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import type { Envelope } from "../../protocol/wire/Envelope.ts"
import type { UserId } from "../../protocol/values/Identity.ts"
import { SpoolIndex } from "./SpoolIndex.ts"
import { plain, type SpoolLimits, type SpoolStore } from "./SpoolStore.ts"

interface Kept {
  readonly sequence: number
  readonly envelopes: ReadonlyArray<Envelope>
  readonly bytes: number
}

/**
 * Makes an empty store in memory.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (limits: SpoolLimits = {}): Effect.Effect<SpoolStore> =>
  Effect.sync(() => {
    const index = new SpoolIndex(limits)
    const users = new Map<UserId, Array<Kept>>()
    let sequence = 0

    const put: SpoolStore["put"] = (user, batch) =>
      Effect.suspend(() => {
        const bytes = bytesOf(batch)
        const full = index.reserve(user, batch.length, bytes)
        if (full !== undefined) return Effect.fail(full)
        const kept = users.get(user) ?? []
        users.set(user, kept)
        kept.push({ sequence: ++sequence, envelopes: batch.map(plain), bytes })
        index.add(user, 1, batch.length)
        return Effect.void
      })

    const peek: SpoolStore["peek"] = (user, { maxBatches, maxBytes, maxEvents }) =>
      Effect.sync(() => {
        const envelopes: Array<Envelope> = []
        let bytes = 0
        let batches = 0
        let upTo = 0
        for (const kept of users.get(user) ?? []) {
          if (batches > 0) {
            if (batches >= maxBatches || bytes + kept.bytes > maxBytes) break
            if (envelopes.length + kept.envelopes.length > maxEvents) break
          }
          for (const envelope of kept.envelopes) envelopes.push(envelope)
          bytes += kept.bytes
          batches++
          upTo = kept.sequence
        }
        return Arr.isReadonlyArrayNonEmpty(envelopes) ? { envelopes, upTo, batches, bytes } : undefined
      })

    const remove: SpoolStore["remove"] = (user, chunk) =>
      Effect.sync(() => {
        const left = (users.get(user) ?? []).filter((kept) => kept.sequence > chunk.upTo)
        if (left.length > 0) users.set(user, left)
        else users.delete(user)
        index.remove(user, chunk.batches, chunk.envelopes.length, chunk.bytes)
      })

    const shrink: SpoolStore["shrink"] = (user, chunk, rest) =>
      Effect.sync(() => {
        const kept = users.get(user) ?? []
        const at = kept.findIndex(({ sequence }) => sequence === chunk.upTo)
        if (at < 0) return
        const bytes = bytesOf(rest)
        users.set(user, kept.with(at, { sequence: chunk.upTo, envelopes: rest, bytes }))
        index.remove(user, 0, chunk.envelopes.length - rest.length, chunk.bytes - bytes)
      })

    return {
      put,
      peek,
      remove,
      shrink,
      users: (limit) => index.users(limit),
      holds: (user) => index.holds(user),
      depth: () => index.depth()
    }
  })

const bytesOf = (envelopes: ReadonlyArray<Envelope>): number => envelopes.reduce((sum, { bytes }) => sum + bytes, 0)
