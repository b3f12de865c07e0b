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
 * ## An event changes over time
 *
 * Servers, devices and logs are never of one version: an event that was written
 * by an older server is read by a newer device, and the other way round. Two
 * changes are safe:
 *
 * - **A new field has a decoding default.** Newer readers get the default where
 *   the field is missing; older ones ignore it. Writers always give it.
 * - **Anything else is a new name.** A field that changes its type or meaning, or
 *   goes, makes another event: `order_placed.v2`. Catalogs keep both until no
 *   server writes the old one and no log holds it any more; devices that know only
 *   the old one get the new one as unknown, and lose nothing else. While such
 *   devices are left, emit both.
 *
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { Event } from "effect-emitter"
 *
 * const OrderPlaced = Event.make("order_placed", {
 *   payload: {
 *     orderId: Schema.NonEmptyString,
 *     total: Schema.Finite,
 *     // Since the second release. What the first one wrote was in euros.
 *     currency: Schema.String.pipe(Schema.withDecodingDefaultKey(Effect.succeed("EUR")))
 *   }
 * })
 *
 * // `total` is an exact amount now, and no number any more: another event.
 * const OrderPlacedV2 = Event.make("order_placed.v2", {
 *   payload: { orderId: Schema.NonEmptyString, total: Schema.BigIntFromString, currency: Schema.String }
 * })
 *
 * const orders = Event.catalog(OrderPlaced, OrderPlacedV2)
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
  PayloadOf,
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
  type Options,
  type PayloadOf,
  type PayloadSchema,
  type Reading
} from "./EventDefinition.ts"
export type { Keep } from "./RunEvents.ts"

/**
 * Defines a kind of event.
 *
 * - `name` is fixed once devices know it: 1 to 64 characters of
 *   `a–z 0–9 _ .`, a letter first, and none of the built-in catalog's, whose
 *   order the runs' states rest on.
 * - `payload` is the fields of a struct, or a schema of objects: a struct of your
 *   own, a union, a class (of which `make` takes instances). It encodes to JSON. `JSON` has no `NaN` and no infinity: a number that
 *   may be one reaches devices as `null`, so use `Schema.Finite`.
 * - `delivery` defaults to `batched`, `scope` to `free`.
 * - `coalesce` is for batched and volatile events only.
 * - `keep` gives those within a run a place in the run's state, so that a device
 *   that was not there for them shows them as well.
 *
 * A name or a combination that breaks these rules throws a `TypeError` where
 * the definition is written, since it is a mistake in the program.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <const Name extends string, const Payload extends Schema.Struct.Fields | PayloadSchema>(
  name: Name,
  options:
    & Options<Payload>
    & NeedsNoServices<Payload>
    & (Name extends BuiltInName ? { readonly payload: "the name is that of a built-in event" } : unknown)
): Definition<Name, PayloadOf<Payload>> => {
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
 * A set of definitions, by wire name: what a reader of events knows.
 *
 * - `add` gives a catalog that has these definitions as well.
 * - `merge` gives a catalog that has those of another one as well.
 *
 * A definition may come twice. Two definitions of one name throw a `TypeError`,
 * where the catalog is written.
 *
 * ```ts
 * import { Schema } from "effect"
 * import { AgentEvents, Event } from "effect-emitter"
 *
 * const OrderPlaced = Event.make("order_placed", { payload: { orderId: Schema.NonEmptyString } })
 * const OrderPaid = Event.make("order_paid", { payload: { orderId: Schema.NonEmptyString } })
 *
 * const orders = Event.catalog(OrderPlaced, OrderPaid)
 * const all = AgentEvents.catalog.merge(orders) // or .add(OrderPlaced, OrderPaid)
 * ```
 *
 * @category models
 * @since 0.1.0
 */
export interface Catalog<out D extends AnyDefinition = AnyDefinition> {
  readonly definitions: ReadonlyMap<string, D>
  readonly add: <const Added extends ReadonlyArray<AnyDefinition>>(...added: Added) => Catalog<D | Added[number]>
  readonly merge: <Other extends AnyDefinition>(other: Catalog<Other>) => Catalog<D | Other>
}

/**
 * Puts definitions together. Two definitions of one name throw a `TypeError`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const catalog = <const D extends ReadonlyArray<AnyDefinition>>(...definitions: D): Catalog<D[number]> =>
  ofAll<D[number]>(definitions)

const ofAll = <D extends AnyDefinition>(definitions: Iterable<D>): Catalog<D> => {
  const byName = new Map<string, D>()
  for (const definition of definitions) {
    const known = byName.get(definition.name)
    if (known !== undefined && known !== definition) {
      throw new TypeError(`Two events have the name "${definition.name}"`)
    }
    byName.set(definition.name, definition)
  }
  return {
    definitions: byName,
    add: (...added) => ofAll([...byName.values(), ...added]),
    merge: (other) => ofAll([...byName.values(), ...other.definitions.values()])
  }
}
