/**
 * What does a user's emitter cost: to make and close one, and to keep 100,000 that do nothing?
 */
import { Effect, Exit, Scope } from "effect"
import { Emitter } from "../src/index.ts"
import { startWatch } from "./harness/clock.ts"
import { type Engine, withEngine } from "./harness/engine.ts"
import { check, compare, figureAtMost, type Question } from "./harness/question.ts"
import { collectGarbage, interleave, roundsFor } from "./harness/rounds.ts"
import { context, userOf } from "./harness/workload.ts"

const makeAndClose = (engine: Engine, contexts: ReadonlyArray<ReturnType<typeof context>>) =>
  engine.runPromise(Effect.gen(function*() {
    const emitters = yield* Emitter.Emitters
    const stop = startWatch()
    for (const wanted of contexts) {
      const made = yield* Effect.scoped(emitters.forUser(wanted))
      check(made.context.userId === wanted.userId, "the emitter is another user's")
    }
    return stop() / contexts.length
  }))

const emptyScopes = (engine: Engine, count: number) =>
  engine.runPromise(Effect.gen(function*() {
    const stop = startWatch()
    for (let index = 0; index < count; index++) yield* Effect.scoped(Effect.addFinalizer(() => Effect.void))
    return stop() / count
  }))

/** Heap bytes that each of `count` things holds on to, made by `make` and kept until they were counted. */
const heapOfEach = async (count: number, make: (index: number) => Effect.Effect<unknown>) => {
  collectGarbage()
  const before = process.memoryUsage().heapUsed
  const kept = await Effect.runPromise(Effect.gen(function*() {
    const made = new Array<unknown>(count)
    for (let index = 0; index < count; index++) made[index] = yield* make(index)
    return made
  }))
  collectGarbage()
  const bytes = (process.memoryUsage().heapUsed - before) / count
  check(kept.length === count, "not all are kept")
  return bytes
}

const heapOfEmitters = async (engine: Engine, count: number) => {
  const emitters = await engine.runPromise(Emitter.Emitters)
  const scopes: Array<Scope.Closeable> = []
  const bytes = await heapOfEach(count, (index) =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      scopes.push(scope)
      return yield* emitters.forUser(context(userOf(index))).pipe(Scope.provide(scope), Effect.orDie)
    }))
  await Effect.runPromise(Effect.forEach(scopes, (scope) => Scope.close(scope, Exit.void), { discard: true }))
  return bytes
}

const heapOfScopes = (count: number) => {
  const scopes: Array<Scope.Closeable> = []
  return heapOfEach(count, (index) =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      scopes.push(scope)
      yield* Scope.addFinalizer(scope, Effect.void)
      return context(userOf(index))
    }))
}

export const question: Question = {
  asks: "make and close a user's emitter, and keep idle ones",
  answer: (settings) =>
    withEngine(async (engine) => {
      const made = settings.quick ? 5_000 : 50_000
      const kept = settings.quick ? 20_000 : 100_000
      const contexts = Array.from({ length: made }, (_, index) => context(userOf(index)))
      const time = await interleave(
        {
          "effect-emitter": () => makeAndClose(engine, contexts),
          "an empty scope": () => emptyScopes(engine, made)
        },
        "seconds",
        roundsFor(settings),
        settings
      )
      const heap = await interleave(
        {
          "effect-emitter": () => heapOfEmitters(engine, kept),
          "an empty scope and the ids": () => heapOfScopes(kept)
        },
        "bytes",
        { rounds: settings.quick ? 2 : 5, warmUps: 1 },
        settings
      )
      return {
        comparisons: [
          compare("make and close an emitter", time["effect-emitter"], time["an empty scope"], figureAtMost(10e-6)),
          compare(
            `heap of each of ${kept.toLocaleString("en")} idle emitters`,
            heap["effect-emitter"],
            heap["an empty scope and the ids"],
            figureAtMost(1024)
          )
        ],
        notes: ["an emitter's heap includes its scope and the ids of its context"]
      }
    })
}
