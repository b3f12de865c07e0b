/**
 * Where a conversation over a WebSocket stands.
 *
 * @since 0.1.0
 */
import type { ConnectionLoad } from "../command/OpenCommands.ts"
import type { Connection } from "../../hub/connection/Connection.ts"
import type { Principal } from "../authentication/Authenticator.ts"

/**
 * Waits for hello, perhaps from a principal that the request's header named.
 * `identified` is called once it is known whose device it is.
 *
 * @category models
 * @since 0.1.0
 */
export interface Waiting {
  readonly _tag: "Waiting"
  readonly principal: Principal | undefined
  readonly deadline: number
  readonly identified: () => void
}

/**
 * The hello is being checked and answered.
 *
 * @category models
 * @since 0.1.0
 */
export interface Greeting {
  readonly _tag: "Greeting"
  readonly deadline: number
}

/**
 * The device was welcomed. `lapsesAt` is when its credential and its grace run out, on
 * the monotonic clock; `client` is what it calls itself, `load` what commands it has sent
 * of late.
 *
 * @category models
 * @since 0.1.0
 */
export interface Live {
  readonly _tag: "Live"
  readonly connection: Connection
  readonly principal: Principal
  readonly lapsesAt: number
  readonly client: string | undefined
  load: ConnectionLoad | undefined
}

/**
 * The device was told the reason of the end. What waits for the network still does.
 *
 * @category models
 * @since 0.1.0
 */
export interface Closing {
  readonly _tag: "Closing"
  readonly connection: Connection | undefined
}

/**
 * The socket is gone.
 *
 * @category models
 * @since 0.1.0
 */
export interface Closed {
  readonly _tag: "Closed"
}

/**
 * From `Waiting` by `Greeting` to `Live`, and from each of them to `Closing` or `Closed`.
 *
 * @category models
 * @since 0.1.0
 */
export type SessionState = Waiting | Greeting | Live | Closing | Closed
