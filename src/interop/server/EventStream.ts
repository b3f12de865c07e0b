/**
 * Writes a run as server-sent events: each message of a mapping is one, with the place
 * after it as its id, so that a client can come back to just there.
 *
 * @see https://html.spec.whatwg.org/multipage/server-sent-events.html
 * @since 0.2.0
 */
import * as Stream from "effect/Stream"
import type { Position } from "../../protocol/values/Position.ts"
import * as PositionText from "../../protocol/values/PositionText.ts"
import type { Mapping } from "../Mapping.ts"
import type { RunItem } from "../RunItem.ts"

/**
 * A place in a stream: behind the event at `position`, or where `sent` is given, behind
 * so many of the messages that this event makes.
 *
 * @category models
 * @since 0.2.0
 */
export interface Cursor {
  readonly position: Position
  readonly sent: number | undefined
}

/**
 * Reads the id of a message: `<epoch>:<offset>`, with `.<sent>` behind it in the middle
 * of an event's messages; `undefined` when the text is none.
 *
 * @category conversions
 * @since 0.2.0
 */
export const cursorOf = (id: string): Cursor | undefined => {
  const [, place = "", digits] = /^(.+?)(?:\.([1-9][0-9]{0,5}))?$/u.exec(id) ?? []
  const position = PositionText.fromText(place)
  return position === undefined ? undefined : { position, sent: digits === undefined ? undefined : Number(digits) }
}

/**
 * The position up to which everything was sent.
 *
 * @category conversions
 * @since 0.2.0
 */
export const knownUpTo = ({ position: { epoch, offset }, sent }: Cursor): Position => ({
  epoch,
  offset: sent === undefined ? offset : offset - 1
})

/**
 * Writes items as server-sent events, behind the place where the client is, until there
 * is no more or the mapping is over.
 *
 * @category encoders
 * @since 0.2.0
 */
export const encode = <State, Message>(
  { initial, isOver = () => false, next }: Mapping<State, Message>,
  toData: (message: Message) => string,
  cursor?: Cursor
) =>
<E, R>(items: Stream.Stream<RunItem, E, R>): Stream.Stream<string, E, R> =>
  items.pipe(
    Stream.mapAccum(() => initial, (state, item) => {
      const [after, messages] = next(state, item)
      const texts = item._tag === "Event" && item.isKnown ? [] : write(item, messages.map(toData), cursor)
      return [after, [{ texts, isLast: isOver(after) }]] as const
    }),
    Stream.takeUntil(({ isLast }) => isLast),
    Stream.flatMap(({ texts }) => Stream.fromIterable(texts))
  )

const write = (item: RunItem, data: ReadonlyArray<string>, cursor: Cursor | undefined): ReadonlyArray<string> => {
  if (item._tag === "Missing") return data.map(toText)
  const place = PositionText.toText(item.position)
  const first = cursor?.sent !== undefined && PositionText.toText(cursor.position) === place ? cursor.sent : 0
  return data.slice(first).map((text, index) => {
    const sent = first + index + 1
    if (sent === data.length) return `id: ${place}\n${toText(text)}`
    // What a snapshot makes stands for no event, so nobody can come back to the middle of it.
    return item._tag === "Event" ? `id: ${place}.${sent}\n${toText(text)}` : toText(text)
  })
}

const toText = (data: string): string => `data: ${data}\n\n`

/**
 * A comment that keeps a stream open.
 *
 * @category encoders
 * @since 0.2.0
 */
export const heartbeat = ": \n\n"
