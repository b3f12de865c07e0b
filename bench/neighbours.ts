/**
 * How long does a quiet user's critical event take to be in the log beside a user who emits as fast as it can, and how
 * long without that neighbour?
 *
 * Both emit in one process, through one engine. The time counts from when the event was due, so that an event loop that
 * the neighbour keeps busy is no excuse.
 */
import { Duration, Effect, Fiber, Layer, ManagedRuntime } from "effect"
import { AgentEvents, Broker, EmitterLayer, Emitters, Event } from "../src/index.ts"
import { RedisBroker } from "../src/broker/redis/index.ts"
import { seconds } from "./harness/clock.ts"
import { check, compare, type Comparison, type Question, type Settings } from "./harness/question.ts"
import { withRedis } from "./harness/redis.ts"
import { type Contestant, interleave } from "./harness/rounds.ts"
import { quantile } from "./harness/statistics.ts"

const everyMs = 5

const note = (n: number) => AgentEvents.Custom.make({ name: "bench_noted", data: n })

/** Emits without a pause until it is interrupted, and tells how many events that were. */
const flood = Effect.gen(function*() {
  const { emit } = yield* (yield* Emitters).forUser({ userId: "neighbour" })
  let emitted = 0
  yield* Effect.forkScoped(Effect.forever(Effect.suspend(() => emit(note(emitted++)))))
  return () => emitted
})

/** How long each critical event of a quiet user took, in seconds. */
const probe = Effect.fnUntraced(function*(count: number) {
  const { emit } = yield* (yield* Emitters).forUser({ userId: "quiet" })
  const startedAt = seconds()
  const one = Effect.fnUntraced(function*(index: number) {
    const due = startedAt + index * everyMs / 1_000
    yield* Effect.sleep(Duration.millis(Math.max(0, (due - seconds()) * 1_000)))
    const { _tag } = yield* emit(Event.critical(note(index)))
    check(_tag === "Appended", `the quiet user's event was ${_tag}`)
    return seconds() - due
  })
  const fibers = yield* Effect.forEach(
    Array.from({ length: count }, (_, index) => index),
    (index) => Effect.forkChild(one(index))
  )
  return yield* Effect.forEach(fibers, Fiber.join)
})

const contestant = <E>(
  broker: Layer.Layer<Broker.Broker, E>,
  hasNeighbour: boolean,
  count: number
): Contestant =>
async () => {
  const engine = ManagedRuntime.make(EmitterLayer().pipe(Layer.provide(broker)))
  try {
    const measure = Effect.scoped(Effect.gen(function*() {
      const emitted = hasNeighbour ? yield* flood : () => 0
      yield* probe(50)
      const before = emitted()
      const latencies = yield* probe(count)
      if (hasNeighbour) check(emitted() - before > 10 * count, "the neighbour hardly emitted")
      return quantile(latencies.toSorted((a, b) => a - b), 0.99)
    }))
    return await engine.runPromise(measure)
  } finally {
    await engine.dispose()
  }
}

const compareOver = async <E>(
  name: string,
  broker: Layer.Layer<Broker.Broker, E>,
  settings: Settings
): Promise<Comparison> => {
  const count = settings.quick ? 200 : 600
  const figures = await interleave(
    {
      "beside a neighbour": contestant(broker, true, count),
      alone: contestant(broker, false, count)
    },
    "seconds",
    settings.quick ? { rounds: 3, warmUps: 1 } : { rounds: 5, warmUps: 1 },
    settings
  )
  return compare(`${name}: p99 of a quiet user's critical event`, figures["beside a neighbour"], figures.alone)
}

export const question: Question = {
  asks: "a quiet user beside one who emits as fast as it can",
  answer: async (settings) => {
    const memory = await compareOver("memory", Broker.layerMemory(), settings)
    const redis = await withRedis(async (start) => {
      const { url } = await start()
      return compareOver("Redis", RedisBroker.layer({ url }), settings)
    })
    return {
      comparisons: [memory, redis],
      notes: [`The quiet user emits every ${everyMs} ms. Each time counts from when the event was due.`]
    }
  }
}
