/**
 * How long does a quiet user's critical event take to be in the log beside a user who emits as fast as it can, or beside
 * one whose events Redis refuses, and how long without that neighbour?
 *
 * Both emit in one process, through one engine. The time counts from when the event was due, so that an event loop that
 * the neighbour keeps busy is no excuse. Each of the quiet user's events must be in the log.
 */
import { Duration, Effect, Fiber, Layer, ManagedRuntime, Record } from "effect"
import { AgentEvents, Broker, EmitterLayer, Emitters, Event } from "../src/index.ts"
import { RedisBroker } from "../src/broker/redis/index.ts"
import { seconds } from "./harness/clock.ts"
import { check, compare, type Comparison, type Figure, type Question, type Settings } from "./harness/question.ts"
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
  return Effect.sync(() => emitted)
})

/** Emits critical events that Redis refuses, until it is interrupted, and tells how many appends have failed. */
const trouble = (spoil: (user: string) => Promise<void>) =>
  Effect.gen(function*() {
    const emitters = yield* Emitters
    const { emit } = yield* emitters.forUser({ userId: "troubled" })
    // It is spoilt anew, since the broker may mend it.
    yield* Effect.forkScoped(Effect.forever(Effect.promise(() => spoil("troubled"))))
    yield* Effect.forkScoped(Effect.forever(Effect.suspend(() => emit(Event.critical(note(0))))))
    return Effect.map(emitters.stats, ({ delivery }) => delivery.appendFailures)
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

/** What a neighbour does while the quiet user emits. Its count must have grown by so many for each event of the quiet one. */
interface Neighbour {
  readonly start: typeof flood
  readonly each: number
}

const contestant = <E>(
  broker: Layer.Layer<Broker.Broker, E>,
  neighbour: Neighbour | undefined,
  count: number
): Contestant =>
async () => {
  const engine = ManagedRuntime.make(EmitterLayer().pipe(Layer.provide(broker)))
  try {
    const measure = Effect.scoped(Effect.gen(function*() {
      const done = neighbour === undefined ? Effect.succeed(0) : yield* neighbour.start
      yield* probe(50)
      const before = yield* done
      const latencies = yield* probe(count)
      if (neighbour !== undefined) {
        check(
          (yield* done) - before > neighbour.each * count,
          `the neighbour did too little: ${(yield* done) - before}`
        )
      }
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
  neighbours: Readonly<Record<string, Neighbour>>,
  settings: Settings
): Promise<ReadonlyArray<Comparison>> => {
  const count = settings.quick ? 200 : 600
  const { alone, ...besides } = await interleave(
    { alone: contestant(broker, undefined, count), ...Record.map(neighbours, (one) => contestant(broker, one, count)) },
    "seconds",
    settings.quick ? { rounds: 3, warmUps: 1 } : { rounds: 5, warmUps: 1 },
    settings
  )
  return Object.values<Figure>(besides).map((figure) =>
    compare(`${name}: p99 of a quiet user's critical event ${figure.contestant}`, figure, alone)
  )
}

const busy: Neighbour = { start: flood, each: 10 }

export const question: Question = {
  asks: "a quiet user beside one who emits as fast as it can, or whose events are refused",
  answer: async (settings) => {
    const memory = await compareOver("memory", Broker.layerMemory(), { "beside a busy user": busy }, settings)
    const redis = await withRedis(async (start) => {
      const { spoil, url } = await start()
      const refused = { start: trouble(spoil), each: 0 }
      const neighbours = { "beside a busy user": busy, "beside a user whose events are refused": refused }
      return compareOver("Redis", RedisBroker.layer({ url }), neighbours, settings)
    })
    return {
      comparisons: [...memory, ...redis],
      notes: [`The quiet user emits every ${everyMs} ms. Each time counts from when the event was due.`]
    }
  }
}
