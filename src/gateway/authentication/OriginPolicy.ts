/**
 * Which pages may connect.
 *
 * Browsers let any page open a WebSocket to any server, and send cookies along,
 * so the server has to look at the page's origin.
 *
 * @see https://datatracker.ietf.org/doc/html/rfc6455#section-10.2
 * @since 0.1.0
 */
import type { Origins } from "../GatewayConfig.ts"

/**
 * Whether a request may connect. With `same`, the origin's host and port must be
 * those the request was sent to; whether a proxy in front ended TLS does not
 * matter.
 *
 * Without `Origin` a request comes from no page, or from one that the browser
 * names no more than `Sec-Fetch-Site`: a page elsewhere, a sibling of the same site
 * included, can make such requests, and cookies go along.
 *
 * @category checks
 * @since 0.1.0
 */
export const isAllowed = (origins: Origins, headers: Readonly<Record<string, string | undefined>>): boolean => {
  const { host, origin } = headers
  if (origins === "any") return true
  if (origin === undefined) return !elsewhere.has(headers["sec-fetch-site"] ?? "")
  if (origins !== "same") return origins.includes(origin)
  const url = URL.parse(origin)
  return url !== null && host !== undefined && url.host === hostOf(url.protocol, host)
}

/**
 * Why a request may not connect, and what the operator can do about it. A browser
 * shows a page neither, so the log is where it is looked for.
 *
 * @category errors
 * @since 0.1.0
 */
export const refusalOf = (
  origins: Origins,
  { host, origin }: Readonly<Record<string, string | undefined>>
): { readonly detail: string; readonly forOperator: string } => {
  if (origin === undefined) {
    const detail = "a page of another site may not connect without naming its origin"
    return { detail, forOperator: `A request was refused: ${detail}` }
  }
  const page = JSON.stringify(origin.slice(0, 200))
  const accepted = origins === "same"
    ? `that of the server itself, ${JSON.stringify(host?.slice(0, 200))}`
    : "those listed"
  return {
    detail: `the page's origin ${page} is not allowed`,
    forOperator:
      `A page of ${page} was refused. Accepted is ${accepted}; if the page is yours, list its origin in "origins"`
  }
}

const elsewhere: ReadonlySet<string> = new Set(["cross-site", "same-site"])

/**
 * What lets a page of another origin read a response, and send a token and a
 * position along. A list of origins allows cookies as well; `any` does not, since
 * it would hand every page the events of whoever looks at it.
 *
 * @see https://fetch.spec.whatwg.org/#http-cors-protocol
 * @category headers
 * @since 0.1.0
 */
export const corsHeaders = (origins: Origins, origin: string | undefined): Readonly<Record<string, string>> => {
  if (origin === undefined || origins === "same") return {}
  return origins === "any"
    ? { "access-control-allow-origin": "*", "access-control-expose-headers": exposed }
    : {
      "access-control-allow-origin": origin,
      "access-control-allow-credentials": "true",
      "access-control-expose-headers": exposed,
      vary: "Origin"
    }
}

/**
 * What lets a page that is refused for its origin read so much, and nothing else: it
 * then stops, and says what to do. Without it the refusal looks like a lost network.
 *
 * @category headers
 * @since 0.2.0
 */
export const refusalHeaders = (origin: string | undefined): Readonly<Record<string, string>> =>
  origin === undefined ? {} : { "access-control-allow-origin": origin, vary: "Origin" }

/**
 * What a preflight is answered besides.
 *
 * @category headers
 * @since 0.1.0
 */
export const preflightHeaders: Readonly<Record<string, string>> = {
  "access-control-allow-methods": "GET, POST",
  "access-control-allow-headers": "authorization, last-event-id, content-type, cache-control, if-none-match",
  "access-control-max-age": "600"
}

const exposed = "retry-after, www-authenticate"

// A URL leaves out its protocol's own port, a Host header may not.
const hostOf = (protocol: string, host: string): string | undefined => URL.parse(`${protocol}//${host}`)?.host
