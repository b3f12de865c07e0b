/**
 * The members of JSON: an object's own, by their names, and a list's elements, by their
 * indices. What objects and lists inherit is none of them.
 *
 * This module loads nothing, so that a page can have it without Effect.
 *
 * @since 0.2.0
 */
import type { Json } from "effect/Schema"

/**
 * All members; `undefined` for what holds none.
 *
 * @category getters
 * @since 0.2.0
 */
export const membersOf = <A>(value: A): ReadonlyArray<readonly [name: string, member: Json]> | undefined =>
  typeof value === "object" && value !== null ? Object.entries(value) : undefined

/**
 * The member of this name; `undefined` if there is none.
 *
 * @category getters
 * @since 0.2.0
 */
export const memberOf = (value: unknown, name: string): Json | undefined =>
  typeof value === "object" && value !== null && Object.prototype.propertyIsEnumerable.call(value, name)
    ? Reflect.get(value, name)
    : undefined
