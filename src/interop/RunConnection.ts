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

/**
 * Waits until the connection has brought what is active. It fails where the connection has
 * stopped, since nothing comes by it any more; not where the signal is aborted.
 *
 * @category waiting
 * @since 0.2.0
 */
export const caughtUp = async ({ status }: Connection, signal: AbortSignal | undefined): Promise<void> => {
  const isOver = () => signal?.aborted === true || ["live", "degraded", "stopped"].includes(status.getSnapshot().state)
  // What is being handed over right now is handed over then.
  await Promise.resolve()
  if (!isOver()) {
    const { promise, resolve } = Promise.withResolvers<void>()
    const look = () => {
      if (isOver()) resolve()
    }
    const end = status.subscribe(look)
    signal?.addEventListener("abort", look)
    await promise
    end()
    signal?.removeEventListener("abort", look)
    await Promise.resolve()
  }
  throwIfStopped({ status })
}

/**
 * Stops a run, also one that was asked for and has not begun: that one as it begins.
 *
 * @category commands
 * @since 0.2.0
 */
export const stop = async ({ run }: Connection, id: string): Promise<void> => {
  const { cancel, get, subscribe } = run(id)
  const outcome = await cancel()
  if (outcome.outcome === "accepted" || outcome.reason !== "unknownRun") return
  const begun = Promise.withResolvers<void>()
  const end = subscribe(begun.resolve)
  // It may have begun while the answer was on its way.
  if (get() === undefined) await begun.promise
  end()
  await cancel()
}

/**
 * Fails where the connection has stopped: nothing comes by it any more.
 *
 * @category checks
 * @since 0.2.0
 */
export const throwIfStopped = ({ status }: Pick<Connection, "status">): void => {
  const now = status.getSnapshot()
  if (now.state === "stopped") throw new Error(statusMessage(now))
}
