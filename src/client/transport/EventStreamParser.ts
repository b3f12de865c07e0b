/**
 * Reads `text/event-stream`: events, comments and ids out of text that comes in
 * pieces of any size.
 *
 * It is written here, and not taken from a library, since a page loads it: it is a
 * third of the size of one. A piece costs what it is long, however long the line is
 * that it belongs to. A byte order mark is left to the decoder of the text, and
 * `retry` is left out: a session has its own waits.
 *
 * @see https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
 * @since 0.1.0
 */

/**
 * An event of a stream. `event` is its type, `id` the one that came with it.
 *
 * @category models
 * @since 0.1.0
 */
export interface StreamedEvent {
  readonly data: string
  readonly event: string | undefined
  readonly id: string | undefined
}

/**
 * Who is told what was read. `onIdAlone`: an id came without an event.
 *
 * @category models
 * @since 0.1.0
 */
export interface Listener {
  readonly onIdAlone: (id: string) => void
  readonly onEvent: (event: StreamedEvent) => void
  readonly onComment: () => void
}

/**
 * Makes what takes the pieces of one stream.
 *
 * @category constructors
 * @since 0.1.0
 */
export const eventStreamParser = ({ onComment, onEvent, onIdAlone }: Listener): (piece: string) => void => {
  let line: Array<string> = []
  let endedByCr = false
  let data: Array<string> = []
  let event: string | undefined
  let id: string | undefined

  const take = (text: string): void => {
    if (text === "") {
      const ended = { data: data.join("\n"), event, id }
      const isEvent = data.length > 0
      data = []
      event = id = undefined
      if (isEvent) onEvent(ended)
      else if (ended.id !== undefined) onIdAlone(ended.id)
      return
    }
    const colon = text.indexOf(":")
    if (colon === 0) return onComment()
    const [name, value] = colon < 0
      ? [text, ""]
      : [text.slice(0, colon), text.slice(text[colon + 1] === " " ? colon + 2 : colon + 1)]
    if (name === "data") data.push(value)
    else if (name === "event") event = value === "" ? undefined : value
    else if (name === "id" && !value.includes("\0")) id = value
  }

  return (piece) => {
    if (piece === "") return
    // A line that ended with the piece before may have ended by both.
    const text = endedByCr && piece[0] === "\n" ? piece.slice(1) : piece
    endedByCr = piece.endsWith("\r")
    const [rest = "", ...next] = text.split(/\r\n|\r|\n/)
    line.push(rest)
    for (const begun of next) {
      const whole = line.join("")
      line = [begun]
      take(whole)
    }
  }
}
