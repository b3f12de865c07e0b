/**
 * What an answer over HTTP says about why there is no connection: a browser hides
 * the status of a WebSocket handshake that failed, so the same address is asked
 * by a plain request.
 *
 * @since 0.1.0
 */
/**
 * - `status`: of the response; 0 when a page may not see it, since it is of
 *   another origin.
 * - `code`, `message`: of a gateway's refusal.
 *
 * @category models
 * @since 0.1.0
 */
export interface HttpAnswer {
  readonly status: number
  readonly code?: string | undefined
  readonly message?: string | undefined
}

/**
 * What a gateway answers to a request that is no handshake.
 *
 * @category constants
 * @since 0.1.0
 */
export const upgradeRequired = 426

interface Refusal {
  /** Whether the next attempt would be refused as well. */
  readonly final: boolean
  readonly reason: { readonly name: string; readonly detail: string }
}

/**
 * What the answer says, and what to do about it; `undefined` if it tells nothing.
 *
 * Only a gateway names its codes. 403 and 404 from somebody else are final as
 * long as no connection was ever welcomed: later it may be a proxy whose server
 * is being replaced.
 *
 * @category lookups
 * @since 0.1.0
 */
export const refusal = (
  { welcomed }: { readonly welcomed: boolean },
  { code, message, status }: HttpAnswer
): Refusal | undefined => {
  const [name, remedy] = remedies.get(status) ?? []
  if (name === undefined) return undefined
  const said = message === undefined ? "" : `; the server says: ${message}`
  const final = status === 431 || ((status === 403 || status === 404) && (!welcomed || code === name))
  return { final, reason: { name, detail: `${remedy} (HTTP ${status}${said})` } }
}

const remedies = new Map<number, readonly [name: string, remedy: string]>([
  [0, ["hidden", `the answer is not the gateway's: "url" must be the gateway's path, or a proxy is in its way`]],
  [403, ["originRefused", `this page's origin is not allowed: add it to the gateway's "origins"`]],
  [404, ["notFound", `nothing is at this address: "url" must be the gateway's path`]],
  [431, ["headersTooLarge", "the request's headers are too large: make the site's cookies smaller"]]
])

/**
 * A gateway answers, but the only transport does not get through.
 *
 * @category constants
 * @since 0.1.0
 */
export const blocked: Refusal["reason"] = {
  name: "blocked",
  detail: `something on the way lets no WebSocket through: add "sse" to "transports"`
}

/**
 * The gateway answers a request for server-sent events, its only transport, that
 * it offers none.
 *
 * @category constants
 * @since 0.1.0
 */
export const notOffered: Refusal["reason"] = {
  name: "upgradeRequired",
  detail: `the gateway offers no server-sent events: add "websocket" to "transports"`
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
