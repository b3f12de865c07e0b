/**
 * Clients that are not connected yet.
 *
 * Where the settings of a client are not those of the client before, `createClient`
 * makes its class anew, with all of Redis's commands: 28 ms in which the process
 * does nothing else, at each lost connection. So all clients are duplicates of one.
 *
 * @since 0.2.0
 */
import { createClient } from "redis"

/**
 * What clients differ in. `connectTimeout` is in milliseconds.
 *
 * @category models
 * @since 0.2.0
 */
export interface Settings {
  readonly name: string
  readonly url: string
  readonly connectTimeout: number
}

// Never connected.
const makeOrigin = () =>
  createClient({
    RESP: 2,
    disableOfflineQueue: true,
    disableClientInfo: true,
    commandsQueueMaxLength: 65_536
  })

let origin: ReturnType<typeof makeOrigin> | undefined

/**
 * A client of these settings.
 *
 * @category constructors
 * @since 0.2.0
 */
export const newClient = ({ connectTimeout, name, url }: Settings): ReturnType<typeof makeOrigin> => {
  origin ??= makeOrigin()
  return origin.duplicate({
    url,
    name,
    // The client's own timer for each command costs more than the command.
    commandOptions: { timeout: 0 },
    socket: { connectTimeout, reconnectStrategy: false }
  })
}
