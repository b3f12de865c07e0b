/**
 * What `emit` tells of an accepted event.
 *
 * @since 0.1.0
 */
import type { Outcome } from "../delivery/Outcome.ts"
import type { DropReason } from "../observe/Stats.ts"

/**
 * - `Appended`: it is in the user's log, at `position`.
 * - `Deferred`: it waits for its batch.
 * - `HandedOver`: a fallback channel took it.
 * - `DeadLettered`: no way out took it; it is among the dead letters.
 * - `Dropped`: it was volatile and there was no room or nobody to see it, or
 *   the layer closed before it could leave.
 *
 * @category models
 * @since 0.1.0
 */
export type Receipt =
  | Outcome
  | { readonly _tag: "Dropped"; readonly reason: DropReason }
  | { readonly _tag: "Deferred" }
