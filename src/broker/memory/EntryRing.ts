/**
 * What a log keeps of its entries, without an object for each.
 *
 * An entry outlives the engine's young generation, and whatever does is moved by
 * the collector of garbage, twice, while the program waits. So an entry is a few
 * numbers in arrays, side by side as they are used together, its text, and a
 * heading that it shares with entries like it.
 *
 * @since 0.1.0
 */
import type { DeliveryClass } from "../../protocol/event/Event.ts"
import type { RunId, ThreadId } from "../../protocol/values/Identity.ts"
import type { Envelope } from "../../protocol/wire/Envelope.ts"
import type { Entry, Written } from "../Broker.ts"
import { bodyBefore } from "../TextPage.ts"
import { Page } from "./Page.ts"
import type { SequenceSet } from "./SequenceSet.ts"

/**
 * A source of events, as a log knows it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Source {
  readonly name: string
  readonly taken: SequenceSet
  /** How many entries of the log are from this source; without any it is spent, and may be forgotten. */
  held: number
}

/**
 * What entries in a row mostly have in common.
 *
 * @category models
 * @since 0.1.0
 */
export class Heading {
  /** The offset of the first entry that has it. */
  readonly first: number
  readonly source: Source
  readonly type: string
  readonly delivery: DeliveryClass
  readonly run: RunId | undefined
  readonly thread: ThreadId | undefined
  readonly confirm: boolean
  /** What it takes in memory, in bytes, with the names that the heading before it does not have. */
  readonly weight: number

  constructor(
    first: number,
    source: Source,
    { confirm, delivery, run, thread, type }: Envelope,
    before: Heading | undefined
  ) {
    this.first = first
    this.source = source
    this.type = type
    this.delivery = delivery
    this.run = run
    this.thread = thread
    this.confirm = confirm
    this.weight = headingOverhead
      + (run === before?.run ? 0 : weightOf(run))
      + (thread === before?.thread ? 0 : weightOf(thread))
  }

  /** Whether it is that of an envelope, too. */
  fits(envelope: Envelope): boolean {
    return this.type === envelope.type
      && this.run === envelope.run
      && this.thread === envelope.thread
      && this.confirm === envelope.confirm
      && this.delivery === envelope.delivery
      && this.source.name === envelope.source
  }
}

// An entry as a reader gets it, for as long as the reader keeps it.
class ReadEntry implements Entry, Written {
  readonly offset: number
  readonly at: number
  readonly bytes: number
  readonly page: Buffer
  readonly start: number
  readonly end: number
  private readonly heading: Heading

  constructor(
    offset: number,
    heading: Heading,
    at: number,
    page: Buffer,
    numbers: ReadonlyArray<number>,
    first: number
  ) {
    this.offset = offset
    this.heading = heading
    this.at = at
    this.page = page
    this.bytes = numbers[first + bytes] ?? 0
    this.start = numbers[first + start] ?? 0
    this.end = numbers[first + end] ?? 0
  }

  get type(): string {
    return this.heading.type
  }

  get delivery(): DeliveryClass {
    return this.heading.delivery
  }

  get run(): RunId | undefined {
    return this.heading.run
  }

  get thread(): ThreadId | undefined {
    return this.heading.thread
  }

  get confirm(): boolean {
    return this.heading.confirm
  }

  get body(): string {
    return bodyBefore(this.page, this.end, this.bytes)
  }

  get written(): Written {
    return this
  }
}

// Where the whole numbers of an entry stand, which the engine keeps as they are, and its times.
const sequence = 0
const bytes = 1
const held = 2
const start = 3
const end = 4
const numbersOfEntry = 5
const at = 0
const since = 1
const timesOfEntry = 2

const initialCapacity = 4

// Of a block, and of the largest ring that is none of blocks: so much is copied within a tenth of a millisecond.
const blockBits = 10
const blockCapacity = 1 << blockBits

// A ring gives up its places where so few entries, or fewer, take less than a sixteenth of them: to copy them costs nothing then.
const few = 64
const muchRoom = 16

// What things take in memory, in bytes, as measured in V8.
const bytesOfPlace = 8 * (2 + numbersOfEntry + timesOfEntry)
const headingOverhead = 88
const nameOverhead = 24
const textOverhead = 280

const weightOf = (name: string | undefined): number => name === undefined ? 0 : nameOverhead + name.length

// An engine keeps one byte for each character where none needs more, else two.
const costOf = (text: string, length: number): number => textOverhead + (length === text.length ? 1 : 2) * text.length

/**
 * A ring of entries with consecutive offsets: the entry with offset o stands at o modulo its capacity, which is a power
 * of two. It does not know which of its places are taken.
 *
 * A large ring is one of blocks, so that a ring which grows copies no more than a block.
 *
 * @category models
 * @since 0.1.0
 */
