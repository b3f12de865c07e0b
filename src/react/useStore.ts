/**
 * Reads a store of the connection that a component is given.
 *
 * @since 0.2.0
 */
import { useCallback, useSyncExternalStore } from "react"
import type { Connection } from "../client/driver/ConnectOptions.ts"
import type * as Event from "../protocol/event/Event.ts"
import { useSource } from "./EmitterProvider.ts"

/**
 * One of the stores of a connection, seen as one value.
 *
 * @category models
 * @since 0.2.0
 */
export interface View<out A> {
  readonly subscribe: (listener: () => void) => () => void
  readonly get: () => A
}

/**
 * The value of a view, and `blank` on a server and until the connection opens. `view`
 * is to stay the same function from one render to the next.
 *
 * @category hooks
 * @since 0.2.0
 */
export const useStore = <A>(view: (connection: Connection<Event.AnyDefinition>) => View<A>, blank: A): A => {
  const source = useSource()
  const subscribe = useCallback((listener: () => void) => {
    const { connection, release } = source.retain()
    const leave = view(connection).subscribe(listener)
    return () => {
      leave()
      release()
    }
  }, [source, view])
  const get = (): A => {
    const connection = source.peek()
    return connection === undefined ? blank : view(connection).get()
  }
  return useSyncExternalStore(subscribe, get, () => blank)
}
