/**
 * What the operator is told of trouble that devices come back with: each kind of it
 * once a minute, with how often it came since.
 *
 * @since 0.1.0
 */
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { BrokerError } from "../broker/BrokerError.ts"
import * as Monotonic from "../protocol/values/Monotonic.ts"

/**
 * Logs a line, unless its `kind` was told of within the last minute.
 *
 * @category models
 * @since 0.1.0
 */
export type OperatorLog = (
  kind: string,
  line: string,
  log: (message: string) => Effect.Effect<void>
) => Effect.Effect<void>

/**
 * Makes a log that writes a line of one kind at most once in a while, and counts
 * what it left out.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (clock: Clock.Clock): OperatorLog => {
  const told = new Map<string, { readonly at: number; since: number }>()
  return (kind, line, log) =>
    Effect.suspend(() => {
      const now = Monotonic.millisUnsafe(clock)
      const last = told.get(kind)
      if (last !== undefined && now - last.at < everyMs) {
        last.since++
        return Effect.void
      }
      told.set(kind, { at: now, since: 0 })
      return log(
        last === undefined || last.since === 0 ? line : `${line} (and ${last.since} more like it since the last word)`
      )
    })
}

/**
 * Tells that a broker did not do what a device needs.
 *
 * @category operations
 * @since 0.2.0
 */
export const tellUnserved = (tell: OperatorLog, error: BrokerError): Effect.Effect<void> =>
  tell(error.reason._tag, "A device could not be served", (line) => Effect.logError(line, error))

const everyMs = 60_000
