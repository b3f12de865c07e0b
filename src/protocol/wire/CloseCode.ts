/**
 * Why a connection was closed, and what its client should do about it.
 *
 * All codes stand here, each with its reconnect rule. Codes 4400 to 4499 tell a
 * client that it did something wrong: the same attempt would fail again, so it
 * stops, or first gets a new token. Codes 4500 to 4599 tell that the server or
 * the network is at fault: it reconnects with backoff and resumes. So it does
 * after 4408: a hello is late when the network or the server was held up, which a
 * client that means well must survive; and after 4409: other devices of the user
 * leave, or are found to be gone.
 *
 * @since 0.1.0
 */

/**
 * What a client does after a close.
 *
 * - `resume`: reconnect with backoff, and resume.
 * - `renew`: get a new token, then reconnect; stop when there is no new one.
 * - `stop`: do not reconnect.
 *
 * @category models
 * @since 0.1.0
 */
export type Reaction = "resume" | "renew" | "stop"

/**
 * One way a connection ends.
 *
 * @category models
 * @since 0.1.0
 */
export interface CloseCode {
  readonly code: number
  readonly name: string
  readonly reaction: Reaction
  readonly meaning: string
}

/**
 * The number of each close code of the protocol, by name. A page needs no more of
 * them than this.
 *
 * @category constants
 * @since 0.1.0
 */
export const codes = {
  badFrame: 4400,
  unauthenticated: 4401,
  originRefused: 4403,
  helloTimeout: 4408,
  tooManyConnections: 4409,
  frameTooLarge: 4413,
  tooManyFrames: 4429,
  draining: 4500,
  heartbeatLost: 4501,
  tooSlow: 4502,
  brokerUnavailable: 4503
} as const

/**
 * The name of a close code.
 *
 * @category models
 * @since 0.1.0
 */
export type Name = keyof typeof codes

/**
 * Looks a code's name up; `undefined` for codes that are not of this protocol, such as
 * 1006 after a lost network.
 *
 * @category lookups
 * @since 0.1.0
 */
export const nameOf = (code: number): string | undefined =>
  Object.entries(codes).find(([, known]) => known === code)?.[0]

/**
 * What a client does after a close with this code. Codes that are not of this
 * protocol come from the network or from proxies, so the client resumes. Only
 * 1008 (policy violation), 1009 (a message too large for the server even to
 * read) and the other codes from 4400 to 4499 mean stop.
 *
 * @category lookups
 * @since 0.1.0
 */
export const reactionTo = (code: number): Reaction => {
  switch (code) {
    case codes.unauthenticated:
      return "renew"
    case codes.helloTimeout:
    case codes.tooManyConnections:
      return "resume"
    case 1008:
    case 1009:
      return "stop"
    default:
      return code >= 4400 && code < 4500 ? "stop" : "resume"
  }
}

/**
 * Every close code of the protocol, by name.
 *
 * @category constants
 * @since 0.1.0
 */
export const closeCodes = /* @__PURE__ */ (() => {
  const entry = <N extends Name>(
    name: N,
    meaning: string
  ): CloseCode & { readonly code: (typeof codes)[N]; readonly name: N } => {
    const code = codes[name]
    return { code, name, reaction: reactionTo(code), meaning }
  }
  return {
    badFrame: entry("badFrame", "a frame was not valid"),
    unauthenticated: entry("unauthenticated", "the token is missing, forged, expired or revoked"),
    originRefused: entry("originRefused", "the page's origin is not allowed"),
    helloTimeout: entry("helloTimeout", "no hello arrived in time"),
    tooManyConnections: entry("tooManyConnections", "the user has too many connections"),
    frameTooLarge: entry("frameTooLarge", "a frame was too large"),
    tooManyFrames: entry("tooManyFrames", "frames arrived too fast"),
    draining: entry("draining", "the server is about to stop"),
    heartbeatLost: entry("heartbeatLost", "the client went silent"),
    tooSlow: entry("tooSlow", "the client reads too slowly"),
    brokerUnavailable: entry("brokerUnavailable", "the log cannot be read at the moment")
  }
})()

/**
 * Looks a code up; `undefined` for codes that are not of this protocol, such as
 * 1006 after a lost network.
 *
 * @category lookups
 * @since 0.1.0
 */
export const fromCode = (code: number): CloseCode | undefined =>
  Object.values(closeCodes).find((entry) => entry.code === code)
