/**
 * The runs that a device has heard of, each folded from snapshots and events, as
 * an external store: whoever draws them subscribes, and reads.
 *
 * - What `getSnapshot` and `get` give never changes, and is the same value as
 *   before while nothing changed: the list, each run in it, and each part of a run.
 * - An event that a snapshot has in it already is not folded twice.
 * - A run that ended with its log's memory is `lost`, and goes on if the server
 *   turns out to know it.
 * - Subscribers are told once for each frame, whatever it held.
 * - At most `capacity` runs are kept; those that have ended go first, the oldest of
 *   them.
 *
 * @since 0.1.0
 */
import * as RunEvents from "../../protocol/event/RunEvents.ts"
import { RunFold } from "../../protocol/run/RunFold.ts"
import type { RunSnapshot } from "../../protocol/run/RunSnapshot.ts"
import type { Item } from "../session/SessionIO.ts"
import { memberOf, membersOf } from "../../protocol/run/Members.ts"
import { call } from "./Callback.ts"

/**
 * A run: its state, and its id. It is `stopping` from the moment that this client asks
 * it to stop until it has ended, or until that was refused or given up.
 *
 * @category models
 * @since 0.1.0
 */
export type Run = RunSnapshot & { readonly id: string; readonly stopping?: true }

/**
 * Runs in the order in which they were first heard of. `subscribe` calls after
 * each change, and returns what ends that.
 *
 * @category models
 * @since 0.1.0
 */
export interface RunList {
  readonly subscribe: (listener: () => void) => () => void
  readonly getSnapshot: () => ReadonlyArray<Run>
}

/**
 * All runs; `inThread` gives those of one thread.
 *
 * @category models
 * @since 0.1.0
 */
export interface Runs extends RunList {
  readonly inThread: (thread: string) => RunList
}

/**
 * One run, which need not be known yet.
 *
 * - `get`: its state; `undefined` while nothing is known of it.
 * - `subscribe`: calls after each change of this run, and returns what ends that.
 * - `done`: its state when it ended; `undefined` if the client stops before. It is one
 *   promise for all who ask while the run is active.
 *
 * @category models
 * @since 0.1.0
 */
export interface RunHandle {
  readonly get: () => Run | undefined
  readonly subscribe: (listener: () => void) => () => void
  readonly done: Promise<Run | undefined>
}

/** One run. Mutable, since it changes with each event. */
interface Entry {
  readonly id: string
  fold: RunFold
  /** The fold as it was before the run was given up as lost. */
  alive: RunFold | undefined
  epoch: string
  offset: number
  /** What was shown last. */
  shown: Run | undefined
  isStale: boolean
}

interface Listener {
  readonly run: string | undefined
  readonly tell: () => void
}

const noRuns: ReadonlyArray<Run> = []

/**
 * Folds runs. Mutable; what it gives never changes. Its own members have `#` names,
 * which minifiers shorten: a page loads this class.
 *
 * @category folds
 * @since 0.1.0
 */
export class RunStore implements Runs {
  readonly #capacity: number
  readonly #threads: ReadonlyArray<string> | undefined
  readonly #entries = new Map<string, Entry>()
  readonly #lists = new Map<string, ReadonlyArray<Run>>()
  readonly #listeners = new Set<Listener>()
  readonly #endings = new Map<string, PromiseWithResolvers<Run | undefined>>()
  readonly #stopping = new Set<{ readonly run: string }>()
  #list = noRuns
  #isListed = true
  #changed = new Set<string>()
  #closed = false

  /**
   * With `threads`, runs of others are left out.
   */
  constructor(capacity: number, threads?: ReadonlyArray<string>) {
    this.#capacity = capacity
    this.#threads = threads
  }

