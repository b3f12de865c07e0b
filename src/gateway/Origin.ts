/**
 * Which pages may connect.
 *
 * Browsers let any page open a WebSocket to any server, and send cookies along,
 * so the server has to look at the page's origin.
 *
 * @see https://datatracker.ietf.org/doc/html/rfc6455#section-10.2
 * @since 0.1.0
 */
import type { Origins } from "./GatewayConfig.ts"

/**
 * Whether a request may connect. Without `Origin` it does not come from a page.
 * With `same`, the origin's host and port must be those the request was sent
 * to; whether a proxy in front ended TLS does not matter.
 *
 * @category checks
 * @since 0.1.0
 */
export const isAllowed = (origins: Origins, origin: string | undefined, host: string | undefined): boolean => {
  if (origin === undefined || origins === "any") return true
  if (origins !== "same") return origins.includes(origin)
  const url = URL.parse(origin)
  return url !== null && host !== undefined && url.host === hostOf(url.protocol, host)
}

// A URL leaves out its protocol's own port, a Host header may not.
const hostOf = (protocol: string, host: string): string | undefined => URL.parse(`${protocol}//${host}`)?.host
