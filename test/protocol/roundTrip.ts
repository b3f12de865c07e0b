import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"

type AnySchema = Schema.Codec<unknown, unknown>

const isPlainSchema = (value: unknown): value is AnySchema => Schema.isSchema(value)

/** The schemas among a module's exports, by name. */
export const schemasOf = (module: object): ReadonlyArray<readonly [string, AnySchema]> =>
  Object.entries(module).flatMap(([name, value]) => isPlainSchema(value) ? [[name, value] as const] : [])

/** What becomes of a value that is written to JSON text and read again. */
export const throughJson = <S extends Schema.Codec<unknown, unknown>>(schema: S, value: S["Type"]) => {
  const codec = Schema.toCodecJson(schema)
  return Effect.gen(function*() {
    const text = JSON.stringify(yield* Schema.encodeEffect(codec)(value))
    const read = yield* Schema.decodeUnknownEffect(codec)(JSON.parse(text))
    return { text, read, again: JSON.stringify(yield* Schema.encodeEffect(codec)(read)) }
  })
}

/** The same value without negative zeros, the one thing that JSON text cannot hold: they become zero. */
export const withoutNegativeZero = (value: unknown): unknown => {
  if (Object.is(value, -0)) return 0
  if (Array.isArray(value)) return value.map(withoutNegativeZero)
  if (typeof value !== "object" || value === null) return value
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype !== Object.prototype && prototype !== null) return value
  const copy = {}
  for (const [key, item] of Object.entries(value)) {
    Object.defineProperty(copy, key, { value: withoutNegativeZero(item), enumerable: true })
  }
  return copy
}

/**
 * Whether a key of this JSON text is written with an escape. The V8 of Node 24 misreads some of them: after it has seen
 * `{"a":0,"\\":1}` it reads the second key of `{"a":0,"\ud800":1}` as a backslash, so no text with such keys can be
 * held against what was written.
 */
export const hasEscapedKey = (json: string): boolean =>
  Array.from(json.matchAll(/"((?:[^"\\]|\\.)*)":/g), ([, key = ""]) => key).some((key) => key.includes("\\"))

/** One property test for each named schema: JSON and back gives the same value, and the same text. */
export const roundTrips = (schemas: ReadonlyArray<readonly [string, AnySchema]>) =>
  describe("through JSON and back", () => {
    for (const [name, schema] of schemas) {
      it.effect.prop(`${name} comes back as it was`, { value: schema }, ({ value }) =>
        Effect.gen(function*() {
          const { again, read, text } = yield* throughJson(schema, value)
          if (hasEscapedKey(text)) return
          assert.deepStrictEqual(withoutNegativeZero(read), withoutNegativeZero(value))
          assert.strictEqual(again, text)
        }))
    }
  })
