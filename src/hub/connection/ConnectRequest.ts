/**
 * What a device asks of a hub, and what it is answered first.
 *
 * @since 0.1.0
 */
import type { ConnectionId, ThreadId, UserId } from "../../protocol/values/Identity.ts"
import type { Position } from "../../protocol/values/Position.ts"
import type { FrameEncoder } from "./FrameEncoder.ts"
import type { Transport } from "../Transport.ts"

/**
 * A device that asks to be served. Without `resume` it starts at the head, with
 * snapshots of the active runs. With `threads` it gets only the events of these
 * threads, and those of no thread. With `snapshots` it gets snapshots of the active
 * runs of its threads and of so many others, the newest, also when it resumes.
 * `issuedAt` is when its credential was issued, in milliseconds since the Unix
 * epoch, if that is known.
 *
 * @category models
 * @since 0.1.0
 */
export interface Request {
  readonly id: ConnectionId
  readonly user: UserId
  readonly issuedAt?: number | undefined
  readonly resume: Position | undefined
  readonly threads: ReadonlyArray<ThreadId> | undefined
  readonly snapshots?: number | undefined
  readonly encoder: FrameEncoder
  readonly transport: Transport
}

/**
 * Where a connection starts: the head of the log, whether the position that was
 * asked for could be served, and how many snapshots follow the greeting.
 *
 * @category models
 * @since 0.1.0
 */
export interface Opening {
  readonly epoch: string
  readonly offset: number
  readonly recovered: boolean
  readonly snapshots: number
}
