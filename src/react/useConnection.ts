/**
 * The connection, as components see it.
 *
 * @since 0.2.0
 */
import { useMemo } from "react"
import type { Connection } from "../client/driver/ConnectOptions.ts"
import type { Status } from "../client/session/Status.ts"
import type * as Event from "../protocol/event/Event.ts"
import { useSource } from "./EmitterProvider.ts"
import { useStore, type View } from "./useStore.ts"

/**
 * - `status`: how the connection stands; `statusMessage` says it in a sentence.
 * - `accepts`: what the server takes beyond the first version of the protocol, such as
 *   `command`. It is empty until the connection was welcomed, and on a server.
 * - `reconnect`: connects again now, as far as the server allows.
 * - `renew`: asks for a new token and sends it, without a new connection.
 *
 * @category models
 * @since 0.2.0
 */
export interface ConnectionState {
  readonly status: Status
  readonly accepts: ReadonlyArray<string>
  readonly reconnect: () => void
  readonly renew: () => void
}

const connecting: Status = { state: "connecting" }
const nothing: ReadonlyArray<string> = []

const statusOf = ({ status }: Connection<Event.AnyDefinition>): View<Status> => ({
  subscribe: status.subscribe,
  get: status.getSnapshot
})

const acceptsOf = ({ accepts, status }: Connection<Event.AnyDefinition>): View<ReadonlyArray<string>> => ({
  subscribe: status.subscribe,
  get: accepts
})

/**
 * How the connection stands, and what can be asked of it. The component is drawn again
 * when the status changed. It is `connecting` on a server.
 *
 * @category hooks
 * @since 0.2.0
 */
export const useConnection = (): ConnectionState => {
  const source = useSource()
  const status = useStore(statusOf, connecting)
  const accepts = useStore(acceptsOf, nothing)
  return useMemo(
    () => ({ status, accepts, reconnect: () => source.peek()?.reconnect(), renew: () => source.peek()?.renew() }),
    [source, status, accepts]
  )
}
