/**
 * What the ending of a run says whose process is gone. It loads no Effect, so that a
 * thread that writes endings need not.
 *
 * @since 0.2.0
 */
import * as RunEvents from "../../protocol/event/RunEvents.ts"

/**
 * What the ending says: asking again may help.
 *
 * @category models
 * @since 0.1.0
 */
export const data = RunEvents.lost("The process that ran this run is gone")

/**
 * The body of the event, see `Envelope`.
 *
 * @category constructors
 * @since 0.2.0
 */
export const bodyOf = (options: {
  readonly id: string
  readonly at: number
  readonly run: string
  readonly thread: string | undefined
}): string => {
  const { at, id, run, thread } = options
  return JSON.stringify({ id, type: RunEvents.failed, at, run, thread, data }).slice(1)
}
