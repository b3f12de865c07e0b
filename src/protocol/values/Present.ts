/**
 * Optional fields that are present and `undefined` count as absent, wherever a
 * program hands over options, contexts or payloads.
 *
 * @since 0.1.0
 */
import type * as Schema from "effect/Schema"

type Leaf =
  | string
  | number
  | bigint
  | boolean
  | symbol
  | null
  | undefined
  | ((...args: never) => unknown)
  | (abstract new(...args: never) => unknown)

type Field<T> = unknown extends T ? T
  : Schema.Json extends T ? T
  : T extends Leaf ? T
  : T extends ReadonlyArray<unknown> ? { readonly [K in keyof T]: Field<T[K]> }
  : T extends object ? [keyof T] extends [never] ? T : Given<T>
  : T

/**
 * An object as a program may hand it over: at any depth, each field that may be
 * left out may be `undefined` as well, also under `exactOptionalPropertyTypes`.
 *
 * @category models
 * @since 0.1.0
 */
export type Given<T> = { readonly [K in keyof T]: {} extends Pick<T, K> ? Field<T[K]> | undefined : Field<T[K]> }

/**
 * The same without fields that are `undefined`, at any depth. Only plain objects
 * and lists are looked into; a list keeps all of its elements.
 *
 * @category conversions
 * @since 0.1.0
 */
export const present = (value: unknown): unknown => {
  if (typeof value !== "object" || value === null) return value
  if (Array.isArray(value)) return value.map(present)
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype !== Object.prototype && prototype !== null) return value
  const fields = Object.entries(value).flatMap(([key, field]) =>
    field === undefined ? [] : [[key, present(field)] as const]
  )
  return Object.fromEntries(fields)
}

/**
 * Some of the fields of `A`.
 *
 * @category models
 * @since 0.1.0
 */
export type Overrides<A> = { readonly [K in keyof A]?: A[K] | undefined }

/**
 * The defaults, with what is given in their place.
 *
 * @category conversions
 * @since 0.1.0
 */
export const withDefaults = <A extends object>(defaults: A, given: Overrides<A> | undefined): A => {
  const result = { ...defaults }
  for (const key in given) {
    const value = given[key]
    if (value !== undefined) result[key] = value
  }
  return result
}
