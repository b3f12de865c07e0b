/**
 * Which events a device confirms by an acknowledgement that reaches back behind its
 * connection, or stands outside of any.
 *
 * An acknowledgement is cumulative, but a device confirms only what it was sent:
 * events of threads that it filters out are none of its. What a connection wrote
 * itself it knows by itself (see `Narration`).
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type { Broker, BrokerError } from "../broker/Broker.ts"
import type { ThreadId, UserId } from "../protocol/Identity.ts"
import type { Position } from "../protocol/Position.ts"

/**
 * So many events before the acknowledged one are looked at: those that wait for a
 * confirmation are acknowledged at once, and do not lie far back.
 *
 * @category constants
 * @since 0.1.0
 */
export const maxLookBack = 64

const maxBytes = 4 * 1024 * 1024

/**
 * Whether a device with this filter is sent events of a thread.
 *
 * @category checks
 * @since 0.1.0
 */
export const isWanted = (threads: ReadonlySet<ThreadId> | undefined, thread: ThreadId | undefined): boolean =>
  threads === undefined || thread === undefined || threads.has(thread)

/**
 * The offsets of the events up to a position that ask for a confirmation, and that
 * a device with this filter was sent. None if the log has no such position.
 *
 * @category lookups
 * @since 0.1.0
 */
export const askedUpTo = (
  broker: Broker["Service"],
  user: UserId,
  { epoch, offset: upTo }: Position,
  threads: ReadonlySet<ThreadId> | undefined
): Effect.Effect<ReadonlyArray<number>, BrokerError> =>
  Effect.map(
    broker.pull(user, { epoch, offset: Math.max(0, upTo - maxLookBack) }, { maxEvents: maxLookBack, maxBytes }),
    ({ entries, gap, head }) =>
      gap?.reason === "epoch" || upTo > head
        ? []
        : entries.flatMap(({ confirm, offset, thread }) =>
          confirm && offset <= upTo && isWanted(threads, thread) ? [offset] : []
        )
  )
