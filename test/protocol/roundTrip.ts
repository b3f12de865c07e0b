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

/** One property test for each named schema: JSON and back gives the same value, and the same text. */
export const roundTrips = (schemas: ReadonlyArray<readonly [string, AnySchema]>) =>
  describe("through JSON and back", () => {
    for (const [name, schema] of schemas) {
      const same = Schema.toEquivalence(schema)
      it.effect.prop(`${name} comes back as it was`, { value: schema }, ({ value }) =>
        Effect.gen(function*() {
          const { again, read, text } = yield* throughJson(schema, value)
          assert.isTrue(same(read, value), text)
          assert.strictEqual(again, text)
        }))
    }
  })
