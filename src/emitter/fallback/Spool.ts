/**
 * The fallback channel that loses no order: it keeps what the broker could not
 * take, and gives it back as soon as the broker works again.
 *
 * While a user has something in the spool, newer events of this user queue
 * behind it. Once the circuit breaker lets a call through, each user's events
 * are appended in order, with the ids they had, and removed only when the
 * broker has them; an append that is repeated is therefore taken once. What a
 * killed process left in a file is given back by the next one that opens it.
 *
 * The room is shared fairly: a user may hold a quarter of what the others leave
 * (`userShare`), so that one who floods during an outage costs no other an event.
 *
 * ```ts
 * import { Spool } from "effect-emitter"
 *
 * const spool = Spool.sqlite({ file: "/var/lib/app/spool.db", maxEvents: 500_000 })
 * ```
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { ChannelError, type FallbackChannel } from "./FallbackChannel.ts"
import * as MemorySpoolStore from "./MemorySpoolStore.ts"
import type { SpoolLimits, SpoolStore } from "./SpoolStore.ts"
import * as SqliteSpoolStore from "./SqliteSpoolStore.ts"

export { SpoolFailure, SpoolFull } from "./SpoolStore.ts"
export type { Chunk, ChunkLimits, Depth, DurableLetters, SpoolLimits, SpoolStore, StoredLetter } from "./SpoolStore.ts"
export { type Options as SqliteOptions, SpoolOpenError } from "./SqliteSpoolStore.ts"

/**
 * A spool over any store.
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Spool } from "effect-emitter"
 *
 * // A store of the program's own: it keeps the promises of `SpoolStore`.
 * const ownSpool = (store: Spool.SpoolStore) => Effect.succeed(Spool.make(store, "disk"))
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (store: SpoolStore, name = "spool"): FallbackChannel & { readonly spool: SpoolStore } => ({
  name,
  spool: store,
  deliver: (user, batch) =>
    Effect.mapError(store.put(user, batch), (reason) => new ChannelError({ channel: name, reason }))
})

/**
 * A spool in this process: it bridges a failure of the broker, not the end of
 * the process.
 *
 * ```ts
 * import { EmitterLayer, FallbackChannel, Spool } from "effect-emitter"
 *
 * const emitters = EmitterLayer().pipe(FallbackChannel.provide(Spool.memory({ maxEvents: 10_000 })))
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const memory = (limits?: SpoolLimits): Effect.Effect<FallbackChannel> =>
  Effect.map(MemorySpoolStore.make(limits), (store) => make(store))

/**
 * A spool in a file, which also survives the death of the process. See
 * `SqliteSpoolStore` for its options and promises.
 *
 * @category constructors
 * @since 0.1.0
 */
export const sqlite = (
  options: SqliteSpoolStore.Options
): Effect.Effect<FallbackChannel, SqliteSpoolStore.SpoolOpenError, Scope.Scope> =>
  Effect.map(SqliteSpoolStore.make(options), (store) => make(store))
