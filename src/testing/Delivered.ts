/**
 * What an emitter delivered, as it can be seen from outside: in users' logs, and in
 * fallback channels.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import type { Entry } from "../broker/Broker.ts"
import * as Envelope from "../protocol/wire/Envelope.ts"
import { WireEvent } from "../protocol/wire/Frame.ts"
import type { UserId } from "../protocol/values/Identity.ts"
import type { Position } from "../protocol/values/Position.ts"

/**
 * An event in a user's log: what devices get, where it stands, and when it came
 * there, in milliseconds since the Unix epoch.
 *
 * @category models
 * @since 0.1.0
 */
export interface Logged {
  readonly user: UserId
  readonly position: Position
  readonly event: WireEvent
  readonly delivery: Envelope.Envelope["delivery"]
  readonly at: number
}

/**
 * An event that a fallback channel took.
 *
 * @category models
 * @since 0.1.0
 */
export interface HandedOver {
  readonly user: UserId
  readonly channel: string
  readonly envelope: Envelope.Envelope
  readonly at: number
}

const decodeEvent = Schema.decodeUnknownSync(WireEvent)

/**
 * An entry of a user's log as devices see it.
 *
 * @category conversions
 * @since 0.1.0
 */
export const fromEntry = (user: UserId, epoch: string, entry: Entry, at: number): Logged => ({
  user,
  position: { epoch, offset: entry.offset },
  event: decodeEvent(JSON.parse(Envelope.toJson(entry.offset, entry.body))),
  delivery: entry.delivery,
  at
})
