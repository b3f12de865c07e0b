/**
 * Why there is no connection, and what to do about it: asks the gateway by a plain
 * request, and reads what it answers. See `OverHttp` for who loads it.
 *
 * @since 0.2.0
 */
import type { HttpAnswer } from "./HttpAnswer.ts"
import type { WebApis } from "./Transports.ts"

const remedies = new Map([
  [0, `the answer is not the gateway's: "url" must be the gateway's path, or a proxy is in its way`],
  [403, `this page's origin is not allowed: add it to the gateway's "origins"`],
  [404, `nothing is at this address: "url" must be the gateway's path`],
  [426, `something on the way lets no WebSocket through: add "sse" to "transports"`],
  [431, "the request's headers are too large: make the site's cookies smaller"]
])

/** A request for server-sent events is refused so where they are not offered. */
const remediesOfStreams = new Map([
  ...remedies,
  [426, `the gateway offers no server-sent events: add "websocket" to "transports"`]
])

const describe = (known: ReadonlyMap<number, string>, status: number, message: string | undefined): string => {
  const remedy = known.get(status)
  if (remedy === undefined) return message ?? `HTTP status ${status}`
  return `${remedy} (HTTP ${status}${message === undefined ? "" : `; the server says: ${message}`})`
}

/**
 * What the answer to a plain request says. A gateway answers 426, which is wrong only
 * where WebSocket does not get through.
 *
 * @category conversions
 * @since 0.2.0
 */
export const answerOf = (status: number, text: string): HttpAnswer => {
  const { code, message } = wordsOf(text)
  return { status, code, detail: describe(remedies, status, message) }
}

/**
 * What it says that a request for server-sent events was refused with this status.
 *
 * @category conversions
 * @since 0.2.0
 */
export const streamRefusal = (status: number, message: string | undefined): string =>
  describe(remediesOfStreams, status, message)

/** How long a gateway may take to answer a plain request. */
const answerMs = 10_000

/**
 * What the gateway itself answers to a plain request to this address of HTTP;
 * `undefined` if nobody does. A page that may not read the answer learns by another request that there is
 * one.
 *
 * @category checks
 * @since 0.2.0
 */
export const ask = async ({ fetch }: WebApis, address: string, end: AbortSignal): Promise<HttpAnswer | undefined> => {
  const signal = AbortSignal.any([end, AbortSignal.timeout(answerMs)])
  const request = async (mode: "cors" | "no-cors"): Promise<HttpAnswer | undefined> => {
    try {
      const response = await fetch?.(address, { cache: "no-store", mode, signal })
      return response && answerOf(response.status, await response.text())
    } catch {
      // There is no answer, or none for this page: that is all there is to know.
      return undefined
    }
  }
  return await request("cors") ?? (typeof document === "undefined" ? undefined : await request("no-cors"))
}

/**
 * The words of a gateway's refusal.
 *
 * @category codecs
 * @since 0.1.0
 */
export const wordsOf = (text: string): { readonly code: string | undefined; readonly message: string | undefined } => {
  const json = jsonOf(text)
  return { code: textOf(json, "code"), message: textOf(json, "message") }
}

/**
 * The value of a text of JSON; `undefined` if it is none.
 *
 * @category codecs
 * @since 0.1.0
 */
export const jsonOf = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/**
 * A field with something in it that is text.
 *
 * @category codecs
 * @since 0.1.0
 */
export const textOf = (json: unknown, key: string): string | undefined => {
  const value: unknown = typeof json === "object" && json !== null ? Reflect.get(json, key) : undefined
  return typeof value === "string" && value !== "" ? value : undefined
}
