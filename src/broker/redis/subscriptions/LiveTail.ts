/**
 * Keeps the events that were published lately.
 *
 * A publication carries its events, so readers that keep up take them from here and
 * ask Redis for nothing, however many readers this process has. A reader whose
 * position is not kept here reads the log in Redis.
 *
 * @since 0.1.0
 */
import type { Position } from "../../../protocol/values/Position.ts"
import type { Entry, PullLimits, Slice } from "../../Broker.ts"
import type { Page, Published } from "../codec/Publication.ts"

interface Piece extends Published {
  readonly first: number
  readonly last: number
}

// What an entry takes besides its text, and a page besides its bytes.
const entryOverhead = 160
const pageOverhead = 250

const bytesOfPage = ({ page }: Piece): number => pageOverhead + page.bytes.length
const bytesOfEntries = ({ entries }: Piece): number => entryOverhead * entries.length

// How much is kept: of one user, and of all.
const maxBytes = 256 * 1024
const maxTotalBytes = 64 * 1024 * 1024

/**
 * The latest events of one user, without a gap between them.
 *
 * @category models
 * @since 0.1.0
 */
export interface LiveTail {
  readonly epoch: string
  readonly pieces: Array<Piece>
  bytes: number
  /** Whether something came since the last look. */
  isFresh: boolean
}

/**
 * The events that were published lately, by channel, within a bound over all of
 * them.
 *
 * @category models
 * @since 0.1.0
 */
export class LiveTails {
  // In the order in which they began.
  private readonly byChannel = new Map<string, LiveTail>()
  private total = 0

  /** The page that the latest events of this user stand on. */
  pageOf(channel: string): Page | undefined {
    return this.byChannel.get(channel)?.pieces.at(-1)?.page
  }

  /** Takes the events `first` to `last`; where they did not come with it, none of the user is kept. */
  add(channel: string, epoch: string, first: number, last: number, published: Published | undefined): void {
    let recent = this.byChannel.get(channel)
    if (recent !== undefined && (recent.epoch !== epoch || recent.pieces.at(-1)?.last !== first - 1)) {
      this.forget(channel)
      recent = undefined
    }
    if (published === undefined) return this.forget(channel)
    if (recent === undefined) {
      recent = { epoch, pieces: [], bytes: 0, isFresh: true }
      this.byChannel.set(channel, recent)
    }
    recent.isFresh = true
    const piece = { first, last, entries: published.entries, page: published.page }
    const isOnNewPage = piece.page !== recent.pieces.at(-1)?.page
    recent.pieces.push(piece)
    this.count(recent, bytesOfEntries(piece) + (isOnNewPage ? bytesOfPage(piece) : 0))
    while (recent.bytes > maxBytes) this.dropOldest(recent)
    for (const oldest of this.byChannel.keys()) {
      if (this.total <= maxTotalBytes) return
      this.forget(oldest)
    }
  }

  /**
   * The events past a position, if all of them up to the offset `head` of the newest known event are here. It gives
   * `undefined` where there are none: a reader that has caught up may look for an event that is not published yet.
   */
  pull(channel: string, after: Position, head: number, limits: PullLimits): Slice | undefined {
    const recent = this.byChannel.get(channel)
    if (recent === undefined || recent.epoch !== after.epoch || recent.pieces.at(-1)?.last !== head) return undefined
    const { pieces } = recent
    if (after.offset >= head || after.offset < (pieces[0]?.first ?? 0) - 1) return undefined
    const entries: Array<Entry> = []
    let bytes = 0
    let at = pieces.length
    while (at > 0 && (pieces[at - 1]?.last ?? 0) > after.offset) at--
    for (const piece of pieces.slice(at)) {
      for (const entry of piece.entries) {
        if (entry.offset <= after.offset) continue
        bytes += entry.bytes
        const isFull = entries.length >= limits.maxEvents || entries.length > 0 && bytes > limits.maxBytes
        if (isFull) return slice(entries, after, head)
        entries.push(entry)
      }
    }
    return slice(entries, after, head)
  }

  /** Forgets those of whom nothing came since it was called last. */
  sweep(): void {
    for (const [channel, recent] of this.byChannel) {
      if (recent.isFresh) recent.isFresh = false
      else this.forget(channel)
    }
  }

  forget(channel: string): void {
    const recent = this.byChannel.get(channel)
    if (recent === undefined) return
    this.total -= recent.bytes
    this.byChannel.delete(channel)
  }

  /** Forgets all, since publications may have been missed. */
  clear(): void {
    this.byChannel.clear()
    this.total = 0
  }

  private dropOldest(recent: LiveTail): void {
    const oldest = recent.pieces.shift()
    if (oldest === undefined) return
    const isPageGone = oldest.page !== recent.pieces[0]?.page
    this.count(recent, -bytesOfEntries(oldest) - (isPageGone ? bytesOfPage(oldest) : 0))
  }

  private count(recent: LiveTail, bytes: number): void {
    recent.bytes += bytes
    this.total += bytes
  }
}

const slice = (entries: ReadonlyArray<Entry>, after: Position, head: number): Slice => ({
  gap: undefined,
  snapshots: [],
  entries,
  next: { epoch: after.epoch, offset: entries.at(-1)?.offset ?? after.offset },
  head
})
