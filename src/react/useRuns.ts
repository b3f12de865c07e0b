/**
 * Runs, as components draw them.
 *
 * What the hooks give never changes, and stays the same value while nothing of it
 * changed: the list, each run in it, and each part of a run. So `memo` and the
 * dependencies of effects can compare by identity.
 *
 * @since 0.2.0
 */
import { useCallback } from "react"
import type { Connection } from "../client/driver/ConnectOptions.ts"
import type * as Event from "../protocol/event/Event.ts"
import { allWithCommands, type CommandableRun, withCommands } from "./commandable.ts"
import { useStore, type View } from "./useStore.ts"

const noRuns: ReadonlyArray<CommandableRun> = []

/**
 * The runs that are known, in the order in which they were first heard of; with
 * `thread` those of one thread. The component is drawn again when one of them changed.
 * None are known on a server, and before the first have come.
 *
 * Each has the commands that a person can send to it:
 * `<button onClick={() => run.cancel()}>Stop</button>`.
 *
 * @category hooks
 * @since 0.2.0
 */
export const useRuns = ({ thread }: { readonly thread?: string | undefined } = {}): ReadonlyArray<CommandableRun> => {
  const view = useCallback((connection: Connection<Event.AnyDefinition>): View<ReadonlyArray<CommandableRun>> => {
    const { runs } = connection
    const { getSnapshot, subscribe } = thread === undefined ? runs : runs.inThread(thread)
    return { subscribe, get: () => allWithCommands(connection, getSnapshot()) }
  }, [thread])
  return useStore(view, noRuns)
}

/**
 * One run by its id; `undefined` while nothing is known of it. The component is drawn
 * again when this run changed, and not for others.
 *
 * @category hooks
 * @since 0.2.0
 */
export const useRun = (id: string): CommandableRun | undefined => {
  const view = useCallback((connection: Connection<Event.AnyDefinition>): View<CommandableRun | undefined> => {
    const { get, subscribe } = connection.run(id)
    const found = () => {
      const run = get()
      return run && withCommands(connection, run)
    }
    return { subscribe, get: found }
  }, [id])
  return useStore(view, undefined)
}
