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
import { isObject } from "../transport/Shapes.ts"
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

interface Entry {
  readonly fold: RunFold
  /** The fold as it was before the run was given up as lost. */
  readonly alive?: RunFold
  readonly epoch: string
  readonly offset: number
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
  readonly #shown = new Map<string, Run>()
  readonly #stale = new Set<string>()
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
        const known = this.#entries.get(run)
        if (known !== undefined && known.epoch === item.epoch && offset <= known.offset) return
        const fold = known?.alive ?? known?.fold ?? new RunFold()
        fold.apply(type, data, at, thread, keep)
        return this.#set(run, { fold, epoch: item.epoch, offset })
      }
      case "Snapshot": {
        const { epoch, offset, run, state } = item
        const known = this.#entries.get(run)
        if (known !== undefined && known.epoch === epoch && offset < known.offset) return
        // Snapshots come for all threads, whatever the connection filters.
        if (state.thread !== undefined && this.#threads?.includes(state.thread) === false) return
        return this.#set(run, { fold: RunFold.from(state), epoch, offset })
      }
      case "Lost": {
        const known = this.#entries.get(item.run)
        if (known === undefined || known.fold.ended) return
        const fold = RunFold.from(known.fold.snapshot())
        fold.apply(RunEvents.failed, RunEvents.lost("the server knows nothing of this run any more"), item.at)
        return this.#set(item.run, { ...known, fold, alive: known.fold })
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
    const runs = Array.from(this.#entries, ([id, entry]) => this.#show(id, entry))
    return this.#list = share(this.#list, runs)
  }

  readonly inThread = (thread: string): RunList => ({
    subscribe: this.subscribe,
    getSnapshot: () => {
      const runs = this.getSnapshot().filter((run) => run.thread === thread)
      const list = share(this.#lists.get(thread) ?? noRuns, runs)
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
      return entry && this.#show(id, entry)
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
      if (this.#entries.has(run)) this.#touch(run)
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

  #show(id: string, { fold }: Entry): Run {
    const before = this.#shown.get(id)
    if (before !== undefined && !this.#stale.has(id)) return before
    const isStopping = !fold.ended && Array.from(this.#stopping).some(({ run }) => run === id)
    const run = share<Run>(before, { id, ...fold.snapshot(), ...(isStopping ? { stopping: true } : {}) })
    this.#stale.delete(id)
    this.#shown.set(id, run)
    return run
  }

  #set(run: string, entry: Entry): void {
    this.#entries.set(run, entry)
    if (entry.fold.ended) this.#stops(run)
    this.#touch(run)
    if (entry.fold.ended) {
      this.#endings.get(run)?.resolve(this.#show(run, entry))
      this.#endings.delete(run)
    }
    if (this.#entries.size > this.#capacity) this.#evict(run)
  }

  #evict(current: string): void {
    const others = Array.from(this.#entries).filter(([run]) => run !== current)
    const [oldest] = others.find(([, { fold }]) => fold.ended) ?? others[0] ?? []
    if (oldest === undefined) return
    const { thread } = this.#shown.get(oldest) ?? {}
    if (thread !== undefined) this.#lists.delete(thread)
    this.#entries.delete(oldest)
    this.#shown.delete(oldest)
    this.#stops(oldest)
    this.#touch(oldest)
    this.#stale.delete(oldest)
  }

  // Nothing is to be shown of its stopping any more.
  #stops(run: string): void {
    for (const asked of this.#stopping) {
      if (asked.run === run) this.#stopping.delete(asked)
    }
  }

  #touch(run: string): void {
    this.#stale.add(run)
    this.#changed.add(run)
    this.#isListed = false
  }
}

/** The value `after`, with all of it that is as it was `before` from there. */
const share = <A>(before: unknown, after: A): A => {
  if (before === after) return after
  // What says the same is of the same type.
  const same = before as A
  if (Array.isArray(before) && Array.isArray(after)) {
    const items = after.map((item: unknown, index) => share(before[index], item))
    if (items.length === before.length && items.every((item, index) => item === before[index])) return same
    return items.every((item, index) => item === after[index]) ? after : items as A
  }
  if (isObject(before) && isObject(after)) {
    const fields = Object.entries(after).map(([key, value]) => [key, value, share(before[key], value)] as const)
    const isSame = fields.length === Object.keys(before).length &&
      fields.every(([key, , shared]) => Object.hasOwn(before, key) && shared === before[key])
    if (isSame) return same
    return fields.every(([, value, shared]) => value === shared)
      ? after
      : Object.fromEntries(fields.map(([key, , shared]) => [key, shared])) as A
  }
  return after
}
