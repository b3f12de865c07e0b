/**
 * Events as a plain program gets them: typed by the definitions it knows.
 *
 * @since 0.1.0
 */
import type { JsonObject } from "effect/Schema"
import type * as Event from "../../protocol/event/Event.ts"
import type { BuiltInName } from "../../protocol/event/EventDefinition.ts"
import { shapeOf } from "../transport/BuiltInShapes.ts"
import type { WireEvent } from "../../protocol/event/ReceivedEvent.ts"

/**
 * Where an event stands, and what goes with it.
 *
 * @category models
 * @since 0.1.0
 */
export interface EventMeta extends Omit<WireEvent, "type" | "data"> {}

/**
 * An event of whatever type, as it came.
 *
 * @category models
 * @since 0.1.0
 */
export interface AnyEvent extends EventMeta {
  readonly type: string
  readonly payload: JsonObject
}

/**
 * An event of a definition. `payload` is as it travels: where the schema makes a
 * `Date` of a text, `payload` has the text.
 *
 * @category models
 * @since 0.1.0
 */
export type KnownEvent<D extends Event.AnyDefinition> = D extends Event.Definition<infer Name, infer Payload>
  ? EventMeta & { readonly type: Name; readonly payload: Payload["Encoded"] }
  : never

/**
 * An event of another catalog or of a later version: nothing is known by that
 * name, or its payload is not what the definition takes. Its name on the wire is
 * `name`; `$unknown` is no name that an event can have.
 *
 * @category models
 * @since 0.1.0
 */
export interface UnknownEvent extends EventMeta {
  readonly type: "$unknown"
  readonly name: string
  readonly payload: JsonObject
}

/**
 * An event as it comes to a program that knows these definitions: its `type`
 * tells what `payload` is.
 *
 * @category models
 * @since 0.1.0
 */
export type TypedEvent<D extends Event.AnyDefinition> = KnownEvent<D> | UnknownEvent

/**
 * Makes the function that tells what an event is, by a catalog, or by the
 * built-in events where there is none.
 *
 * @category constructors
 * @since 0.1.0
 */
export const reader =
  <D extends Event.AnyDefinition>(catalog: Event.Catalog<D> | undefined) =>
  ({ data: payload, type, ...meta }: WireEvent): TypedEvent<D> => {
    const isKnown = catalog === undefined
      ? shapeOf(type)?.(payload) === true
      : catalog.definitions.get(type)?.read(payload)._tag === "Payload"
    // It was looked up by its type, so the payload is that of its definition; types cannot follow a map's keys.
    return isKnown ? { ...meta, type, payload } as TypedEvent<D> : { ...meta, type: "$unknown", name: type, payload }
  }

/**
 * The event as one of this definition, or of this built-in name, whatever the catalog
 * it was read by; `undefined` if it is none.
 *
 * @category guards
 * @since 0.1.0
 */
export const pick = <D extends Event.AnyDefinition>(
  wanted: D | BuiltInName,
  event: TypedEvent<Event.AnyDefinition>
): KnownEvent<D> | undefined => {
  const name = event.type === "$unknown" ? event.name : event.type
  const isWanted = typeof wanted === "string"
    ? name === wanted && shapeOf(wanted)?.(event.payload) === true
    : name === wanted.name && wanted.read(event.payload)._tag === "Payload"
  // As above: the payload is that of the definition by this name.
  const known = { ...event, type: name } as TypedEvent<D> as KnownEvent<D>
  return isWanted ? known : undefined
}
