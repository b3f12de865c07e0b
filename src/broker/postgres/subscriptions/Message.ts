/**
 * What processes tell each other by NOTIFY: lines of fields, behind the name of the
 * process that tells them.
 *
 * | line | tells |
 * |---|---|
 * | `e user epoch offset critical?` | that a log goes as far, and whether a critical event is among what is new |
 * | `a user epoch offset` | that an event was acknowledged |
 * | `r user time` | that access was revoked |
 * | `l user milliseconds` | for how long events are late |
 * | `m process user number` | that a command waits for a process |
 * | `o processes user id digest outcome` | what became of a command |
 * | `c number` | nothing: whoever sent it looks whether it comes back |
 *
 * Each is a hint: what is lost is found by looking.
 *
 * @since 0.2.0
 */
import * as Schema from "effect/Schema"

/**
 * Commands that were decided: who is to be told, user, id, digest and outcome of each.
 *
 * @category models
 * @since 0.2.0
 */
export const Told = Schema.Array(
  Schema.Tuple([Schema.Array(Schema.String), Schema.String, Schema.String, Schema.String, Schema.String])
)

/**
 * A line, by its fields.
 *
 * @category models
 * @since 0.2.0
 */
export type Line = ReadonlyArray<string>

// Postgres refuses a payload of 8000 bytes.
const maxBytes = 7_900

/**
 * Puts lines into as few payloads as they fit in. A line that is too long for one is
 * left out.
 *
 * @category conversions
 * @since 0.2.0
 */
export const toPayloads = (from: string, lines: Iterable<Line>): ReadonlyArray<string> => {
  const payloads: Array<string> = []
  let payload = from
  let bytes = Buffer.byteLength(from)
  for (const line of lines) {
    const text = `\n${line.join("\t")}`
    const more = Buffer.byteLength(text)
    if (Buffer.byteLength(from) + more > maxBytes) continue
    if (bytes + more > maxBytes) {
      payloads.push(payload)
      payload = from
      bytes = Buffer.byteLength(from)
    }
    payload += text
    bytes += more
  }
  if (payload !== from) payloads.push(payload)
  return payloads
}

/**
 * Who told it, and the lines.
 *
 * @category conversions
 * @since 0.2.0
 */
export const fromPayload = (payload: string): { readonly from: string; readonly lines: ReadonlyArray<Line> } => {
  const [from = "", ...lines] = payload.split("\n")
  return { from, lines: lines.map((line) => line.split("\t")) }
}
