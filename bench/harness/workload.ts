/**
 * The events all contestants carry, made from a number so that a receiver can tell what it must have received.
 */
import * as Schema from "effect/Schema"
import { Event } from "../../src/index.ts"

export const Payload = Schema.Struct({ text: Schema.String, step: Schema.Natural })

export type Payload = typeof Payload.Type

/**
 * The payload of `agent_thinking` under a name that is batched and never merged.
 */
export const Noted = Event.make("bench_noted", { payload: Payload.fields, delivery: "batched" })

/**
 * The same payload in a critical event that needs no run.
 */
export const Marked = Event.make("bench_marked", { payload: Payload.fields, delivery: "critical" })

/**
 * A critical event that tells, in seconds of the machine's monotonic clock, when it was emitted.
 */
export const Probe = Event.make("bench_probe", {
  payload: { ...Payload.fields, sentAt: Schema.Finite },
  delivery: "critical"
})

const words = [
  "the",
  "agent",
  "looks",
  "for",
  "\"ordered\"",
  "streams",
  "in",
  "chapter",
  "seven",
  "and",
  "finds",
  "Größe",
  "of",
  "each",
  "window,",
  "then",
  "compares",
  "two",
  "answers",
  "line\n",
  "by",
  "line",
  "—",
  "again"
]

const texts = Array.from({ length: 1024 }, (_, index) => {
  const length = 6 + index % 9
  return Array.from({ length }, (_, at) => words[(index * 7 + at * (1 + index % 5)) % words.length]).join(" ")
})

/**
 * The text of the event with this number: 20 to 90 characters, some of which JSON must escape or UTF-8 must widen.
 */
export const textOf = (step: number): string => texts[step % texts.length] ?? ""

export const payloadOf = (step: number): Payload => ({ text: textOf(step), step })

/**
 * Who the events belong to.
 */
export const context = (user: string) => ({ userId: user, threadId: "thread-1", runId: `run-${user}` })

export const userOf = (index: number): string => `user-${index}`
