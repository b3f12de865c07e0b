/**
 * What is known of a device once its credentials were accepted.
 *
 * @since 0.1.0
 */
import type { UserId } from "../../protocol/values/Identity.ts"

/**
 * Who a device belongs to, and until when that is known: `expiresAt` is in
 * milliseconds since the Unix epoch, and a connection ends soon after it unless
 * its credential was renewed. `issuedAt`, the same for when the credential was
 * issued, keeps out those from before the user's access was revoked. Credentials
 * without it count as older than any revocation: an authenticator that asks a
 * store which knows of revocations itself gives the present time. A time that lies
 * more than a minute ahead is refused. `claims` are what a checked token says
 * besides, such as a tenant or a tier, for the program's own use.
 *
 * @category models
 * @since 0.1.0
 */
export interface Principal {
  readonly userId: UserId
  readonly expiresAt: number | undefined
  readonly issuedAt?: number | undefined
  readonly claims?: Readonly<Record<string, unknown>> | undefined
}
