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
 * - `reconnect`: connects again now, as far as the server allows.
 * - `renew`: asks for a new token and sends it, without a new connection.
 *
 * @category models
 * @since 0.2.0
 */
export interface ConnectionState {
  readonly status: Status
  readonly reconnect: () => void
  readonly renew: () => void
}

const connecting: Status = { state: "connecting" }

const statusOf = ({ status }: Connection<Event.AnyDefinition>): View<Status> => ({
  subscribe: status.subscribe,
  get: status.getSnapshot
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
  return useMemo(
    () => ({ status, reconnect: () => source.peek()?.reconnect(), renew: () => source.peek()?.renew() }),
    [source, status]
  )
}
