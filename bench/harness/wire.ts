/**
 * The wire events that contestants other than this package send: the same fields, in the same order.
 */
import { context, payloadOf } from "./workload.ts"

export interface WireEvent {
  readonly offset: number
  readonly id: string
  readonly type: string
  readonly at: number
  readonly run: string
  readonly thread: string
  readonly data: object
}

/**
 * An event maker for one user, as a program without this package would write it by hand.
 */
export const wireEvents = (user: string, type: string, idPrefix: string) => {
  const { runId: run, threadId: thread } = context(user)
  let offset = 0
  return (data: object): WireEvent => {
    offset++
    return { offset, id: `${idPrefix}${offset.toString(36)}`, type, at: Date.now(), run, thread, data }
  }
}

/**
 * The wire event that carries the event with this number.
 */
export const numbered = (user: string, type: string) => {
  const make = wireEvents(user, type, "bench-id-")
  return (step: number): WireEvent => make(payloadOf(step))
}
