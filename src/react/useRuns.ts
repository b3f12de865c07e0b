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
import type { Run } from "../client/driver/RunStore.ts"
import type * as Event from "../protocol/event/Event.ts"
import { useStore, type View } from "./useStore.ts"

const noRuns: ReadonlyArray<Run> = []

/**
 * The runs that are known, in the order in which they were first heard of; with
 * `thread` those of one thread. The component is drawn again when one of them changed.
 * None are known on a server, and before the first have come.
 *
 * @category hooks
 * @since 0.2.0
 */
export const useRuns = ({ thread }: { readonly thread?: string | undefined } = {}): ReadonlyArray<Run> => {
  const view = useCallback(({ runs }: Connection<Event.AnyDefinition>): View<ReadonlyArray<Run>> => {
    const { getSnapshot, subscribe } = thread === undefined ? runs : runs.inThread(thread)
    return { subscribe, get: getSnapshot }
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
export const useRun = (id: string): Run | undefined => {
  const view = useCallback(({ run }: Connection<Event.AnyDefinition>): View<Run | undefined> => run(id), [id])
  return useStore(view, undefined)
}
