/**
 * The newest events that a leader has had, for tabs that come later or come back.
 *
 * @since 0.2.0
 */
import type { WireEvent } from "../../protocol/event/ReceivedEvent.ts"
import type { Position } from "../../protocol/values/Position.ts"

/** How many events are kept, and how many characters of them, about. */
const maxEvents = 2_048
const maxChars = 1_000_000

interface Kept {
  readonly offset: number
  readonly text: string
}

/**
 * Without a hole: from `base` on it has every event up to `end`. Mutable.
 *
 * @category models
 * @since 0.2.0
 */
export class EventTail {
  readonly epoch: string
  #base: number
  #end: number
  #chars = 0
  #events: Array<Kept> = []

  constructor({ epoch, offset }: Position) {
    this.epoch = epoch
    this.#base = offset
    this.#end = offset
  }

  /** Where it ends. */
  get end(): Position {
    return { epoch: this.epoch, offset: this.#end }
  }

  /** Whether these are the next events, up to this position, with none missing. */
  follows(events: ReadonlyArray<WireEvent>, { epoch, offset }: Position): boolean {
    return epoch === this.epoch && offset === this.#end + events.length &&
      events.every((event, index) => event.offset === this.#end + index + 1)
  }

  /** Adds what follows, and gives it as the text of a frame. */
  add(events: ReadonlyArray<WireEvent>): string {
    const added = events.map((event) => ({ offset: event.offset, text: JSON.stringify(event) }))
    this.#events.push(...added)
    this.#end += events.length
    for (const { text } of added) this.#chars += text.length
    while (this.#events.length > maxEvents || this.#chars > maxChars) {
      const [first] = this.#events.splice(0, 1)
      if (first === undefined) break
      this.#base = first.offset
      this.#chars -= first.text.length
    }
    return frameOf(this.epoch, added)
  }

  /** Whether it has all that follows a position: `later` where the position is still to come. */
  has({ epoch, offset }: Position): "all" | "not" | "later" {
    if (epoch !== this.epoch || offset < this.#base) return "not"
    return offset > this.#end ? "later" : "all"
  }

  /** The frames that bring a tab from there to the end. */
  after(position: Position): ReadonlyArray<string> {
    const events = this.#events.filter(({ offset }) => offset > position.offset)
    return events.length === 0 ? [] : [frameOf(this.epoch, events)]
  }
}

const frameOf = (epoch: string, events: ReadonlyArray<Kept>): string =>
  `{"type":"events","epoch":${JSON.stringify(epoch)},"events":[${events.map(({ text }) => text).join(",")}]}`
