/**
 * The URL of a Redis server: what of it can be used, and what the `redis` client
 * would read otherwise than it was meant.
 *
 * @since 0.1.0
 */

/**
 * What a URL leads to: `place` is the host and port or the path of the socket,
 * `database` the number of the database there.
 *
 * @category models
 * @since 0.1.0
 */
export interface Address {
  readonly place: string
  readonly database: number
}

/**
 * Why a URL cannot be used and what to write instead, or `undefined`. Nothing of
 * the URL is repeated, since a part of it may be a password.
 *
 * @category checks
 * @since 0.1.0
 */
export const problemOf = (url: string): string | undefined => {
  const read = parse(url)
  return typeof read === "string" ? read : undefined
}

/**
 * Where a URL that can be used leads to.
 *
 * @category conversions
 * @since 0.1.0
 */
export const of = (url: string): Address => {
  const read = parse(url)
  if (typeof read === "string") throw new TypeError(read)
  return read
}

const forms = "redis://host:6379/0, rediss://host:6379/0 (TLS) or unix:///path/to/socket?db=0"

const parse = (url: string): Address | string => {
  if (/\s/u.test(url)) return "must not contain spaces: write %20 where one is part of a password"
  if (url.startsWith("unix:")) return parseSocket(url)
  if (!/^rediss?:\/\//u.test(url) || !URL.canParse(url)) return `must be ${forms}`
  const { hash, hostname, password, pathname, port, search, username } = new URL(url)
  if (search !== "") {
    return "must not contain ?: the database is the path, such as /2; write %3F where it is part of a password"
  }
  if (hash !== "") return "must not contain #: write %23 where it is part of a password"
  if (!isDecodable(username) || !isDecodable(password)) return badEscape
  const database = numberOf(pathname.slice(1))
  if (database === undefined) return badDatabase
  return { place: `${hostname.toLowerCase()}:${port || "6379"}`, database }
}

const parseSocket = (url: string): Address | string => {
  const parts = /^unix:\/\/(?:([^:@/]*)(?::([^@/]*))?@)?(\/[^?#]+)(?:\?([^#]*))?$/u.exec(url)
  if (parts === null) return `must be ${forms}`
  const [, username = "", password = "", path = "", query = ""] = parts
  if (![username, password, path].every(isDecodable)) return badEscape
  const settings = new URLSearchParams(query)
  if (Array.from(settings.keys()).some((key) => key !== "db")) return "must have nothing but db=<number> behind the ?"
  const database = numberOf(settings.get("db") ?? "")
  return database === undefined ? badDatabase : { place: decodeURIComponent(path), database }
}

const badEscape = "must not contain a % that begins no escape: write %25 where it is part of a user name or password"
const badDatabase = "must name its database by a whole number from 0"

const numberOf = (text: string): number | undefined =>
  text === "" ? 0 : /^\d{1,6}$/u.test(text) ? Number(text) : undefined

const isDecodable = (text: string): boolean => {
  try {
    decodeURIComponent(text)
    return true
  } catch {
    return false
  }
}
