/**
 * What an answer over HTTP means for a session: a browser hides the status of a
 * WebSocket handshake that failed, so the same address is asked by a plain request.
 * What a person should do about it says `Diagnosis`, which only pages load that need it.
 *
 * @since 0.1.0
 */
/**
 * - `status`: of the response; 0 when a page may not see it, since it is of
 *   another origin.
 * - `code`: of a gateway's refusal.
 * - `detail`: what the answer says, and what to do about it.
 *
 * @category models
 * @since 0.1.0
 */
export interface HttpAnswer {
  readonly status: number
  readonly code?: string | undefined
  readonly detail: string
}

/**
 * What a gateway answers to a request that is no handshake.
 *
 * @category constants
 * @since 0.1.0
 */
export const upgradeRequired = 426

const names = new Map([[0, "hidden"], [403, "originRefused"], [404, "notFound"], [431, "headersTooLarge"]])

/**
 * What such an answer is called, and whether the next attempt would be refused as
 * well; `undefined` if it tells nothing.
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
  { code, status }: Omit<HttpAnswer, "detail">
): { readonly name: string; readonly final: boolean } | undefined => {
  const name = names.get(status)
  if (name === undefined) return undefined
  return { name, final: status === 431 || ((status === 403 || status === 404) && (!welcomed || code === name)) }
}
