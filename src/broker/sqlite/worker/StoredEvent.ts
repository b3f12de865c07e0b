/**
 * An event as a row of the file: its text, which says nearly all of it, and its class.
 *
 * @since 0.2.0
 */
import type { JsonObject } from "effect/Schema"
import type { DeliveryClass, Keep } from "../../../protocol/event/Event.ts"
import type { RunSnapshot } from "../../../protocol/run/RunSnapshot.ts"
import type { RunId, ThreadId } from "../../../protocol/values/Identity.ts"
import * as Envelope from "../../../protocol/wire/Envelope.ts"
import type { Entry } from "../../Log.ts"
import type { SentEvent } from "../Messages.ts"
import * as Rows from "./Rows.ts"

const classes: ReadonlyArray<DeliveryClass> = ["critical", "batched", "volatile"]

/**
 * The class of an event as a number.
 *
 * @category conversions
 * @since 0.2.0
 */
export const classOf = ({ delivery }: SentEvent): number => classes.indexOf(delivery)

// What was written by `Envelope`, and checked before.
interface Wire {
  readonly type: string
  readonly at: number
  readonly run?: RunId
  readonly thread?: ThreadId
  readonly confirm?: boolean
  readonly data: JsonObject
}

const isWire = (value: unknown): value is Wire =>
  typeof value === "object" && value !== null && "type" in value && typeof value.type === "string" && "at" in value
  && typeof value.at === "number" && "data" in value && typeof value.data === "object"

const wireOf = (body: string): Wire => {
  const value: unknown = JSON.parse(`{${body}`)
  if (isWire(value)) return value
  throw new Rows.Unreadable("no event in body")
}

/**
 * The payload that a body says.
 *
 * @category conversions
 * @since 0.2.0
 */
export const dataOf = (body: string): JsonObject => wireOf(body).data

/**
 * How an own event is kept, see `Envelope`.
 *
 * @category conversions
 * @since 0.2.0
 */
export const keepOf = (body: string): Keep | undefined => Envelope.keepIn(body)

/**
 * The entry that a row of `event` is, with the columns `off`, `class` and `body`.
 *
 * @category conversions
 * @since 0.2.0
 */
export const toEntry = (row: Rows.Row): Entry => {
  const body = Rows.text(row, "body")
  const { at, confirm = false, run, thread, type } = wireOf(body)
  const delivery = classes[Rows.int(row, "class")] ?? "critical"
  return {
    offset: Rows.int(row, "off"),
    type,
    delivery,
    at,
    run,
    thread,
    confirm,
    body,
    bytes: Buffer.byteLength(body)
  }
}

const isState = (value: unknown): value is RunSnapshot =>
  typeof value === "object" && value !== null && "status" in value && "parts" in value && Array.isArray(value.parts)
  && "usage" in value && typeof value.usage === "object"

/**
 * The state of a run that `JSON.stringify` wrote.
 *
 * @category conversions
 * @since 0.2.0
 */
export const toState = (json: string): RunSnapshot => {
  const value: unknown = JSON.parse(json)
  if (isState(value)) return value
  throw new Rows.Unreadable("no state of a run")
}
