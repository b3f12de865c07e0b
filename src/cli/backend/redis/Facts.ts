/**
 * What `INFO` of a Redis server tells.
 *
 * @since 0.2.0
 */

/**
 * Reads the lines of an `INFO` as names and values.
 *
 * @category conversions
 * @since 0.2.0
 */
export const read = (info: string): ReadonlyMap<string, string> =>
  new Map(
    info.split(/\r?\n/u).flatMap((line) => {
      const colon = line.indexOf(":")
      return colon < 1 || line.startsWith("#") ? [] : [[line.slice(0, colon), line.slice(colon + 1)] as const]
    })
  )

/**
 * One of its values as a number, 0 where there is none.
 *
 * @category conversions
 * @since 0.2.0
 */
export const numberOf = (facts: ReadonlyMap<string, string>, name: string): number => Number(facts.get(name) ?? 0)

/**
 * What the server is and its version, and whether that is one that the broker works
 * with.
 *
 * @category conversions
 * @since 0.2.0
 */
export const versionOf = (facts: ReadonlyMap<string, string>): { readonly text: string; readonly isGood: boolean } => {
  const valkey = facts.get("valkey_version")
  if (valkey !== undefined) return { text: `Valkey ${valkey}`, isGood: true }
  const version = facts.get("redis_version") ?? "of no version"
  return { text: `Redis ${version}`, isGood: Number.parseInt(version, 10) >= 7 }
}