export class EntryRing {
  readonly capacity: number
  /** The length of all bodies, in bytes. */
  textBytes = 0
  /** What all entries hold in memory besides their places and pages, in bytes: texts and headings. */
  heldBytes = 0
  /** What the places take in memory, in bytes. */
  placeBytes: number
  private readonly mask: number
  private readonly headings: Array<Heading | undefined>
  // The body, until a reader asks for the entry; from then on the page that it stands on.
  private readonly texts: Array<string | Page | undefined>
  private readonly numbers: Array<number>
  private readonly times: Array<number>
  // Each is made when it is needed, and goes with its last entry. A ring of blocks has no places of its own.
  private readonly blocks: Array<EntryRing | undefined> | undefined
  // A block without entries, for the next that is needed: so a ring in which as many come as go makes none.
  private spare: EntryRing | undefined

  private constructor(capacity: number, blocks?: Array<EntryRing | undefined>) {
    const places = blocks === undefined ? capacity : 0
    this.capacity = capacity
    this.mask = capacity - 1
    this.placeBytes = places * bytesOfPlace
    this.headings = new Array(places)
    this.texts = new Array(places)
    this.numbers = new Array(places * numbersOfEntry)
    this.times = new Array(places * timesOfEntry)
    this.blocks = blocks
  }

  /** The ring of a log that never had an entry. */
  static readonly none = new EntryRing(0)

  /** A ring of twice the capacity, with the entries from `first` to `last`, which fill this one. */
  grown(first: number, last: number): EntryRing {
    const ring = this.capacity >= blockCapacity ? this.grownByBlocks(first, last) : this.grownWhole(first, last)
    ring.textBytes = this.textBytes
    ring.heldBytes = this.heldBytes
    return ring
  }

  private grownWhole(first: number, last: number): EntryRing {
    const ring = new EntryRing(Math.max(initialCapacity, this.capacity * 2))
    for (let offset = first; offset <= last; offset++) ring.copy(this, offset)
    return ring
  }

  private grownByBlocks(first: number, last: number): EntryRing {
    const blocks = new Array<EntryRing | undefined>(2 * this.capacity / blockCapacity)
    const ring = new EntryRing(this.capacity * 2, blocks)
    for (let offset = first; offset <= last; offset += blockCapacity - offset % blockCapacity) {
      blocks[ring.blockAt(offset)] = this.blockOf(offset)
    }
    // A block may have both ends of the ring: the newest entries get one of their own.
    const edge = last - last % blockCapacity
    const shared = this.blockOf(edge)
    if (edge > first && shared === this.blockOf(first)) {
      const block = new EntryRing(blockCapacity)
      for (let offset = edge; offset <= last; offset++) {
        block.copy(shared, offset)
        shared.clear(offset)
      }
      blocks[ring.blockAt(edge)] = block
    }
    ring.spare = this.spare
    ring.placeBytes += this.spare?.placeBytes ?? 0
    for (const block of blocks) ring.placeBytes += block === undefined ? 0 : block.placeBytes
    return ring
  }

  /** Whether it has far too many places for so many entries. */
  isWideFor(size: number): boolean {
    return size <= few && this.capacity > muchRoom * Math.max(size, initialCapacity)
  }

  /** A ring with room for about twice the entries from `first` to `last`, which are all of this one. */
  narrowed(first: number, last: number): EntryRing {
    let capacity = initialCapacity
    while (capacity < 2 * (last - first + 1)) capacity *= 2
    const ring = new EntryRing(capacity)
    for (let offset = first; offset <= last; offset++) ring.copy(this.blockOf(offset), offset)
    ring.textBytes = this.textBytes
    ring.heldBytes = this.heldBytes
    return ring
  }

  /** Puts an entry in its place, which the log takes at a time. */
  put(offset: number, heading: Heading, envelope: Envelope, taken: number): void {
    const ring = this.blocks === undefined ? this : this.blockToPut(offset)
    const slot = offset & ring.mask
    const { numbers, times } = ring
    const { body } = envelope
    const first = slot * numbersOfEntry
    const holds = costOf(body, envelope.bytes) + (heading.first === offset ? heading.weight : 0)
    ring.headings[slot] = heading
    ring.texts[slot] = body
    numbers[first + sequence] = envelope.sequence
    numbers[first + bytes] = envelope.bytes
    numbers[first + held] = holds
    numbers[first + start] = 0
    numbers[first + end] = 0
    times[slot * timesOfEntry + at] = envelope.at
    times[slot * timesOfEntry + since] = taken
    this.textBytes += envelope.bytes
    this.heldBytes += holds
  }

