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
import type * as Schema from "effect/Schema"
import type {
  AnyDefinition,
  BuiltInName,
  Definition,
  Event,
  NeedsNoServices,
  Options,
  PayloadSchema
} from "./EventDefinition.ts"
import { define, isBuiltIn } from "./EventDefinition.ts"

/**
 * What a definition and its events are, and how they are delivered.
 *
 * @category models
 * @since 0.1.0
 */
export {
  type AnyDefinition,
  type Coalesce,
  type Confirmation,
  type Definition,
  DeliveryClass,
  type Event,
  type EventScope,
  type Of,
  type PayloadSchema
} from "./EventDefinition.ts"

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
