/**
 * JSON Patch (RFC 6902): changes of a value, as a list of operations.
 *
 * This module loads no Effect, so that a page can have it without.
 *
 * @since 0.2.0
 */
import type { Json } from "effect/Schema"
import { memberOf, membersOf } from "./Members.ts"

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
    changed = one(changed, operation)
    if (changed === undefined) return undefined
  }
  return changed
}

const one = (root: Json | undefined, operation: Json): Json | undefined => {
  const value = memberOf(operation, "value")
  const to = tokensOf(memberOf(operation, "path"))
  const from = tokensOf(memberOf(operation, "from"))
  switch (memberOf(operation, "op")) {
    case "add":
      return put(root, to, value, true)
    case "replace":
      return put(root, to, value)
    case "remove":
      return edit(root, to)
    case "test":
      return value !== undefined && isSame(value, at(root, to)) ? root : undefined
    case "copy":
      return put(root, to, at(root, from), true)
    case "move":
      // Within what is moved there is no place for it.
      return put(edit(root, from), to, at(root, from), true)
  }
  return undefined
}

// A JSON Pointer (RFC 6901).
const tokensOf = (pointer: Json | undefined): ReadonlyArray<string> | undefined => {
  const [start, ...tokens] = typeof pointer === "string" ? pointer.split("/") : []
  return start === "" ? tokens.map((token) => token.replaceAll("~1", "/").replaceAll("~0", "~")) : undefined
}

const at = (root: Json | undefined, tokens: ReadonlyArray<string> | undefined): Json | undefined =>
  tokens?.reduce(memberOf, root)

const put = (
  root: Json | undefined,
  tokens: ReadonlyArray<string> | undefined,
  value: Json | undefined,
  isNew = false
): Json | undefined => tokens === undefined || value === undefined ? undefined : edit(root, tokens, value, isNew)

// The value with another one at a place, or with none there. What it has no place for gives nothing.
const edit = (
  value: Json | undefined,
  [token, ...rest]: ReadonlyArray<string> = [],
  other?: Json,
  isNew = false
): Json | undefined => {
  if (token === undefined) return other
  const members = membersOf(value)
  if (members === undefined) return undefined
  const isList = Array.isArray(value)
  const found = members.findIndex(([name]) => name === token)
  const adds = isNew && rest.length === 0
  if (found < 0 && !(adds && (!isList || token === "-" || token === String(members.length)))) return undefined
  const inner = rest.length === 0 ? other : edit(members[found]?.[1], rest, other, isNew)
  if (rest.length > 0 && inner === undefined) return undefined
  const changed = members.toSpliced(
    found < 0 ? members.length : found,
    adds && isList ? 0 : 1,
    ...(inner === undefined ? [] : [[token, inner] as const])
  )
  return isList ? changed.map(([, item]) => item) : Object.fromEntries(changed)
}

const isSame = (one: Json, other: Json | undefined): boolean => {
  const members = membersOf(one)
  if (members === undefined) return one === other
  return Array.isArray(one) === Array.isArray(other) && members.length === membersOf(other)?.length &&
    members.every(([name, member]) => isSame(member, memberOf(other, name)))
}