  /** Empties the place of the oldest entry of those up to `last`, and tells its source. */
  drop(offset: number, last: number): Source | undefined {
    const ring = this.blocks === undefined ? this : this.blockOf(offset)
    const slot = offset & ring.mask
    const source = ring.headings[slot]?.source
    const first = slot * numbersOfEntry
    ring.headings[slot] = undefined
    ring.texts[slot] = undefined
    this.textBytes -= ring.numbers[first + bytes] ?? 0
    this.heldBytes -= ring.numbers[first + held] ?? 0
    if (ring !== this && (offset + 1) % blockCapacity === 0) this.leave(offset, last)
    return source
  }

  /** Whether the text of an entry stands on a page. */
  isOnPage(offset: number): boolean {
    const ring = this.blocks === undefined ? this : this.blockOf(offset)
    return typeof ring.texts[offset & ring.mask] === "object"
  }

  /** Moves the text of an entry to the page, or to a new one if that has no room; gives the page it stands on from now on. */
  move(offset: number, latest: Page | undefined): Page {
    const ring = this.blocks === undefined ? this : this.blockOf(offset)
    const slot = offset & ring.mask
    const { numbers } = ring
    const first = slot * numbersOfEntry
    const text = ring.texts[slot]
    if (typeof text !== "string") throw new RangeError(`offset ${offset} is not in the log, or on a page already`)
    const length = numbers[first + bytes] ?? 0
    const page = Page.withRoom(length, latest)
    const freed = costOf(text, length)
    numbers[first + start] = page.end
    numbers[first + end] = page.write(offset, text, length)
    numbers[first + held] = (numbers[first + held] ?? 0) - freed
    ring.texts[slot] = page
    this.heldBytes -= freed
    return page
  }

  /** The entry as a reader gets it. Its text must have moved. */
  read(offset: number): Entry {
    const ring = this.blocks === undefined ? this : this.blockOf(offset)
    const slot = offset & ring.mask
    const heading = ring.headings[slot]
    const page = ring.texts[slot]
    if (heading === undefined || typeof page !== "object") {
      throw new RangeError(`offset ${offset} is not in the log, or not on a page`)
    }
    return new ReadEntry(
      offset,
      heading,
      ring.times[slot * timesOfEntry + at] ?? 0,
      page.bytes,
      ring.numbers,
      slot * numbersOfEntry
    )
  }

  /** Whether an entry is the one of this number from this source. */
  isOf(offset: number, source: string, number: number): boolean {
    const ring = this.blocks === undefined ? this : this.blockOf(offset)
    const slot = offset & ring.mask
    return ring.numbers[slot * numbersOfEntry + sequence] === number && ring.headings[slot]?.source.name === source
  }

  /** When the log took an entry. */
  sinceOf(offset: number): number {
    const ring = this.blocks === undefined ? this : this.blockOf(offset)
    return ring.times[(offset & ring.mask) * timesOfEntry + since] ?? 0
  }

  /** The length of an entry's body, in bytes. */
  bytesOf(offset: number): number {
    const ring = this.blocks === undefined ? this : this.blockOf(offset)
    return ring.numbers[(offset & ring.mask) * numbersOfEntry + bytes] ?? 0
  }

  private copy(from: EntryRing, offset: number): void {
    const there = offset & from.mask
    const here = offset & this.mask
    this.headings[here] = from.headings[there]
    this.texts[here] = from.texts[there]
    for (let n = 0; n < numbersOfEntry; n++) {
      this.numbers[here * numbersOfEntry + n] = from.numbers[there * numbersOfEntry + n] ?? 0
    }
    for (let n = 0; n < timesOfEntry; n++) {
      this.times[here * timesOfEntry + n] = from.times[there * timesOfEntry + n] ?? 0
    }
  }

  private clear(offset: number): void {
    const slot = offset & this.mask
    this.headings[slot] = undefined
    this.texts[slot] = undefined
  }

  private blockAt(offset: number): number {
    return (offset & this.mask) >>> blockBits
  }

  private blockOf(offset: number): EntryRing {
    return this.blocks === undefined ? this : this.blocks[(offset & this.mask) >>> blockBits] ?? EntryRing.none
  }

  private blockToPut(offset: number): EntryRing {
    if (this.blocks === undefined) return this
    const known = this.blocks[(offset & this.mask) >>> blockBits]
    if (known !== undefined) return known
    const block = this.spare ?? new EntryRing(blockCapacity)
    if (this.spare === undefined) this.placeBytes += block.placeBytes
    this.spare = undefined
    this.blocks[this.blockAt(offset)] = block
    return block
  }

  // The block of an entry that went has none any more, unless the newest ones, up to `last`, are in it.
  private leave(offset: number, last: number): void {
    if (this.blocks === undefined || last - offset > this.capacity - blockCapacity) return
    const block = this.blockOf(offset)
    this.blocks[this.blockAt(offset)] = undefined
    if (this.spare === undefined) this.spare = block
    else this.placeBytes -= block.placeBytes
  }
}
