/**
 * How fast the agent goes. It would be done in milliseconds; a reader would not.
 */
import { Context } from "effect"
import type { Duration } from "effect"

/**
 * `step` is the pause after each step of the agent, `word` the pause after each word of its answer. Time passes through
 * `Clock`, so tests need not wait.
 */
export interface Pace {
  readonly step: Duration.Input
  readonly word: Duration.Input
}

/** The pace of the runs that are started with it; for readers by default. */
export const Pace = Context.Reference<Pace>("effect-emitter/demo/Pace", {
  defaultValue: () => times(1)
})

/** So many times as fast as for readers. */
export const times = (factor: number): Pace => ({ step: 700 / factor, word: 60 / factor })
