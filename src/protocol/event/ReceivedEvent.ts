/**
 * Events as a program reads them: decoded by the definitions it knows.
 *
 * @since 0.1.0
 */
import type * as Schema from "effect/Schema"
import type * as Event from "./Event.ts"

/**
 * An event as it came. `at` is in milliseconds since the Unix epoch; `data` is
 * the encoded payload of the event's definition.
 *
 * @category models
 * @since 0.1.0
 */
export interface WireEvent {
  readonly offset: number
  readonly id: string
  readonly type: string
  readonly keep?: Event.Keep
  readonly at: number
  readonly run?: string
  readonly thread?: string
  readonly confirm?: boolean
  readonly request?: string
  readonly trace?: string
  readonly data: Schema.JsonObject
}

/**
 * Where an event stands, and what goes with it. `at` is in milliseconds since
 * the Unix epoch.
 *
 * @category models
 * @since 0.1.0
 */
export interface Meta {
  readonly epoch: string
  readonly offset: number
  readonly id: string
  readonly at: number
  readonly run: string | undefined
  readonly thread: string | undefined
  readonly confirm: boolean
  readonly request: string | undefined
  readonly trace: string | undefined
}

/**
 * An event of a definition, with its payload decoded.
 *
 * @category models
 * @since 0.1.0
 */
export type Known<D extends Event.AnyDefinition> = D extends Event.Definition<infer Name, infer Payload>
  ? Meta & { readonly type: Name; readonly payload: Payload["Type"] }
  : never

/**
 * An event that the catalog does not know (`problem` is `undefined`), or whose
 * payload its definition does not accept (`problem` says where). `payload` is as it
 * travels. Its name on the wire is `name`; `$unknown` is no name that an event can
 * have. `keep` tells how the state of its run keeps it, if it does.
 *
 * @category models
 * @since 0.1.0
 */
export interface Unknown extends Meta {
  readonly type: "$unknown"
  readonly name: string
  readonly keep?: Event.Keep | undefined
  readonly payload: Schema.JsonObject
  readonly problem: string | undefined
}

/**
 * An event as a reader with a catalog of these definitions gets it. Its `type`
 * tells what it is.
 *
 * @category models
 * @since 0.1.0
 */
export type Received<D extends Event.AnyDefinition> = Known<D> | Unknown

/**
 * Makes the function that decodes events by a catalog.
 *
 * @category constructors
 * @since 0.1.0
 */
export const decoder = <D extends Event.AnyDefinition>(
  catalog: Event.Catalog<D>
): (epoch: string, event: WireEvent) => Received<D> =>
(epoch, event) => {
  const meta: Meta = {
    epoch,
    offset: event.offset,
    id: event.id,
    at: event.at,
    run: event.run,
    thread: event.thread,
    confirm: event.confirm === true,
    request: event.request,
    trace: event.trace
  }
  const unknown = (problem: string | undefined): Unknown => ({
    ...meta,
    type: "$unknown",
    name: event.type,
    ...(event.keep === undefined ? {} : { keep: event.keep }),
    payload: event.data,
    problem
  })
  const reading = catalog.definitions.get(event.type)?.read(event.data)
  if (reading === undefined) return unknown(undefined)
  if (reading._tag === "Problem") return unknown(reading.problem)
  // The definition was found by this type, so the payload is its own; types cannot follow a map's keys.
  return { ...meta, type: event.type, payload: reading.payload } as Known<D>
}
