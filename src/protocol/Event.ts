/**
 * How an event is defined: its name on the wire, the schema of its payload, and
 * how it must be delivered.
 *
 * A definition is made once, next to the code that emits it, and serves both
 * sides: `MyEvent.make(payload)` gives the event to emit, and a client that
 * knows the definition gets the payload back with its type.
 *
 * ```ts
 * import { Event } from "effect-emitter"
 * import { Schema } from "effect"
 *
 * const OrderPlaced = Event.make("order_placed", {
 *   payload: { orderId: Schema.NonEmptyString, total: Schema.Finite },
 *   delivery: "critical"
 * })
 *
 * const event = OrderPlaced.make({ orderId: "o-1", total: 12.5 })
 * ```
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import * as Schema from "effect/Schema"
import { type BuiltInName, define, isBuiltIn, type NeedsNoServices, type Options } from "./EventDefinition.ts"
import type { Given } from "./Present.ts"

/**
 * What delivery owes an event.
 *
 * - `critical`: goes out at once, and is never dropped silently.
 * - `batched`: may wait for a batch window, and may be merged with its like.
 * - `volatile`: worth sending only while somebody watches; the first to go when
 *   room is short. Every drop is counted.
 *
 * @category models
 * @since 0.1.0
 */
export const DeliveryClass = Schema.Literals(["critical", "batched", "volatile"])

/**
 * @category models
 * @since 0.1.0
 */
export type DeliveryClass = typeof DeliveryClass.Type

/**
 * Where an event may stand: `run` events only between the start and the end of
 * a run, `free` events anywhere.
 *
 * @category models
 * @since 0.1.0
 */
export type EventScope = "run" | "free"

/**
 * How events of one kind that wait in the same batch window become one. Never
 * across a critical event, so no event is seen on the wrong side of one.
 *
 * - `Concatenate`: texts of equal `by` are joined in order.
 * - `Newest`: of events with equal `by` (or of one run, without `by`) the newest
 *   stands for all.
 *
 * @category models
 * @since 0.1.0
 */
export type Coalesce<Field extends string = string> =
  | { readonly _tag: "Concatenate"; readonly by: Field; readonly text: Field }
  | { readonly _tag: "Newest"; readonly by?: Field | undefined }

/**
 * Asks that a device acknowledges each such event: `emit` then behaves like
 * `emitConfirmed`, trying `attempts` times and waiting up to `within` each time.
 *
 * @category models
 * @since 0.1.0
 */
export interface Confirmation {
  readonly attempts: number
  readonly within: Duration.Input
}

/**
 * A payload schema: a struct that needs no services to decode or encode.
 *
 * @category models
 * @since 0.1.0
 */
export type PayloadSchema = Schema.Codec<object, object>

/**
 * Any kind of event.
 *
 * @category models
 * @since 0.1.0
 */
export interface AnyDefinition {
  readonly name: string
  readonly payload: PayloadSchema
  readonly delivery: DeliveryClass
  readonly scope: EventScope
  readonly coalesce: Coalesce | undefined
  readonly confirm: Confirmation | undefined
}

/**
 * A kind of event.
 *
 * @category models
 * @since 0.1.0
 */
export interface Definition<out Name extends string, in out Payload extends PayloadSchema> extends AnyDefinition {
  readonly name: Name
  readonly payload: Payload

  /**
   * Makes an event to emit. The payload is checked once, when it is emitted; a
   * field that is `undefined` counts as absent.
   */
  readonly make: (payload: Given<Payload["Type"]>) => Event<Name, Given<Payload["Type"]>>
}

/**
 * A thing that happened, ready to be emitted.
 *
 * @category models
 * @since 0.1.0
 */
export interface Event<out Name extends string = string, out Payload extends object = object> {
  readonly type: Name
  readonly payload: Payload
  readonly delivery: DeliveryClass
  readonly definition: AnyDefinition
}

/**
 * The event a definition makes.
 *
 * @category models
 * @since 0.1.0
 */
export type Of<D extends AnyDefinition> = D extends Definition<infer Name, infer Payload> ?
  Event<Name, Given<Payload["Type"]>>
  : never

/**
 * Defines a kind of event.
 *
 * - `name` is fixed once devices know it: 1 to 64 characters of
 *   `a–z 0–9 _ .`, a letter first, and none of the built-in catalog's, whose
 *   order the runs' states rest on.
 * - `payload` encodes to JSON. `JSON` has no `NaN` and no infinity: a number that
 *   may be one reaches devices as `null`, so use `Schema.Finite`.
 * - `delivery` defaults to `batched`, `scope` to `free`.
 * - `coalesce` is for batched and volatile events only.
 *
 * A name or a combination that breaks these rules throws a `TypeError` where
 * the definition is written, since it is a mistake in the program.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <const Name extends string, const Fields extends Schema.Struct.Fields>(
  name: Name,
  options:
    & Options<Fields>
    & NeedsNoServices<Fields>
    & (Name extends BuiltInName ? { readonly payload: "the name is that of a built-in event" } : unknown)
): Definition<Name, Schema.Struct<Fields> & PayloadSchema> => {
  if (isBuiltIn(name)) throw new TypeError(`The event name "${name}" is that of a built-in event`)
  return define(name, options)
}

/**
 * Asks that this one event is delivered as a critical one: at once, and behind
 * every earlier event of its user.
 *
 * @category combinators
 * @since 0.1.0
 */
export const critical = <Name extends string, Payload extends object>(
  event: Event<Name, Payload>
): Event<Name, Payload> => ({ ...event, delivery: "critical" })

/**
 * A set of definitions that a client knows, by wire name.
 *
 * @category models
 * @since 0.1.0
 */
export interface Catalog<out D extends AnyDefinition = AnyDefinition> {
  readonly definitions: ReadonlyMap<string, D>
}

/**
 * Puts definitions together. Two definitions of one name throw a `TypeError`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const catalog = <const D extends ReadonlyArray<AnyDefinition>>(...definitions: D): Catalog<D[number]> => {
  const byName = new Map<string, D[number]>()
  for (const definition of definitions) {
    if (byName.has(definition.name)) throw new TypeError(`Two events have the name "${definition.name}"`)
    byName.set(definition.name, definition)
  }
  return { definitions: byName }
}
