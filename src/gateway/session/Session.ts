/**
 * What a gateway asks of a session, whatever its transport.
 *
 * @since 0.1.0
 */
import type { CloseReason } from "../../hub/Transport.ts"

/**
 * One conversation with a device.
 *
 * - `tick` is called several times per heartbeat: it sends pings, and ends the
 *   session when a time limit has passed. `now` is monotonic. `forgivenMs` is time that passed while
 *   this process did not run, and is not held against the device.
 * - `close` tells the device why, and ends the session.
 * - `destroy` ends it without a word.
 *
 * @category models
 * @since 0.1.0
 */
export interface Session {
  readonly tick: (now: number, forgivenMs: number) => void
  readonly close: (reason: CloseReason) => void
  readonly destroy: () => void
}
