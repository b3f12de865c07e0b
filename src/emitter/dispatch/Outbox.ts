/**
 * What one user's emitters have accepted and the broker does not have yet: an
 * ordered list of pending events, merged where their definitions allow it.
 *
 * Plain synchronous state: every step is atomic. The dispatcher decides when a
 * list is taken. At most one taken list is in flight at a time (see `Turn`), so the
 * order of acceptance is the order of delivery.
 *
 * It is a mutable class, since each emit goes through it.
 *
 * @since 0.1.0
 */
import type * as Schema from "effect/Schema"
import type { Coalesce, DeliveryClass } from "../../protocol/event/Event.ts"
import type { RunId, ThreadId, UserId } from "../../protocol/values/Identity.ts"
import type { TierSettings } from "../EmitterConfig.ts"
import { RunRegistry } from "../user/RunRegistry.ts"
import { Turn } from "../user/Turn.ts"
import { concatenate, type Pending, replace, writeMerged } from "./Pending.ts"

// How far back a merge looks: windows hold few messages at a time, and a scan must stay cheap.
const mergeReach = 16

/**
 * The turn of one user, with the list of what waits for it.
 *
 * @category models
 * @since 0.1.0
 */
export class Outbox extends Turn {
  /** The settings of the user's tier; those of the emitter made last. */
  settings: TierSettings
  /** Whether the batcher knows that something is pending. */
  marked = false
  /** Since when something is pending, on the monotonic clock; `undefined` for an event that goes out in its own call. */
  pendingSince: number | undefined
  /** How many open emitters share this outbox. */
  emitters = 0
  /** The runs of the user. */
  readonly runs = new RunRegistry()
  private roomQueue: Array<() => void> | undefined
  private list: Array<Pending> | undefined
  private listBytes = 0
  private mergeable: Array<Pending> | undefined
  private urgent = false
  private volatiles = 0
  private apart = 0

  constructor(user: UserId, settings: TierSettings) {
    super(user)
    this.settings = settings
  }

  get size(): number {
    return this.list === undefined ? 0 : this.list.length
  }

  get bytes(): number {
    return this.listBytes
  }

  get hasRoom(): boolean {
    const { capacity, capacityBytes } = this.settings.batching
    return this.size < capacity && this.listBytes < capacityBytes
  }

  /** Callers that wait for room, in order. */
  get waitingForRoom(): Array<() => void> {
    return this.roomQueue ??= []
  }

  override get isNeeded(): boolean {
    return this.emitters > 0 || this.size > 0 || this.isWaitedForRoom || super.isNeeded
  }

  get isWaitedForRoom(): boolean {
    return this.roomQueue !== undefined && this.roomQueue.length > 0
  }

  /** Whether a volatile event is on the list. */
  get hasVolatile(): boolean {
    return this.volatiles > 0
  }

  /** Whether the list goes out in several batches. */
  get isParted(): boolean {
    return this.apart > 0
  }

  /** Whether something on the list is not to wait: a critical event, or what follows one that went by itself. */
  get isUrgent(): boolean {
    return this.urgent
  }

  push(event: Pending): void {
    this.list ??= []
    this.list.push(event)
    this.listBytes += event.bytes
    if (event.delivery === "volatile") this.volatiles++
    if (event.delivery === "critical") this.urgent = true
    if (event.isApart) this.apart++
    // Nothing that comes later may be merged into what stands before a critical event, or one that goes by itself.
    if (event.isApart || event.delivery === "critical") {
      this.writeMergeable()
    } else if (event.merging !== undefined) {
      this.mergeable ??= []
      this.mergeable.push(event)
    }
  }

  /**
   * Merges an event into one of its kind that is still on the list, if there is
   * one and it stays within `maxBytes`. `json` is the event's data as text, where
   * it may stand for the older one's.
   */
  merge(
    type: string,
    run: RunId | undefined,
    thread: ThreadId | undefined,
    coalesce: Coalesce,
    data: Schema.JsonObject,
    json: string,
    maxBytes: number
  ): boolean {
    const { mergeable } = this
    if (mergeable === undefined) return false
    const end = Math.max(0, mergeable.length - mergeReach)
    for (let index = mergeable.length - 1; index >= end; index--) {
      const older = mergeable[index]
      if (older === undefined || older.type !== type || older.run !== run || older.thread !== thread) continue
      if (coalesce.by !== undefined && older.data[coalesce.by] !== data[coalesce.by]) continue
      const before = older.bytes
      const isMerged = coalesce._tag === "Newest"
        ? replace(older, data, json, maxBytes)
        : concatenate(older, data[coalesce.text], maxBytes)
      this.listBytes += older.bytes - before
      return isMerged
    }
    return false
  }

  /** Whether there is an event that may be dropped. */
  hasDroppable(): boolean {
    return this.list?.some(isDroppable) === true
  }

  /** Drops the oldest event that may be dropped. */
  dropOldest(): DeliveryClass | undefined {
    const index = this.list?.findIndex(isDroppable) ?? -1
    const [dropped] = index < 0 ? [] : this.list?.splice(index, 1) ?? []
    if (dropped === undefined) return undefined
    this.listBytes -= dropped.bytes
    if (dropped.delivery === "volatile") this.volatiles--
    if (dropped.isApart) this.apart--
    this.mergeable = this.mergeable?.filter((event) => event !== dropped)
    return dropped.delivery
  }

  /** Takes what goes out in one batch, written out: the list as far as the first event that goes by itself, or that one. */
  take(): Array<Pending> {
    const { list } = this
    if (this.apart === 0 || list === undefined || list.length === 1) return this.takeAll()
    this.writeMergeable()
    const taken = list.splice(0, Math.max(1, list.findIndex(({ isApart }) => isApart)))
    this.listBytes = 0
    this.volatiles = 0
    this.apart = 0
    for (const { bytes, delivery, isApart } of list) {
      this.listBytes += bytes
      if (delivery === "volatile") this.volatiles++
      if (isApart) this.apart++
    }
    // The rest was to go out as well.
    this.urgent = true
    return taken
  }

  /** Takes the whole list, written out. */
  takeAll(): Array<Pending> {
    const taken = this.list ?? []
    this.list = undefined
    this.listBytes = 0
    this.urgent = false
    this.volatiles = 0
    this.apart = 0
    this.writeMergeable()
    return taken
  }

  private writeMergeable(): void {
    if (this.mergeable === undefined) return
    for (const event of this.mergeable) writeMerged(event)
    this.mergeable = undefined
  }
}

const isDroppable = (event: Pending): boolean => event.delivery !== "critical"
