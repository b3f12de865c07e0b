/**
 * Runs schedules and holds each to the promises. A schedule that breaks one is cut down to the steps that it takes.
 */
import { Cause, Effect, Exit, Layer, Logger, Random, Scope } from "effect"
import { Names } from "../../src/index.ts"
import { TestClock } from "effect/testing"
import { Broken } from "./Facts.ts"
import { Promises } from "./Promises.ts"
import { type Schedule, scheduleOf, type Step } from "./Schedule.ts"
import { WallClock } from "../support/wallClock.ts"
import { type Plant, World } from "./World.ts"

export interface Failure {
  readonly schedule: Schedule
  readonly promise: string
  readonly what: string
  /** The step after which it was found; the number of steps, if it was found at rest. */
  readonly at: number
}

const play = (schedule: Schedule, at: { step: number }, plant: Plant | undefined) =>
  Effect.gen(function*() {
    const world = yield* World.make(schedule.setting, schedule.seed, plant)
    const promises = new Promises(world)
    for (const [index, step] of schedule.steps.entries()) {
      at.step = index
      yield* world.step(step)
      promises.check(yield* world.load)
    }
    at.step = schedule.steps.length
    yield* world.recover
    promises.check(yield* world.load)
    promises.checkAtRest()
    yield* world.restart
    promises.check(yield* world.load)
  }).pipe(
    // Never closed: what still waits on the clock of a schedule that failed would wait for ever.
    Scope.provide(Scope.makeUnsafe()),
    Effect.provide(Layer.merge(Layer.provideMerge(WallClock.layer, TestClock.layer()), Logger.layer([]))),
    Random.withSeed(schedule.seed),
    Effect.provideService(Names.Names, Names.sequence("sim"))
  )

/** How a schedule breaks a promise, if it does. */
export const run = (schedule: Schedule, plant?: Plant): Effect.Effect<Failure | undefined> =>
  Effect.suspend(() => {
    const at = { step: 0 }
    return Effect.map(Effect.exit(play(schedule, at, plant)), (exit): Failure | undefined => {
      if (Exit.isSuccess(exit)) return undefined
      const error = Cause.squash(exit.cause)
      return error instanceof Broken
        ? { schedule, promise: error.promise, what: error.message, at: at.step }
        : { schedule, promise: "none", what: Cause.pretty(exit.cause), at: at.step }
    })
  })

/** The same failure with as few steps as can be found. */
export const shrink = (failure: Failure): Effect.Effect<Failure> =>
  Effect.gen(function*() {
    let smallest = failure
    const attempt = Effect.fnUntraced(function*(steps: ReadonlyArray<Step>) {
      const again = yield* run({ ...smallest.schedule, steps })
      if (again?.promise !== failure.promise) return false
      smallest = again
      return true
    })
    yield* attempt(failure.schedule.steps.slice(0, failure.at + 1))
    for (let size = Math.ceil(smallest.schedule.steps.length / 2); size >= 1; size = Math.floor(size / 2)) {
      for (let start = smallest.schedule.steps.length - size; start >= 0; start -= size) {
        const { steps } = smallest.schedule
        yield* attempt([...steps.slice(0, start), ...steps.slice(start + size)])
      }
    }
    return smallest
  })

export const describe = ({ promise, schedule, what }: Failure): string =>
  [
    `seed ${schedule.seed} breaks ${promise}: ${what}`,
    `setting ${JSON.stringify(schedule.setting)}`,
    ...schedule.steps.map((step, index) => `${String(index + 1).padStart(3)} ${JSON.stringify(step)}`)
  ].join("\n")

/** Runs the schedules of `count` seeds, and gives the first failure, cut down. `onSeed` is told of each that passed. */
export const simulate = (options: {
  readonly from: number
  readonly count: number
  readonly onSeed?: (seed: number) => void
}): Effect.Effect<Failure | undefined> =>
  Effect.gen(function*() {
    for (let seed = options.from; seed < options.from + options.count; seed++) {
      const failure = yield* run(scheduleOf(seed))
      if (failure !== undefined) return yield* shrink(failure)
      options.onSeed?.(seed)
    }
    return undefined
  })