  /**
   * Takes the next item.
   */
  apply(item: Item): void {
    switch (item._tag) {
      case "Event": {
        const { at, data, keep, offset, run, thread, type } = item.event
        if (run === undefined || !RunEvents.isFolded(type, keep)) return
        const entry = this.#entryOf(run)
        if (entry.epoch === item.epoch && offset <= entry.offset) return
        const fold = entry.alive ?? entry.fold
        fold.apply(type, data, at, thread, keep)
        return this.#set(entry, fold, item.epoch, offset)
      }
      case "Snapshot": {
        const { epoch, offset, run, state } = item
        // Snapshots come for all threads, whatever the connection filters.
        if (state.thread !== undefined && this.#threads?.includes(state.thread) === false) return
        const entry = this.#entryOf(run)
        if (entry.epoch === epoch && offset < entry.offset) return
        return this.#set(entry, RunFold.from(state), epoch, offset)
      }
      case "Lost": {
        const entry = this.#entries.get(item.run)
        if (entry === undefined || entry.fold.ended) return
        const alive = entry.fold
        const fold = RunFold.from(alive.snapshot())
        fold.apply(RunEvents.failed, RunEvents.lost("the server knows nothing of this run any more"), item.at)
        this.#set(entry, fold, entry.epoch, entry.offset)
        entry.alive = alive
        return
      }
      case "Gap":
        return
    }
  }

  /**
   * Tells subscribers what has changed since they were told last. `failed` is told
   * what one of them threw.
   */
  flush(failed: (error: unknown) => void): void {
    if (this.#changed.size === 0) return
    const changed = this.#changed
    this.#changed = new Set()
    for (const { run, tell } of Array.from(this.#listeners)) {
      if (run === undefined || changed.has(run)) call(tell, failed)
    }
  }

  /**
   * No more comes: nobody need wait for it.
   */
  close(): void {
    this.#closed = true
    for (const { resolve } of this.#endings.values()) resolve(undefined)
    this.#endings.clear()
  }

  readonly subscribe = (listener: () => void): () => void => this.#listen(undefined, listener)

  readonly getSnapshot = (): ReadonlyArray<Run> => {
    if (this.#isListed) return this.#list
    this.#isListed = true
    const runs = Array.from(this.#entries.values(), (entry) => this.#show(entry))
    return this.#list = sameOrNew(this.#list, runs)
  }

  readonly inThread = (thread: string): RunList => ({
    subscribe: this.subscribe,
    getSnapshot: () => {
      const runs = this.getSnapshot().filter((run) => run.thread === thread)
      const list = sameOrNew(this.#lists.get(thread) ?? noRuns, runs)
      if (list.length === 0) this.#lists.delete(thread)
      else this.#lists.set(thread, list)
      return list
    }
  })

  /**
   * One of the runs.
   */
  readonly run = (id: string): RunHandle => {
    const get = (): Run | undefined => {
      const entry = this.#entries.get(id)
      return entry && this.#show(entry)
    }
    const done = () => this.#endingOf(id, get())
    return {
      get,
      subscribe: (listener) => this.#listen(id, listener),
      get done() {
        return done()
      }
    }
  }

  #endingOf(id: string, run: Run | undefined): Promise<Run | undefined> {
    if (run !== undefined && run.status !== "active") return Promise.resolve(run)
    const ending = this.#endings.get(id) ?? Promise.withResolvers<Run | undefined>()
    if (this.#closed) ending.resolve(undefined)
    else this.#endings.set(id, ending)
    return ending.promise
  }

  /**
   * This client asks the run to stop. Gives what is to be called when it is known
   * whether the run does. `failed` is told what a subscriber threw.
   */
  stopping(run: string, failed: (error: unknown) => void): (does: boolean) => void {
    const asked = { run }
    const show = (): void => {
      const entry = this.#entries.get(run)
      if (entry !== undefined) this.#touch(entry)
      this.flush(failed)
    }
    this.#stopping.add(asked)
    show()
    return (does) => {
      if (does && this.#entries.get(run)?.fold.ended === false) return
      this.#stopping.delete(asked)
      show()
    }
  }

  #listen(run: string | undefined, tell: () => void): () => void {
    const listener = { run, tell }
    this.#listeners.add(listener)
    return () => {
      this.#listeners.delete(listener)
    }
  }

  /** A run as it is now: the same value as before while it did not change. */
  #show(entry: Entry): Run {
    const { fold, id, isStale, shown } = entry
    if (shown !== undefined && !isStale) return shown
    const isStopping = !fold.ended && Array.from(this.#stopping).some(({ run }) => run === id)
    entry.isStale = false
    return entry.shown = share<Run>(shown, { id, ...fold.snapshot(), ...(isStopping ? { stopping: true } : {}) })
  }

  #entryOf(id: string): Entry {
    const known = this.#entries.get(id)
    if (known !== undefined) return known
    const entry = { id, fold: new RunFold(), alive: undefined, epoch: "", offset: 0, shown: undefined, isStale: true }
    this.#entries.set(id, entry)
    if (this.#entries.size > this.#capacity) this.#evict(entry)
    return entry
  }

  #set(entry: Entry, fold: RunFold, epoch: string, offset: number): void {
    Object.assign(entry, { fold, epoch, offset, alive: undefined })
    this.#touch(entry)
    if (!fold.ended) return
    this.#stops(entry.id)
    this.#endings.get(entry.id)?.resolve(this.#show(entry))
    this.#endings.delete(entry.id)
  }

  #evict(current: Entry): void {
    const others = Array.from(this.#entries.values()).filter((entry) => entry !== current)
    const oldest = others.find(({ fold }) => fold.ended) ?? others[0]
    if (oldest === undefined) return
    if (oldest.shown?.thread !== undefined) this.#lists.delete(oldest.shown.thread)
    this.#entries.delete(oldest.id)
    this.#stops(oldest.id)
    this.#touch(oldest)
  }

  // Nothing is to be shown of its stopping any more.
  #stops(run: string): void {
    for (const asked of this.#stopping) {
      if (asked.run === run) this.#stopping.delete(asked)
    }
  }

  #touch(entry: Entry): void {
    entry.isStale = true
    this.#changed.add(entry.id)
    this.#isListed = false
  }
}

/** The list as it was before, if nothing of it changed. */
const sameOrNew = <A>(before: ReadonlyArray<A>, after: ReadonlyArray<A>): ReadonlyArray<A> =>
  before.length === after.length && after.every((item, index) => item === before[index]) ? before : after

/** The value `after`, with all of it that is as it was `before` from there. */
const share = <A>(before: unknown, after: A): A => {
  const members = membersOf(after)
  if (members === undefined || Array.isArray(before) !== Array.isArray(after)) return after
  const shared = members.map(([name, value]) => [name, share(memberOf(before, name), value)] as const)
  const isSame = members.length === membersOf(before)?.length &&
    shared.every(([name, value]) => value === memberOf(before, name))
  // What says the same is of the same type.
  if (isSame) return before as A
  return (Array.isArray(after) ? shared.map(([, value]) => value) : Object.fromEntries(shared)) as A
}
