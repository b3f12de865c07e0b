/**
 * Which run the three steps are about, and how much of it was there after a reload: what the page has is held against the
 * server's log. Free of the DOM.
 */
import type { Run } from "../../../client/index.ts"
import type { Position } from "../../../protocol/values/Position.ts"
import type { Stage } from "../run/restored.ts"
import type { Item } from "./connection.ts"

/** What the page asks and is told. */
export interface Options {
  /** Whether this page is a reload of one that was there before. */
  readonly isReload: boolean
  /** Up to where events were handled. */
  readonly position: () => Position | undefined
  /** The offsets of a run's events, as the log has them now. */
  readonly logged: (run: string) => Promise<ReadonlyArray<number>>
  /** There is something new to show. */
  readonly changed: () => void
  /** The log could not be asked; it is asked again when the connection is live again. */
  readonly failed: (error: unknown) => void
}

/** A run that was there before this page, and what the log holds of it, once it was asked. */
interface Restored {
  readonly run: string
  readonly at: Position
  had: number
  logged: ReadonlyArray<number> | undefined
}

/**
 * - `asked`: a run was asked for here. `item`: what came over the connection. `live`: the connection is live again.
 * - `follow`: takes the runs, the newest first, and gives how far somebody is.
 * - `subject`: the run that the steps are about.
 */
export const following = ({ changed, failed, isReload, logged, position }: Options) => {
  let subject: string | undefined
  let awaited: string | undefined
  let restored: Restored | undefined
  /** Where the state of a run stood that came whole, and the runs that were seen from their first event on. */
  const states = new Map<string, Position>()
  const begun = new Set<string>()

  const compare = async () => {
    const asking = restored
    if (asking === undefined || asking.logged !== undefined) return
    try {
      asking.logged = await logged(asking.run)
      changed()
    } catch (error) {
      failed(error)
    }
  }

  /** Goes over to the newest run if it is active, and, in a page that was reloaded, to the newest there is. */
  const choose = ([newest]: ReadonlyArray<Run>) => {
    if (newest === undefined || newest.id === subject || awaited !== undefined) return
    if (newest.status !== "active" && !(isReload && subject === undefined)) return
    subject = newest.id
    const at = begun.has(newest.id) ? undefined : states.get(newest.id)
    restored = at === undefined ? undefined : { run: newest.id, at, had: 0, logged: undefined }
    void compare()
  }

  const stageOf = (run: Run | undefined): Stage => {
    if (run === undefined) return { _tag: "Idle" }
    if (restored?.run !== run.id) return { _tag: run.status === "active" ? "Running" : "Ended" }
    const { at, logged: offsets = [] } = restored
    if (offsets.length === 0) return { _tag: "Restoring", isReload }
    const here = position()
    const reached = here?.epoch === at.epoch ? Math.max(at.offset, here.offset) : at.offset
    restored.had = Math.max(restored.had, offsets.filter((offset) => offset <= reached).length)
    return { _tag: "Restored", isReload, had: restored.had, all: offsets.length }
  }

  return {
    asked: (run: string) => {
      subject = run
      awaited = run
      restored = undefined
    },
    item: (item: Item) => {
      if (item._tag === "Snapshot" && !states.has(item.run)) {
        states.set(item.run, { epoch: item.epoch, offset: item.offset })
      }
      if (item._tag === "Event" && item.event.run !== undefined && !states.has(item.event.run)) {
        begun.add(item.event.run)
      }
    },
    live: () => void compare(),
    follow: (runs: ReadonlyArray<Run>): Stage => {
      if (runs.some(({ id }) => id === awaited)) awaited = undefined
      choose(runs)
      return stageOf(runs.find(({ id }) => id === subject))
    },
    subject: () => subject,
    /** A run was asked for here and has not come yet. */
    isWaiting: () => awaited !== undefined
  }
}
