/**
 * JSON Patch (RFC 6902): changes of a value, as a list of operations.
 *
 * This module loads no Effect, so that a page can have it without.
 *
 * @since 0.2.0
 */
import type { Json, JsonObject } from "effect/Schema"

/**
 * The value after all operations, or `undefined` if one of them does not apply: then
 * none of them does. The value that is given is not changed, and without one there is
 * nothing but a new one to add.
 *
 * @category operations
 * @since 0.2.0
 */
export const apply = (value: Json | undefined, patch: ReadonlyArray<Json>): Json | undefined => {
  let changed = value
  for (const operation of patch) {
    changed = isObject(operation) ? one(changed, operation) : undefined
    if (changed === undefined) return undefined
  }
  return changed
}

const one = (root: Json | undefined, { from, op, path, value }: JsonObject): Json | undefined => {
  const to = tokensOf(path)
  if (to === undefined) return undefined
  switch (op) {
    case "add":
      return value === undefined ? undefined : edit(root, to, value, true)
    case "replace":
      return value === undefined ? undefined : edit(root, to, value)
    case "remove":
      return edit(root, to)
    case "test": {
      const found = at(root, to)
      return found !== undefined && value !== undefined && isSame(found, value) ? root : undefined
    }
    case "move":
    case "copy": {
      const source = tokensOf(from)
      const found = source && at(root, source)
      if (source === undefined || found === undefined) return undefined
      // Within what is moved there is no place for it.
      const rest = op === "copy" ? root : to.length === 0 ? found : edit(root, source)
      return rest === undefined ? undefined : edit(rest, to, found, true)
    }
  }
  return undefined
}

const isObject = (value: Json | undefined): value is JsonObject =>
  typeof value === "object" && value !== null && !Array.isArray(value)

// A JSON Pointer (RFC 6901).
const tokensOf = (pointer: Json | undefined): ReadonlyArray<string> | undefined => {
  if (pointer === "") return []
  return typeof pointer === "string" && pointer.startsWith("/")
    ? pointer.slice(1).split("/").map((token) => token.replaceAll("~1", "/").replaceAll("~0", "~"))
    : undefined
}

const indexOf = (token: string, length: number): number | undefined =>
  /^(0|[1-9]\d*)$/.test(token) && Number(token) < length ? Number(token) : undefined

const at = (root: Json | undefined, tokens: ReadonlyArray<string>): Json | undefined =>
  tokens.reduce<Json | undefined>((value, token) => {
    if (Array.isArray(value)) return value[indexOf(token, value.length) ?? -1]
    return isObject(value) && Object.hasOwn(value, token) ? value[token] : undefined
  }, root)

// The value with another one at a place, or with none there. What it has no place for gives nothing.
const edit = (
  value: Json | undefined,
  tokens: ReadonlyArray<string>,
  put?: Json,
  isNew = false,
  depth = 0
): Json | undefined => {
  const token = tokens[depth]
  if (token === undefined) return put
  const isLast = depth === tokens.length - 1
  const adds = isNew && isLast
  const within = (inner: Json | undefined) => isLast ? put : edit(inner, tokens, put, isNew, depth + 1)
  if (Array.isArray(value)) {
    const index = adds && token === "-" ? value.length : indexOf(token, value.length + (adds ? 1 : 0))
    if (index === undefined) return undefined
    const inner = within(value[index])
    if (inner === undefined && !isLast) return undefined
    const items = inner === undefined ? [] : [inner]
    return [...value.slice(0, index), ...items, ...value.slice(adds ? index : index + 1)]
  }
  if (!isObject(value) || !adds && !Object.hasOwn(value, token)) return undefined
  const inner = within(value[token])
  if (inner !== undefined) return { ...value, [token]: inner }
  const { [token]: _, ...others } = value
  return isLast ? others : undefined
}

const isSame = (one: Json, other: Json | undefined): boolean => {
  if (Array.isArray(one)) {
    return Array.isArray(other) && one.length === other.length && one.every((item, n) => isSame(item, other[n]))
  }
  if (!isObject(one)) return one === other
  const keys = Object.keys(one)
  return isObject(other) && keys.length === Object.keys(other).length &&
    keys.every((key) => Object.hasOwn(other, key) && isSame(one[key] ?? null, other[key]))
}
