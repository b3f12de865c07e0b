import { assert, describe as group, it } from "@effect/vitest"
import { Effect } from "effect"
import { describe, simulate } from "./simulate.ts"

group("the promises hold through random schedules", () => {
  // Schedules that once broke a promise. How a seed is played changes with the steps there are, so each has a test of its
  // own elsewhere as well.
  for (const seed of [73953]) {
    it.live(`of seed ${seed}, which once broke one`, () =>
      Effect.gen(function*() {
        const failure = yield* simulate({ from: seed, count: 1 })
        assert.isUndefined(failure, failure === undefined ? "" : describe(failure))
      }), 60_000)
  }

  // `npm run simulate` goes on from here, as far as one likes.
  for (const from of [0, 100, 200]) {
    it.live(`of the seeds ${from} to ${from + 99}`, () =>
      Effect.gen(function*() {
        const failure = yield* simulate({ from, count: 100 })
        assert.isUndefined(failure, failure === undefined ? "" : describe(failure))
      }), 60_000)
  }
})
