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
 * Every close code of the protocol, by name.
 *
 * @category constants
 * @since 0.1.0
 */
export const closeCodes = {
  badFrame: { code: 4400, name: "badFrame", reaction: "stop", meaning: "a frame was not valid" },
  unauthenticated: {
    code: 4401,
    name: "unauthenticated",
    reaction: "renew",
    meaning: "the token is missing, forged, expired or revoked"
  },
  originRefused: { code: 4403, name: "originRefused", reaction: "stop", meaning: "the page's origin is not allowed" },
  helloTimeout: { code: 4408, name: "helloTimeout", reaction: "resume", meaning: "no hello arrived in time" },
  tooManyConnections: {
    code: 4409,
    name: "tooManyConnections",
    reaction: "resume",
    meaning: "the user has too many connections"
  },
  frameTooLarge: { code: 4413, name: "frameTooLarge", reaction: "stop", meaning: "a frame was too large" },
  tooManyFrames: { code: 4429, name: "tooManyFrames", reaction: "stop", meaning: "frames arrived too fast" },
  draining: { code: 4500, name: "draining", reaction: "resume", meaning: "the server is about to stop" },
  heartbeatLost: { code: 4501, name: "heartbeatLost", reaction: "resume", meaning: "the client went silent" },
  tooSlow: { code: 4502, name: "tooSlow", reaction: "resume", meaning: "the client reads too slowly" },
  brokerUnavailable: {
    code: 4503,
    name: "brokerUnavailable",
    reaction: "resume",
    meaning: "the log cannot be read at the moment"
  }
} as const satisfies Record<string, CloseCode>

/**
 * The name of a close code.
 *
 * @category models
 * @since 0.1.0
 */
export type Name = keyof typeof closeCodes

const byCode: ReadonlyMap<number, CloseCode> = new Map(Object.values(closeCodes).map((entry) => [entry.code, entry]))

/**
 * Looks a code up; `undefined` for codes that are not of this protocol, such as
 * 1006 after a lost network.
 *
 * @category lookups
 * @since 0.1.0
 */
export const fromCode = (code: number): CloseCode | undefined => byCode.get(code)

/**
 * What a client does after a close with this code. Codes that are not of this
 * protocol come from the network or from proxies, so the client resumes. Only
 * 1008 (policy violation), 1009 (a message too large for the server even to
 * read) and 4400 to 4499 without an entry mean stop.
 *
 * @category lookups
 * @since 0.1.0
 */
export const reactionTo = (code: number): Reaction =>
  byCode.get(code)?.reaction ?? (code === 1008 || code === 1009 || (code >= 4400 && code < 4500) ? "stop" : "resume")
