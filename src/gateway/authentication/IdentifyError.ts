/**
 * Why it was not found out who a request is from.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import type { BrokerError } from "../../broker/Broker.ts"
import type { AuthenticationError } from "./AuthenticationError.ts"

/**
 * The page that sent the request is none of the gateway's origins; `detail` is for
 * the page.
 *
 * @category errors
 * @since 0.1.0
 */
export class OriginRefused extends Schema.TaggedError<OriginRefused>()("OriginRefused", { detail: Schema.String }) {
  override get message() {
    return this.detail
  }
}

/**
 * Why nobody was found: the origin or the credentials were refused, or could not be
 * checked, or the broker could not tell whether the user's access was revoked.
 *
 * @category errors
 * @since 0.1.0
 */
export type IdentifyError = AuthenticationError | OriginRefused | BrokerError
