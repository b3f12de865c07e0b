/**
 * What attending to a user's log tells (see `PresenceLua.attend`).
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import * as Position from "../../../protocol/values/Position.ts"
import * as Reply from "./Reply.ts"

/**
 * - `revokedAt` is when the user's access was last revoked, or 0; `lateMs` for how
 *   long the user's events are late yet, or 0.
 * - `head` is that of the log, if there is one; `acknowledged` are the last
 *   positions of its epoch of which it is known that a device handled their event.
 *
 * @category models
 * @since 0.1.0
 */
export interface Attended {
  readonly revokedAt: number
  readonly lateMs: number
  readonly head: Position.Position | undefined
  readonly acknowledged: ReadonlyArray<Position.Position>
}

const decodeEpoch = Schema.decodeUnknownSync(Position.Epoch)

/**
 * Reads the reply of the script.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toAttended = (reply: unknown): Attended => {
  const [revokedAt, lateMs, epoch, last, acks] = Reply.list(reply)
  const times = { revokedAt: Reply.integer(revokedAt), lateMs: Reply.integer(lateMs) }
  if (epoch === undefined) return { ...times, head: undefined, acknowledged: [] }
  const head: Position.Position = { epoch: decodeEpoch(epoch), offset: Reply.integer(last) }
  // The record begins with its epoch, so that it does not outlive it.
  const [recorded, ...offsets] = Reply.text(acks).split(" ")
  const acknowledged = recorded === head.epoch
    ? offsets.map((offset) => ({ epoch: head.epoch, offset: Reply.integer(offset) }))
    : []
  return { ...times, head, acknowledged }
}
