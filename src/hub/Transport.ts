/**
 * The way out to one device, as a connection sees it.
 *
 * A WebSocket session, an event stream and a test each implement it. All of it
 * is synchronous and cheap: a connection that has nothing to send costs no
 * fiber.
 *
 * @since 0.1.0
 */
import type { CloseCode } from "../protocol/wire/CloseCode.ts"

/**
 * Why a connection ends. `detail` is for the people who read the client's log,
 * and holds nothing secret. With `reconnectAfterMs` the close is planned: the
 * device is told when to come back.
 *
 * @category models
 * @since 0.1.0
 */
export interface CloseReason {
  readonly code: CloseCode
  readonly detail: string
  readonly reconnectAfterMs?: number
}

/**
 * One message: a text, or the bytes of one in UTF-8.
 *
 * @category models
 * @since 0.1.0
 */
export type Message = string | Buffer

/**
 * How a transport knows whether its device is still there. Times are monotonic, in
 * milliseconds.
 *
 * - `heardAt` is when the device was last heard of.
 * - `ask` asks it for a sign of life.
 * - `isSilent` tells whether it has given none at `now`, after it was asked at
 *   `askedAt`.
 * - `heardElsewhere` notes a sign of life that came outside of the transport.
 *
 * @category models
 * @since 0.1.0
 */
export interface Liveness {
  readonly heardAt: () => number
  readonly ask: () => void
  readonly isSilent: (askedAt: number, now: number) => boolean
  readonly heardElsewhere: () => void
}

/**
 * One device's transport.
 *
 * - `write` takes messages in order, and hands them to the network in one go.
 *   It answers `false` when the device is behind, or while a message is still being
 *   compressed; then nothing more is written until `whenWritable` calls back.
 * - `whenWritable` calls `ready` once, from any turn of the event loop, when
 *   the network has taken what was written. It never calls after `close`.
 * - `backlog` is the number of bytes that are held for the device: taken but not yet
 *   handed to the network. What waits to be compressed counts as it is.
 * - `close` tells the device why, and ends the connection. It may be called
 *   again, without effect.
 * - `destroy` ends the connection without a word, and lets go of all bytes that
 *   wait.
 * - `liveness`: without it the device is taken to be there until the transport
 *   closes.
 *
 * @category models
 * @since 0.1.0
 */
export interface Transport {
  readonly write: (messages: ReadonlyArray<Message>) => boolean
  readonly whenWritable: (ready: () => void) => void
  readonly backlog: () => number
  readonly close: (reason: CloseReason) => void
  readonly destroy: () => void
  readonly liveness?: Liveness
}
