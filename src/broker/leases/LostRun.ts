/**
 * The ending of a run whose process is gone, as the broker itself writes it.
 *
 * @since 0.1.0
 */
import { EventId, type RunId, type ThreadId } from "../../protocol/values/Identity.ts"
import type { Envelope } from "../../protocol/wire/Envelope.ts"
import * as RunEvents from "../../protocol/event/RunEvents.ts"
import * as LostEnding from "./LostEnding.ts"

export { data } from "./LostEnding.ts"

/**
 * An `agent_error` with reason `lost`. `source` must be of this one event: what
 * keeps a run from two endings is that it is active, not the id of an event.
 *
 * @category constructors
 * @since 0.1.0
 */
export const ending = (options: {
  readonly run: RunId
  readonly thread: ThreadId | undefined
  readonly source: string
  readonly at: number
}): Envelope => {
  const { run, source, thread } = options
  const at = Math.floor(options.at)
  const id = EventId.make(`${source}1`)
  const body = LostEnding.bodyOf({ id, at, run, thread })
  return {
    id,
    source,
    sequence: 1,
    type: RunEvents.failed,
    delivery: "critical",
    at,
    run,
    thread,
    confirm: false,
    body,
    bytes: Buffer.byteLength(body),
    data: LostEnding.data
  }
}
