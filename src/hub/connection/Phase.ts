/**
 * What a connection is doing.
 *
 * @since 0.1.0
 */
import type * as Fiber from "effect/Fiber"

/**
 * It subscribes and takes its first look at the log. `issuedAt` is when the device's
 * credential was issued, if that is known. `woken`: the log has grown meanwhile.
 *
 * @category models
 * @since 0.1.0
 */
export interface Opening {
  readonly _tag: "opening"
  readonly issuedAt: number | undefined
  woken: boolean
}

/**
 * It pulls and writes. `woken`: the log may hold more than what was pulled so far.
 * `fiber` is there once the drain waits for the broker.
 *
 * @category models
 * @since 0.1.0
 */
export interface Draining {
  readonly _tag: "draining"
  woken: boolean
  fiber: Fiber.Fiber<void> | undefined
}

/**
 * The transport has been full `since` this time of the monotonic clock.
 *
 * @category models
 * @since 0.1.0
 */
export interface Blocked {
  readonly _tag: "blocked"
  readonly since: number
}

/**
 * It is over. `fiber` is a drain that may still wait for the broker.
 *
 * @category models
 * @since 0.1.0
 */
export interface Closed {
  readonly _tag: "closed"
  readonly fiber: Fiber.Fiber<void> | undefined
}

/**
 * `opening` until the first messages went out, `idle` when caught up, `scheduled`
 * for the next turn, `draining` while it pulls, `blocked` while the transport is
 * full, `degraded` while the log cannot be read, `closed` at the end.
 *
 * @category models
 * @since 0.1.0
 */
export type Phase =
  | Opening
  | { readonly _tag: "idle" }
  | { readonly _tag: "scheduled" }
  | Draining
  | Blocked
  | { readonly _tag: "degraded" }
  | Closed

/**
 * The phases that carry nothing are one object for all connections.
 *
 * @category constructors
 * @since 0.1.0
 */
export const idle: Phase = { _tag: "idle" }

/**
 * The phase of a connection that waits for its turn to open.
 *
 * @category constructors
 * @since 0.1.0
 */
export const scheduled: Phase = { _tag: "scheduled" }

/**
 * The phase of a connection whose log cannot be read.
 *
 * @category constructors
 * @since 0.1.0
 */
export const degraded: Phase = { _tag: "degraded" }

/**
 * Makes the phase of a connection that looks at its log for the first time.
 *
 * @category constructors
 * @since 0.1.0
 */
export const opening = (issuedAt: number | undefined): Opening => ({ _tag: "opening", issuedAt, woken: false })

/**
 * Makes the phase of a connection that writes what lies past its cursor.
 *
 * @category constructors
 * @since 0.1.0
 */
export const draining = (woken: boolean): Draining => ({ _tag: "draining", woken, fiber: undefined })

/**
 * What follows on any phase when the connection ends.
 *
 * @category constructors
 * @since 0.1.0
 */
export const closed = (before: Phase): Closed => {
  if (before._tag === "closed") return before
  return { _tag: "closed", fiber: before._tag === "draining" ? before.fiber : undefined }
}
