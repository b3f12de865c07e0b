/**
 * The request by which a page asks for a run.
 *
 * @since 0.2.0
 */
import type { ConnectOptions } from "../client/driver/ConnectOptions.ts"

/**
 * Headers that a page gives with its requests, or how to get them.
 *
 * @category models
 * @since 0.2.0
 */
export type GivenHeaders = HeadersInit | (() => HeadersInit | Promise<HeadersInit>) | undefined

/**
 * The headers that were given, to be added to.
 *
 * @category conversions
 * @since 0.2.0
 */
export const headersOf = async (given: GivenHeaders, signal: AbortSignal | undefined): Promise<Headers> =>
  new Headers(typeof given === "function" ? await unlessAborted(given(), signal) : given)

/** What a program gives may never come: nobody need wait for it who has aborted. */
const unlessAborted = <A>(answer: A | Promise<A>, signal: AbortSignal | undefined): Promise<A> =>
  Promise.race([
    answer,
    new Promise<never>((_, reject) => {
      const leave = () => reject(signal?.reason)
      if (signal?.aborted === true) leave()
      else signal?.addEventListener("abort", leave)
    })
  ])

/**
 * Posts a body as JSON, with the token of the connection where no other credentials are
 * given. It fails with the answer's text, or with its status, where that is no success;
 * and with what may be the reason where there is no answer.
 *
 * @category requests
 * @since 0.2.0
 */
export const post = async (
  url: string,
  { accept, body, headers, signal, what }: {
    readonly accept: string
    readonly body: object
    readonly headers: Headers
    readonly signal: AbortSignal | undefined
    /** What is asked for, as errors name it. */
    readonly what: string
  },
  { credentials, platform, token }: Pick<ConnectOptions, "platform" | "token"> & {
    readonly credentials?: RequestCredentials | undefined
  }
): Promise<Response> => {
  if (token !== undefined && !headers.has("authorization")) {
    const answer = typeof token === "function" ? await unlessAborted(token(), signal) : token
    const text = typeof answer === "string" ? answer : answer?.token
    if (text !== undefined) headers.set("authorization", `Bearer ${text}`)
  }
  headers.set("content-type", "application/json")
  headers.set("accept", accept)
  const request = platform?.fetch ?? fetch
  const response = await request(url, {
    method: "POST",
    headers,
    body: JSON.stringify(body),
    ...(credentials === undefined ? {} : { credentials }),
    ...(signal === undefined ? {} : { signal })
  }).catch((cause: unknown) => {
    if (signal?.aborted === true) throw cause
    // A browser says no more of a refused origin than of a lost network.
    throw new Error(
      `the ${what} could not be asked for at ${url}: no network, or this page's origin is not among the gateway's "origins"`,
      { cause }
    )
  })
  if (!response.ok) {
    throw new Error((await response.text()) || `the ${what} was answered with status ${response.status}`)
  }
  return response
}
