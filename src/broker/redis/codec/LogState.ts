/**
 * What is known of a log, as one text: the field ` ` of its `meta`.
 *
 * It is one text so that the most frequent append reads it by one command and writes it
 * by another. It is the only place of what it tells, so that no script can leave half of
 * it as it was.
 *
 * With a space between them stand
 *
 * - the `last` offset, the `bytes` of what is served, the number of `blocks` of the
 *   stream, the `checkpoint` up to which runs are folded;
 * - until when, up to which offset and how many bytes the log may be appended to without
 *   a look at its bounds (`till`, `mostLast`, `mostBytes`), and between them when the
 *   time to live was renewed (`touched`);
 * - the `first` offset that is served, its age (`since`), the bytes kept only to be
 *   folded (`linger`);
 * - the offsets at which runs were folded last (`folded`), and at which `sources` was
 *   written last (`sourced`): these keys repeat them, which tells whether they are of the
 *   same time (see `LogLua`);
 * - how many runs are `active`, and how many ended that are remembered (`ended`);
 * - the `server` that the log began on, and the `limits` under which it was written last
 *   (four numbers, see `LogLua`), its `epoch`;
 * - the numbers `taken` of the source of the last event (`from-to,from-to`), and that
 *   `source`, which may have spaces in it. Both are empty where there is none.
 *
 * @since 0.2.0
 */

/**
 * The numbers of a log, in the order in which they stand.
 *
 * @category constants
 * @since 0.2.0
 */
export const numbers = [
  "last",
  "bytes",
  "blocks",
  "checkpoint",
  "till",
  "touched",
  "mostLast",
  "mostBytes",
  "first",
  "since",
  "linger",
  "folded",
  "sourced",
  "active",
  "ended"
] as const

/**
 * What stands behind the numbers, in order.
 *
 * @category constants
 * @since 0.2.0
 */
export const texts = ["server", "limits", "epoch", "taken", "source"] as const

const pattern = new RegExp(
  `^${numbers.map(() => "\\d+ ").join("")}\\S+ \\d+ \\d+ \\d+ \\d+ \\S+ (?<taken>\\S*) (?<source>.*)$`,
  "su"
)

/**
 * The numbers that were taken of a source, if it is that of the last event.
 *
 * @category getters
 * @since 0.2.0
 */
export const takenOf = (state: string, source: string): string | undefined => {
  const found = pattern.exec(state)?.groups
  return found?.["source"] === source ? found["taken"] : undefined
}
