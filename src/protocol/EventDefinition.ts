/**
 * What built-in events and those of users are made by.
 *
 * The names of built-in events are kept for them: a run's order is told by these
 * names, so another event of such a name could stand for a run's ending.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import type { Coalesce, Confirmation, Definition, DeliveryClass, EventScope, PayloadSchema } from "./Event.ts"
import * as RunEvents from "./RunEvents.ts"

/**
 * The wire names of the built-in catalog.
 *
 * @category constants
 * @since 0.1.0
 */
export const builtInNames = [
  ...RunEvents.names,
  "custom",
  "auth_started",
  "auth_validating",
  "auth_completed",
  "auth_failed"
] as const

/**
 * @category models
 * @since 0.1.0
 */
export type BuiltInName = (typeof builtInNames)[number]

/**
 * @category checks
 * @since 0.1.0
 */
export const isBuiltIn = (name: string): name is BuiltInName => builtInNames.some((builtIn) => builtIn === name)

type TextField<Payload> = { [K in keyof Payload]-?: Payload[K] extends string ? K : never }[keyof Payload] & string

/**
 * What is said of a kind of event: see `Event.make`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<Fields extends Schema.Struct.Fields> {
  readonly payload: Fields
  readonly delivery?: DeliveryClass | undefined
  readonly scope?: EventScope | undefined
  readonly coalesce?: Coalesce<TextField<Schema.Struct<Fields>["Type"]>> | undefined
  readonly confirm?: Confirmation | undefined
}

/**
 * Refuses a payload that could not be encoded without services.
 *
 * @category models
 * @since 0.1.0
 */
export type NeedsNoServices<Fields extends Schema.Struct.Fields> = [Schema.Struct<Fields>] extends [PayloadSchema]
  ? unknown
  : { readonly payload: "needs services to encode" }

const namePattern = /^[a-z][a-z0-9_.]{0,63}$/

/**
 * Defines a kind of event, whatever its name.
 *
 * @category constructors
 * @since 0.1.0
 */
export const define = <const Name extends string, const Fields extends Schema.Struct.Fields>(
  name: Name,
  options: Options<Fields> & NeedsNoServices<Fields>
): Definition<Name, Schema.Struct<Fields> & PayloadSchema> => {
  if (!namePattern.test(name)) {
    throw new TypeError(`The event name "${name}" does not match ${namePattern.source}`)
  }
  const delivery = options.delivery ?? "batched"
  if (options.coalesce !== undefined && delivery === "critical") {
    throw new TypeError(`The event "${name}" is critical, and critical events are never merged: remove "coalesce"`)
  }
  const definition: Definition<Name, Schema.Struct<Fields> & PayloadSchema> = {
    name,
    payload: Schema.Struct(options.payload) as Schema.Struct<Fields> & PayloadSchema,
    delivery,
    scope: options.scope ?? "free",
    coalesce: options.coalesce,
    confirm: options.confirm,
    make: (payload) => ({ type: name, payload, delivery, definition })
  }
  return definition
}
