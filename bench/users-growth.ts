/**
 * Does an event cost more when there are more users?
 *
 * One fiber emits the same number of events each time, once for one user and once spread over many: critical events
 * each for another user than the one before, batched events in bursts of four for a user. Emitters and logs exist before
 * the clock starts, and a log keeps four events, so that it is full from the beginning and memory does not grow on the
 * way. The bare loop does the same with a ring of four for each user: what grows there, such as the misses of the
 * processor's caches, is not the package's.
 */
import { Effect, Exit, Scope } from "effect"
import { Emitter, type Event } from "../src/index.ts"
import { startWatch } from "./harness/clock.ts"
import { type Engine, headOf, withEngine } from "./harness/engine.ts"
import { type Answer, atMost, check, compare, type Question, type Settings, type Target } from "./harness/question.ts"
import { type Contestant, interleave } from "./harness/rounds.ts"
import { type WireEvent, wireEvents } from "./harness/wire.ts"
import { context, Marked, Noted, type Payload, payloadOf, userOf } from "./harness/workload.ts"

type Bound = Emitter.Emitter["Service"]

const burst = 4
const retained = 4

/** An emitter for each of `count` users, each of which has emitted something. */
const makeBound = (count: number) =>
  Effect.gen(function*() {
    const emitters = yield* Emitter.Emitters
    const bound: Array<Bound> = []
    for (let index = 0; index < count; index++) {
      const emitter = yield* emitters.forUser(context(userOf(index)))
      for (let step = 0; step < retained; step++) yield* emitter.emit(Marked.make(payloadOf(step)))
      bound.push(emitter)
    }
    return bound
  })

/** Seconds per event; the clock stops when the last event is in its log. */
const emitting = (
  bound: ReadonlyArray<Bound>,
  event: (payload: Payload) => Event.Event,
  inARow: number,
  count: number
) =>
  Effect.gen(function*() {
    const lastUser = userOf(Math.floor((count - 1) / inARow) % bound.length)
    const perUser = Math.floor(count / bound.length)
    const before = yield* headOf(lastUser)
    const stop = startWatch()
    for (let step = 0; step < count; step++) {
      const emitter = bound[Math.floor(step / inARow) % bound.length]
      if (emitter !== undefined) yield* emitter.emit(event(payloadOf(step)))
    }
    // What waits goes out in the order in which users began to wait, so few are left when the last user's have gone.
    while ((yield* headOf(lastUser)) - before < perUser) yield* Effect.sleep("1 millis")
    const emitters = yield* Emitter.Emitters
    while ((yield* emitters.stats).pending > 0) yield* Effect.sleep("1 millis")
    const spent = stop()
    check((yield* headOf(lastUser)) - before >= perUser, "the last user got fewer events than were emitted")
    return spent / count
  })

const looping = (users: number, count: number): () => number => {
  const rings = Array.from({ length: users }, () => new Array<string>(retained).fill(""))
  const makers = Array.from({ length: users }, (_, index) => wireEvents(userOf(index), Marked.name, "bench-id-"))
  const write = (ring: Array<string>, make: (data: object) => WireEvent, step: number) => {
    ring[Math.floor(step / users) % retained] = JSON.stringify(make(payloadOf(step)))
  }
  return () => {
    const stop = startWatch()
    for (let step = 0; step < count; step++) {
      const ring = rings[step % users]
      const make = makers[step % users]
      if (ring !== undefined && make !== undefined) write(ring, make, step)
    }
    return stop() / count
  }
}

const named = (kind: string, users: number) => `${kind}, ${users.toLocaleString("en")} user${users === 1 ? "" : "s"}`

const measure = async (engine: Engine, scope: Scope.Scope, settings: Settings): Promise<Answer> => {
  const sizes = settings.quick ? [10_000] : [1_000, 100_000]
  const count = settings.quick ? 100_000 : 400_000
  const all = await engine.runPromise(makeBound(Math.max(...sizes)).pipe(Scope.provide(scope)))

  const contestants: Record<string, Contestant> = {}
  for (const users of [1, ...sizes]) {
    const bound = all.slice(0, users)
    const loop = looping(users, count)
    contestants[named("critical", users)] = () => engine.runPromise(emitting(bound, Marked.make, 1, count))
    contestants[named("batched", users)] = () => engine.runPromise(emitting(bound, Noted.make, burst, count))
    contestants[named("bare loop", users)] = async () => loop()
  }
  const figures = await interleave(
    contestants,
    "seconds",
    settings.quick ? { rounds: 3, warmUps: 1 } : { rounds: 5, warmUps: 1 },
    settings
  )

  const growth = (kind: string, users: number, target?: Target) => {
    const [many, one] = [figures[named(kind, users)], figures[named(kind, 1)]]
    check(many !== undefined && one !== undefined, `${kind} was not measured`)
    return compare(`an event, ${named(kind, users)}`, many, one, target)
  }
  return {
    comparisons: sizes.flatMap((users) => [
      growth("critical", users, atMost(1.5)),
      growth("batched", users, atMost(1.5)),
      growth("bare loop", users)
    ]),
    notes: []
  }
}

export const question: Question = {
  asks: "the cost of an event as users grow",
  answer: (settings) =>
    withEngine(async (engine) => {
      const scope = Scope.makeUnsafe()
      try {
        return await measure(engine, scope, settings)
      } finally {
        await engine.runPromise(Scope.close(scope, Exit.void))
      }
    }, { maxEvents: retained })
}
