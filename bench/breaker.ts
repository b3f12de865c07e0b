/**
 * How many calls per second go through a closed circuit breaker, each of which succeeds at once?
 *
 * Beside this package's breaker stand that of `effect/persistence`, with its state in memory, and the bare call.
 */
import { Effect } from "effect"
import { CircuitBreaker as PersistedBreaker } from "effect/persistence"
import * as CircuitBreaker from "../src/emitter/resilience/CircuitBreaker.ts"
import { startWatch } from "./harness/clock.ts"
import { check, compare, type Question } from "./harness/question.ts"
import { interleave, roundsFor } from "./harness/rounds.ts"

const callsPerSecond = <E>(count: number, through: (call: Effect.Effect<number>) => Effect.Effect<number, E>) =>
  Effect.gen(function*() {
    let made = 0
    const call = through(Effect.sync(() => ++made))
    const stop = startWatch()
    for (let index = 0; index < count; index++) yield* call
    const spent = stop()
    check(made === count, `${made} of ${count} calls were made`)
    return count / spent
  })

export const question: Question = {
  asks: "calls through a closed circuit breaker",
  answer: async (settings) => {
    const count = settings.quick ? 100_000 : 500_000
    const ours = await Effect.runPromise(
      CircuitBreaker.make("bench", { failures: 5, openFor: { first: "5 seconds", cap: "30 seconds" } })
    )
    const theirs = await Effect.runPromise(
      PersistedBreaker.make({ tripPolicy: PersistedBreaker.consecutive(5), openDuration: "5 seconds" }).pipe(
        Effect.provide(PersistedBreaker.layerStoreMemory()),
        Effect.scoped
      )
    )
    const figures = await interleave(
      {
        "this package": () => Effect.runPromise(callsPerSecond(count, ours.run)),
        "effect/persistence": () => Effect.runPromise(callsPerSecond(count / 10, theirs.execute({ key: "bench" }))),
        "no breaker": () => Effect.runPromise(callsPerSecond(count, (call) => call))
      },
      "per second",
      roundsFor(settings),
      settings
    )
    return {
      comparisons: [
        compare("calls through a closed breaker", figures["this package"], figures["effect/persistence"]),
        compare("calls through a closed breaker", figures["this package"], figures["no breaker"])
      ],
      notes: []
    }
  }
}
