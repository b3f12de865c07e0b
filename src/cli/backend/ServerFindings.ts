/**
 * What is found of any server that a broker uses: how far its clock differs, and how soon
 * it answers.
 *
 * @since 0.2.0
 */
import * as Duration from "effect/Duration"
import { fault, type Finding, ok, warning } from "../output/Finding.ts"

const tolerableMs = 1_000

/**
 * Of a clock that is so many milliseconds ahead of this machine's.
 *
 * @category constructors
 * @since 0.2.0
 */
export const ofClock = (skewMs: number): Finding =>
  Math.abs(skewMs) <= tolerableMs ? ok("clock", `its clock differs by ${Math.round(skewMs)} ms`) : warning(
    "clock",
    `its clock is ${(Math.abs(skewMs) / 1000).toFixed(1)} s ${skewMs > 0 ? "ahead" : "behind"}`,
    "keep both machines in time (chrony or systemd-timesyncd): tokens, revocations and ages go by their clocks"
  )

const slowMs = 10

/**
 * Of a server that answers within so many milliseconds. `prefix` is that of its settings,
 * `lookFor` what may make it slow.
 *
 * @category constructors
 * @since 0.2.0
 */
export const ofLatency = (
  ms: number,
  { deadline, lookFor, prefix }: {
    readonly deadline: Duration.Duration
    readonly prefix: string
    readonly lookFor: string
  }
): Finding => {
  const text = `it answers in ${ms.toFixed(1)} ms`
  const limit = Duration.toMillis(deadline)
  if (ms > limit / 2) {
    return fault(
      "latency",
      `${text}, and a call fails after ${limit} ms`,
      `move it nearer, or raise ${prefix}_DEADLINE`
    )
  }
  return ms > slowMs
    ? warning("latency", text, `move it nearer: each critical event waits for it; look for ${lookFor}`)
    : ok("latency", text)
}
