import { assert, describe as group, it } from "@effect/vitest"
import { Effect } from "effect"
import { known } from "./schedules.ts"
import { describe, run, simulate } from "./simulate.ts"

group("schedules that once broke a promise", () => {
  for (const { name, schedule } of known) {
    it.live(name, () =>
      Effect.gen(function*() {
        const failure = yield* run(schedule)
        assert.isUndefined(failure, failure === undefined ? "" : describe(failure))
      }), 120_000)
  }
})

group("the promises hold through random schedules", () => {
  // Some that once broke a promise, in more steps than a list is worth.
  for (const from of [73_953, 970_013_930, 970_047_838]) {
    it.live(`of seed ${from}, which once broke one`, () =>
      Effect.gen(function*() {
        const failure = yield* simulate({ from, count: 1 })
        assert.isUndefined(failure, failure === undefined ? "" : describe(failure))
      }), 120_000)
  }

  // `npm run simulate` goes on from here, as far as one likes.
  for (const from of [0, 100, 200]) {
    it.live(`of the seeds ${from} to ${from + 99}`, () =>
      Effect.gen(function*() {
        const failure = yield* simulate({ from, count: 100 })
        assert.isUndefined(failure, failure === undefined ? "" : describe(failure))
      }), { tags: from === 0 ? [] : ["storm"], timeout: 120_000 })
  }
})
