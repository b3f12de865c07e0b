/**
 * Hands a plain program its events where it asks for them: `for await`.
 *
 * - Each loop sees every event from its beginning on, once and in order.
 * - An event counts as handled when its loop asks for more. What no loop waits for
 *   counts at once.
 * - A loop that is left, also by what it throws, has handled the event that it had.
 *   What it had not taken waits for the next loop, which begins there. It counts as
 *   handled when more has come and no loop has begun.
 * - All loops share one list. Once `capacity` entries wait for the slowest, no more
 *   must come until half of them are handled.
 *
 * @since 0.1.0
 */
import type { Position } from "../../protocol/values/Position.ts"

/**
 * Who is told. `handled`: every loop has handled everything up to this position.
 * `room`: there is room for more.
 *
 * @category models
 * @since 0.1.0
 */
export interface Listener {
  readonly handled: (position: Position) => void
  readonly room: () => void
}

interface Entry<A> {
  readonly position: Position
  readonly event?: A | undefined
}

interface Reader {
  /** The number of the entry that it handles or waits for. */
  at: number
  /** Whether its loop has that entry. */
  hasTaken: boolean
  hasLeft: boolean
  wake: () => void
}

/**
 * The loops of one connection. Its own members have `#` names, which minifiers
 * shorten: a page loads this class.
 *
 * @category fan-out
 * @since 0.1.0
 */
export class EventReaders<A> implements AsyncIterable<A> {
  readonly #capacity: number
  readonly #listener: Listener
  readonly #readers = new Set<Reader>()
  #entries: Array<Entry<A>> = []
  /** The number of the first entry. */
  #first = 0
  /** The number of the first entry that a loop which has left had not taken. */
  #left: number | undefined
  #over = false

  constructor(capacity: number, listener: Listener) {
    this.#capacity = capacity
    this.#listener = listener
  }

  /** Whether no more must come, until `room` is called. */
  get isFull(): boolean {
    return this.#entries.length >= this.#capacity
  }

  /** Whether any loop is there. */
  get areThere(): boolean {
    return this.#readers.size > 0
  }

  /** Adds an event, or a position that follows the last one. */
  put(position: Position, event?: A): void {
    this.#left = undefined
    this.#entries.push({ position, event })
    for (const { wake } of this.#readers) wake()
  }

  /** Tells up to where everything is handled. */
  settle(): void {
    const at = Math.min(this.#left ?? this.#end, ...Array.from(this.#readers, (reader) => reader.at))
    const last = this.#entries.splice(0, at - this.#first).at(-1)
    if (last === undefined) return
    this.#first = at
    this.#listener.handled(last.position)
    const waiting = this.#readers.size === 0 ? 0 : this.#entries.length
    if (waiting * 2 <= this.#capacity) this.#listener.room()
  }

  /** Ends all loops, once they have seen what waits; at once with `discard`, and then it is not handled. */
  end(discard: boolean): void {
    this.#over = true
    if (discard) this.#entries = []
    for (const { wake } of this.#readers) wake()
  }

  /** Whoever leaves while it waits is let go at once, which a generator alone would put off until the next event. */
  [Symbol.asyncIterator](): AsyncIterator<A, void, undefined> {
    const reader: Reader = { at: 0, hasTaken: false, hasLeft: false, wake: () => {} }
    const events = this.#read(reader)
    return {
      next: () => events.next(),
      return: () => {
        reader.hasLeft = true
        reader.wake()
        return events.return()
      }
    }
  }

  async *#read(reader: Reader): AsyncGenerator<A, void, undefined> {
    reader.at = this.#left ?? this.#end
    this.#left = undefined
    this.#readers.add(reader)
    try {
      while (!reader.hasLeft) {
        const entry = this.#entries[reader.at - this.#first]
        if (entry !== undefined) {
          reader.hasTaken = true
          if (entry.event !== undefined) yield entry.event
          reader.hasTaken = false
          reader.at++
          this.settle()
        } else if (this.#over) return
        else {
          await new Promise<void>((resolve) => {
            reader.wake = resolve
          })
        }
      }
    } finally {
      this.#readers.delete(reader)
      if (reader.hasTaken) reader.at++
      if (reader.at < this.#end) this.#left = Math.min(this.#left ?? reader.at, reader.at)
      this.settle()
    }
  }

  get #end(): number {
    return this.#first + this.#entries.length
  }
}
