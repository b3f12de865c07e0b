/**
 * A text that grows at its end, piece by piece, and of which the last
 * characters are kept.
 *
 * Texts that are added to each other one by one stay a chain of all their pieces
 * in the engine's memory, several times as large as what they say. Here pieces
 * wait, a few at a time, and are then joined into one text. So it takes little
 * more than its characters do, and each piece costs the copying of about 256
 * characters at most, however long the text is.
 *
 * @since 0.1.0
 */

/**
 * What a text takes besides its characters, in bytes.
 *
 * @category limits
 * @since 0.1.0
 */
export const textOverhead = 24

// A piece that waits is a string of its own, and a place in a list.
const pieceOverhead = textOverhead + 8

/**
 * Whether engines keep two bytes for each of its characters.
 *
 * @category checks
 * @since 0.2.0
 */
export const isWide = (text: string): boolean => /[\u0100-\uffff]/.test(text)

// A part of a text keeps the whole of it alive; joined to something it does not.
const copy = (text: string): string => [text.slice(0, 1), text.slice(1)].join("")

/**
 * The last `max` characters, one fewer where the cut would halve a surrogate
 * pair. It keeps nothing alive of what was cut off.
 *
 * @category conversions
 * @since 0.1.0
 */
export const tail = (text: string, max: number): string => text.length <= max ? text : copy(lastOf(text, max))

const lastOf = (text: string, max: number): string => {
  if (text.length <= max) return text
  const start = text.length - max
  const halvesPair = /^[\uD800-\uDBFF][\uDC00-\uDFFF]$/.test(text.slice(start - 1, start + 1))
  return text.slice(halvesPair ? start + 1 : start)
}

/**
 * One text that grows at its end, and keeps the last part of itself.
 *
 * @category models
 * @since 0.1.0
 */
export class GrowingText {
  readonly #max: number
  // All but the first wait to be joined to it.
  #pieces: Array<string>
  #waiting = 0
  #isCut: boolean
  #isWide: boolean
  #held: number

  /**
   * Keeps the last `max` characters. `isCut` says that the text is the end of a
   * longer one.
   */
  constructor(text: string, max: number, isCut = false) {
    this.#max = max
    this.#pieces = [text]
    this.#isCut = isCut
    this.#isWide = isWide(text)
    this.#held = text.length
    if (text.length > max + max / 8) this.#join()
  }

  /** How many of the last characters there are, `max` at most. One that a cut through a pair has cost counts as well. */
  get length(): number {
    return this.#isCut && this.#held === this.#max - 1 ? this.#max : Math.min(this.#held, this.#max)
  }

  /** Whether something came before these characters. */
  get isTruncated(): boolean {
    return this.#isCut || this.#held > this.#max
  }

  /** About what it takes in memory, in bytes. */
  get bytes(): number {
    return textOverhead + (this.#isWide ? 2 : 1) * this.#held + pieceOverhead * this.#pieces.length
  }

  append(piece: string): void {
    if (!this.#isWide && isWide(piece)) this.#isWide = true
    this.#pieces.push(piece)
    this.#held += piece.length
    this.#waiting += piece.length
    const joined = this.#held - this.#waiting
    if (this.#pieces.length > Math.max(16, joined / 256) || this.#waiting > Math.max(4096, joined / 4)) this.#join()
  }

  /** The last characters, as one text. It may keep alive the eighth before them, which is held here as well. */
  get text(): string {
    this.#join()
    return lastOf(this.#pieces[0] ?? "", this.#max)
  }

  #join(): void {
    const all = this.#pieces.length === 1 ? this.#pieces[0] ?? "" : this.#pieces.join("")
    this.#pieces = [all]
    this.#waiting = 0
    // Cut only now and then, so that a long text does not copy itself at each piece.
    if (all.length > this.#max + this.#max / 8) this.#keep(tail(all, this.#max))
  }

  #keep(end: string): void {
    this.#pieces = [end]
    this.#isCut = true
    this.#isWide = isWide(end)
    this.#held = end.length
  }
}
