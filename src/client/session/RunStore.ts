/**
 * The state of each run that a device has heard of, folded from snapshots and
 * events.
 *
 * Events that a snapshot has in it already are not folded twice. At most
 * `capacity` runs are kept; those that have ended go first, the oldest of them.
 *
 * @since 0.1.0
 */
import * as RunEvents from "../../protocol/RunEvents.ts"
import { RunFold, type RunSnapshot } from "../../protocol/RunSnapshot.ts"
import type { Item } from "./SessionIO.ts"

interface Entry {
  readonly fold: RunFold
  /** The fold as it was before the run was given up as lost. */
  readonly alive?: RunFold
  readonly epoch: string
  readonly offset: number
}

/**
 * Folds runs. Mutable; what `current` returns never changes.
 *
 * @category folds
 * @since 0.1.0
 */
export class RunStore {
  private readonly capacity: number
  private readonly entries = new Map<string, Entry>()
  private shown: ReadonlyMap<string, RunSnapshot> = new Map()
  private readonly changed = new Set<string>()

  /**
   * Rises with every change.
   */
  version = 0

  constructor(capacity: number) {
    this.capacity = capacity
  }

  /**
   * Takes the next item.
   */
  apply(item: Item): void {
    switch (item._tag) {
      case "Event": {
        const { at, data, offset, run, thread, type } = item.event
        if (run === undefined || !RunEvents.isFolded(type)) return
        const known = this.entries.get(run)
        if (known !== undefined && known.epoch === item.epoch && offset <= known.offset) return
        const fold = known?.alive ?? known?.fold ?? new RunFold()
        fold.apply(type, data, at, thread)
        return this.set(run, { fold, epoch: item.epoch, offset })
      }
      case "Snapshot": {
        const known = this.entries.get(item.run)
        if (known !== undefined && known.epoch === item.epoch && item.offset < known.offset) return
        return this.set(item.run, { fold: RunFold.from(item.state), epoch: item.epoch, offset: item.offset })
      }
      case "Lost": {
        const known = this.entries.get(item.run)
        if (known === undefined || known.fold.ended) return
        const fold = RunFold.from(known.fold.snapshot())
        fold.apply(RunEvents.failed, RunEvents.lost("the server knows nothing of this run any more"), item.at)
        return this.set(item.run, { ...known, fold, alive: known.fold })
      }
      case "Gap":
        return
    }
  }

  /**
   * The state of all runs, in the order in which they were first heard of. The
   * same map as before, if nothing changed.
   */
  current(): ReadonlyMap<string, RunSnapshot> {
    if (this.changed.size === 0) return this.shown
    const shown = new Map(this.shown)
    for (const run of this.changed) {
      const entry = this.entries.get(run)
      if (entry === undefined) shown.delete(run)
      else shown.set(run, entry.fold.snapshot())
    }
    this.changed.clear()
    this.shown = shown
    return shown
  }

  private set(run: string, entry: Entry): void {
    this.entries.set(run, entry)
    this.touch(run)
    if (this.entries.size > this.capacity) this.evict(run)
  }

  private evict(current: string): void {
    const others = Array.from(this.entries).filter(([run]) => run !== current)
    const oldest = others.find(([, { fold }]) => fold.ended) ?? others[0]
    if (oldest === undefined) return
    this.entries.delete(oldest[0])
    this.touch(oldest[0])
  }

  private touch(run: string): void {
    this.changed.add(run)
    this.version += 1
  }
}
