/**
 * What built-in events and those of users are made by.
 *
 * The names of built-in events are kept for them: a run's order is told by these
 * names, so another event of such a name could stand for a run's ending.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import type * as Duration from "effect/Duration"
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import type { Given } from "../values/Present.ts"
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
 * The wire name of a built-in event.
 *
 * @category models
 * @since 0.1.0
 */
export type BuiltInName = (typeof builtInNames)[number]

/**
 * Whether a wire name is that of a built-in event.
 *
 * @category checks
 * @since 0.1.0
 */
export const isBuiltIn = (name: string): name is BuiltInName => builtInNames.some((builtIn) => builtIn === name)

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
 * One of the delivery classes.
 *
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
 * A payload schema: of objects, with no need of services to decode or encode.
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
  readonly keep: RunEvents.Keep | undefined
  readonly read: (data: object) => Reading<object>
}

/**
 * What a payload is read as off the wire: a payload, or a problem that says where
 * its definition does not accept it.
 *
 * @category models
 * @since 0.1.0
 */
export type Reading<Payload extends object> =
  | { readonly _tag: "Payload"; readonly payload: Payload }
  | { readonly _tag: "Problem"; readonly problem: string }

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

  /**
   * Reads a payload as it came. It does not throw, whatever a transformation of the
   * schema's throws.
   */
  readonly read: (data: object) => Reading<Payload["Type"]>
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
 * The payload schema of a definition that is given fields, or a schema.
 *
 * @category models
 * @since 0.1.0
 */
export type PayloadOf<Given extends Schema.Struct.Fields | PayloadSchema> = Given extends PayloadSchema ? Given
  : Given extends Schema.Struct.Fields ?
    Schema.Struct<Given> extends infer Struct extends PayloadSchema ? Struct : never
  : never

type TextField<Payload> = { [K in keyof Payload]-?: Payload[K] extends string ? K : never }[keyof Payload] & string

/**
 * What is said of a kind of event.
 *
 * - `payload`: its fields, as of `Schema.Struct`, or a schema of objects.
 * - `delivery`: what delivery owes it, `batched` by default.
 * - `scope`: where it may stand, `free` by default.
 * - `coalesce`: how those that wait together become one; by default they do not.
 * - `confirm`: that a device has to acknowledge each; by default none has to.
 * - `keep`: how they are kept in the state of the run that they belong to; by default
 *   they are not. Of each payload at most 4 KiB of JSON are kept.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<Payload extends Schema.Struct.Fields | PayloadSchema> {
  readonly payload: Payload
  readonly delivery?: DeliveryClass | undefined
  readonly scope?: EventScope | undefined
  readonly coalesce?: Coalesce<TextField<PayloadOf<Payload>["Type"]>> | undefined
  readonly confirm?: Confirmation | undefined
  readonly keep?: RunEvents.Keep | undefined
}

/**
 * Refuses a payload that could not be encoded without services.
 *
 * @category models
 * @since 0.1.0
 */
export type NeedsNoServices<Payload extends Schema.Struct.Fields | PayloadSchema> = [PayloadOf<Payload>] extends [never]
  ? { readonly payload: "needs services to encode" }
  : unknown

// What only emits never reads, so nothing is made ready for it.
const readerOf = <Payload extends PayloadSchema>(schema: Payload): (data: object) => Reading<Payload["Type"]> => {
  let decode: ((data: object) => Exit.Exit<Payload["Type"], unknown>) | undefined
  return (data) => {
    decode ??= Schema.decodeUnknownExit(schema, { errors: "first" })
    const exit = decode(data)
    if (Exit.isSuccess(exit)) return { _tag: "Payload", payload: exit.value }
    const error = Cause.squash(exit.cause)
    return { _tag: "Problem", problem: error instanceof Error ? error.message : String(error) }
  }
}

/**
 * What the name of an event or a command looks like.
 *
 * @category constants
 * @since 0.2.0
 */
export const namePattern = /^[a-z][a-z0-9_.]{0,63}$/u

/**
 * The name of an event or a command.
 *
 * @category models
 * @since 0.2.0
 */
export const Name = Schema.String.check(Schema.isPattern(namePattern))

/**
 * The schema of a payload that is given as fields, or as a schema.
 *
 * @category constructors
 * @since 0.2.0
 */
export const payloadOf = <const Payload extends Schema.Struct.Fields | PayloadSchema>(
  payload: Payload
): PayloadOf<Payload> =>
  // The type follows what is given as this does.
  (Schema.isSchema(payload) ? payload : Schema.Struct(payload)) as PayloadOf<Payload>

/**
 * Defines a kind of event, whatever its name.
 *
 * @category constructors
 * @since 0.1.0
 */
export const define = <const Name extends string, const Payload extends Schema.Struct.Fields | PayloadSchema>(
  name: Name,
  options: Options<Payload> & NeedsNoServices<Payload>
): Definition<Name, PayloadOf<Payload>> => {
  if (!namePattern.test(name)) {
    throw new TypeError(`The event name "${name}" does not match ${namePattern.source}`)
  }
  const delivery = options.delivery ?? "batched"
  if (options.coalesce !== undefined && delivery === "critical") {
    throw new TypeError(`The event "${name}" is critical, and critical events are never merged: remove "coalesce"`)
  }
  const payload = payloadOf<Payload>(options.payload)
  const definition: Definition<Name, PayloadOf<Payload>> = {
    name,
    payload,
    delivery,
    scope: options.scope ?? "free",
    coalesce: options.coalesce,
    confirm: options.confirm,
    keep: options.keep,
    make: (payload) => ({ type: name, payload, delivery, definition }),
    read: readerOf(payload)
  }
  return definition
}
