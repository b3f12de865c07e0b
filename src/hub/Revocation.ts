/**
 * That a user's access was revoked: why a device is not let in, and what one that
 * is connected is told.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { closeCodes } from "../protocol/wire/CloseCode.ts"
import type { CloseReason } from "./Transport.ts"

/**
 * The user's access was revoked after the credential was issued.
 *
 * @category errors
 * @since 0.1.0
 */
export class Revoked extends Schema.TaggedError<Revoked>()("Revoked", {}) {
  override get message() {
    return "the user's access was revoked"
  }
}

/**
 * What a connection is told whose user's access was revoked.
 *
 * @category constants
 * @since 0.1.0
 */
export const closeReason: CloseReason = { code: closeCodes.unauthenticated, detail: new Revoked().message }
