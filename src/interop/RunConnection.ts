/**
 * One connection of a page, and who is told of its runs by another protocol.
 *
 * @since 0.2.0
 */
import { connect } from "../client/connect.ts"
import type { Connection, ConnectOptions } from "../client/driver/ConnectOptions.ts"
import { statusMessage } from "../client/session/StatusMessage.ts"
import type { RunItem } from "./RunItem.ts"

/**
 * Somebody is told of a run: each of its items, and that nothing comes any more, since the
 * connection has stopped.
 *
 * @category models
 * @since 0.2.0
 */
export interface RunReader {
  readonly run: string
  readonly take: (item: RunItem) => void
  readonly fail: (error: unknown) => void
}

/**
 * The connection, and its readers: whoever is among them is told.
 *
 * @category models
 * @since 0.2.0
 */
export interface RunConnection<Reader extends RunReader> {
  readonly connection: Connection
  readonly readers: Set<Reader>
}

/**
 * Opens a connection. The callbacks that are given are called as ever, after the readers.
 *
 * @category constructors
 * @since 0.2.0
 */
export const open = <Reader extends RunReader>(
  options: Omit<ConnectOptions, "catalog" | "threads">
): RunConnection<Reader> => {
  const readers = new Set<Reader>()
  const tell = (run: string, item: RunItem): void => {
    for (const reader of Array.from(readers)) {
      if (reader.run === run) reader.take(item)
    }
  }
  const connection = connect({
    ...options,
    onEvent: (event) => {
      const { at, offset, run } = event
      // The epoch is not looked at: items come in their order.
      if (run !== undefined) tell(run, { _tag: "Event", position: { epoch: "", offset }, at, event, isKnown: false })
      options.onEvent?.(event)
    },
    onSnapshot: (snapshot) => {
      const { epoch, offset, run, state } = snapshot
      tell(run, { _tag: "Snapshot", position: { epoch, offset }, state })
      options.onSnapshot?.(snapshot)
    },
    onLost: (run) => {
      tell(run, { _tag: "Missing", message: "the server knows nothing of this run any more" })
      options.onLost?.(run)
    },
    onStatus: (status) => {
      if (status.state === "stopped") {
        for (const { fail } of Array.from(readers)) fail(new Error(statusMessage(status)))
      }
      options.onStatus?.(status)
    }
  })
  return { connection, readers }
}
