/**
 * The names of environment variables: those that a schema reads, and those that are
 * set.
 *
 * @since 0.2.0
 */
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import * as SchemaAST from "effect/SchemaAST"
import * as String from "effect/String"

/**
 * The names that a schema reads under a prefix. One with `isOpen` stands for all
 * that begin with it and an underscore: of a list or of a table.
 *
 * @category models
 * @since 0.2.0
 */
export interface KnownName {
  readonly name: string
  readonly isOpen: boolean
}

/**
 * The name of an option, such as `EMITTER_BATCHING_MAX_SIZE`.
 *
 * @category conversions
 * @since 0.2.0
 */
export const nameOf = (path: ReadonlyArray<string>): string => path.map((part) => String.configCase(part)).join("_")

/**
 * The names that a schema reads.
 *
 * @category conversions
 * @since 0.2.0
 */
export const known = (schema: Schema.Top, prefix: string): ReadonlyArray<KnownName> =>
  namesOf(SchemaAST.toEncoded(schema.ast), [prefix])

const namesOf = (ast: SchemaAST.AST, path: ReadonlyArray<string>): ReadonlyArray<KnownName> => {
  if (SchemaAST.isUnion(ast)) return ast.types.flatMap((type) => namesOf(type, path))
  if (SchemaAST.isArrays(ast)) return [{ name: nameOf(path), isOpen: true }]
  if (!SchemaAST.isObjects(ast)) return [{ name: nameOf(path), isOpen: false }]
  const own = ast.propertySignatures.flatMap(({ name, type }) => namesOf(type, [...path, name.toString()]))
  return ast.indexSignatures.length === 0 ? own : [...own, { name: nameOf(path), isOpen: true }]
}

/**
 * The variables that are set and begin with a prefix and an underscore.
 *
 * @category getters
 * @since 0.2.0
 */
export const set = (prefix: string): Effect.Effect<ReadonlyArray<string>> =>
  Effect.flatMap(ConfigProvider.ConfigProvider, (provider) => Effect.orDie(under(provider, [prefix])))

const deepest = 12

const under = (
  provider: ConfigProvider.ConfigProvider,
  path: ReadonlyArray<string | number>
): Effect.Effect<ReadonlyArray<string>, ConfigProvider.SourceError> =>
  Effect.flatMap(provider.load(path), (node) => {
    if (node === undefined || path.length > deepest) return Effect.succeed([])
    const own = node.value === undefined || path.length === 1 ? [] : [path.join("_")]
    const children = node._tag === "Record"
      ? [...node.keys]
      : node._tag === "Array"
      ? Array.from({ length: node.length }, (_, index) => index)
      : []
    return Effect.map(
      Effect.forEach(children, (child) => under(provider, [...path, child])),
      (names) => [...own, ...names.flat()]
    )
  })

/**
 * The known name that a misspelt one is most like, if one is.
 *
 * @category conversions
 * @since 0.2.0
 */
export const nearest = (name: string, names: ReadonlyArray<KnownName>): string | undefined => {
  const [best] = names
    .map((each) => ({ name: each.name, distance: distance(name, each.name) }))
    .filter((each) => each.distance <= Math.max(2, Math.floor(name.length / 5)))
    .toSorted((a, b) => a.distance - b.distance)
  return best?.name
}

const distance = (a: string, b: string): number => {
  let above = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let row = 1; row <= a.length; row++) {
    const line = [row]
    for (let column = 1; column <= b.length; column++) {
      const change = (above[column - 1] ?? 0) + (a[row - 1] === b[column - 1] ? 0 : 1)
      line.push(Math.min(change, (above[column] ?? 0) + 1, (line[column - 1] ?? 0) + 1))
    }
    above = line
  }
  return above[b.length] ?? 0
}
