/**
 * Answers a device's hello: finds out whose it is, and opens its connection.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type { Connection } from "../../hub/connection/Connection.ts"
import { frames } from "../../hub/connection/FrameEncoder.ts"
import type { Transport } from "../../hub/Transport.ts"
import * as Frame from "../../protocol/wire/Frame.ts"
import type { Principal } from "../authentication/Authenticator.ts"
import type { ServeError } from "../session/CloseReasons.ts"
import { offers, open, type SessionContext } from "../session/SessionContext.ts"
import * as TokenCheck from "../session/TokenCheck.ts"

/**
 * What is known of a device that says hello.
 *
 * - `known` is who the request's header named.
 * - `identified` is called once it is known whose device it is.
 * - `take` is given the connection, which it must keep or release. Once the
 *   connection is open this happens, even if the socket vanished in that moment.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly known: Principal | undefined
  readonly transport: Transport
  readonly identified: () => void
  readonly take: (connection: Connection, principal: Principal) => Effect.Effect<void>
}

/**
 * Greets a device.
 *
 * @category operations
 * @since 0.1.0
 */
export const greet = (
  context: SessionContext,
  hello: typeof Frame.Hello.Type,
  { identified, known, take, transport }: Options
): Effect.Effect<void, ServeError> => {
  const { resume, snapshots, threads } = hello
  const id = context.nextId()
  const openFor = ({ issuedAt, userId: user }: Principal) =>
    open(
      context,
      { id, user, issuedAt, resume, threads, snapshots, encoder: frames, transport },
      (opening) => Frame.encode({ type: "welcome", connection: id, ...opening, ...offers(context) })
    )
  return Effect.uninterruptibleMask((restore) =>
    Effect.flatMap(restore(TokenCheck.identify(context.authenticator, hello.token, known)), (principal) => {
      identified()
      return Effect.flatMap(restore(openFor(principal)), (connection) => take(connection, principal))
    })
  )
}
