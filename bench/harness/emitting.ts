/**
 * Emitting from one fiber, beside a bare loop that does the least a program must do: write the same JSON, and keep as
 * much of it as the broker keeps. And beside a fiber that makes the same events and yields an effect for each that does
 * nothing: what every program pays that yields once per event, whatever it then does.
 */
import { Effect } from "effect"
import { AgentEvents, Emitter, type Event } from "../../src/index.ts"
import { startWatch } from "./clock.ts"
import { type Engine, headOf, newestOf, withEngine } from "./engine.ts"
import { check, type Figure, given, type Settings } from "./question.ts"
import { interleave } from "./rounds.ts"
import { wireEvents } from "./wire.ts"
import { context, userOf } from "./workload.ts"

/**
 * Events per second of the older emitter that this package takes the place of. It is given, not measured here.
 */
export const reference = 151_725.7

const user = userOf(0)
const retained = 4096

export interface Emitted<Payload extends object> {
  readonly type: string
  readonly payload: (step: number) => Payload
  readonly event: (payload: Payload) => Event.Event
  /** Holds what arrived in the log against what was emitted. */
  readonly verify: (arrived: ReadonlyArray<object>, emitted: ReadonlyArray<Payload>) => void
  /** How many events in the log `count` emitted ones may have become. */
  readonly merged: boolean
}

/** Emits the events in a run, then a critical one, which takes along whatever is still pending. */
const emitAll = <Payload extends object>({ event, merged, payload }: Emitted<Payload>, from: number, count: number) =>
  Effect.gen(function*() {
    const emitter = yield* Emitter.Emitter
    const before = yield* headOf(user)
    const stop = startWatch()
    for (let step = from; step < from + count; step++) yield* emitter.emit(event(payload(step)))
    yield* emitter.emit(AgentEvents.AgentThinking.make({ text: "done" }))
    const spent = stop()
    const appended = (yield* headOf(user)) - before - 1
    check(merged ? appended > 0 && appended <= count : appended === count, `${count} emitted, ${appended} appended`)
    return count / spent
  }).pipe(Emitter.run({ agentName: "bench" }), Effect.provide(Emitter.layerUser(context(user))))

/** What came out of emitting a thousand events, held against what went in; gives one of them. */
const verified = async <Payload extends object>(engine: Engine, emitted: Emitted<Payload>) => {
  const count = 1000
  await engine.runPromise(emitAll(emitted, 0, count))
  const log = await engine.runPromise(newestOf(user, await engine.runPromise(headOf(user))))
  const arrived = log.filter(({ type }) => type === emitted.type)
  emitted.verify(arrived.map(({ data }) => data), Array.from({ length: count }, (_, step) => emitted.payload(step)))
  const [sample] = arrived
  check(sample !== undefined, "nothing was emitted")
  return sample
}

/** The bare loop. Its events have ids of the same length, and the same fields in the same order. */
const bareLoop = <Payload extends object>(emitted: Emitted<Payload>, sample: { readonly id: string }) => {
  const make = wireEvents(user, emitted.type, sample.id.slice(0, -4))
  const twin = make(emitted.payload(0))
  check(
    Object.keys(twin).join() === Object.keys(sample).join(),
    `the loop writes ${Object.keys(twin).join()}, the emitter ${Object.keys(sample).join()}`
  )
  const ring = new Array<string>(retained).fill("")
  return (from: number, count: number): number => {
    const stop = startWatch()
    for (let step = from; step < from + count; step++) {
      ring[step & (retained - 1)] = JSON.stringify(make(emitted.payload(step)))
    }
    const spent = stop()
    check(ring[(from + count - 1) & (retained - 1)]?.includes(emitted.type) === true, "the loop wrote nothing")
    return count / spent
  }
}

/** Makes the events, and yields an effect for each that does nothing. */
const yieldAll = <Payload extends object>({ event, payload }: Emitted<Payload>, from: number, count: number) =>
  Effect.gen(function*() {
    let seen: Event.Event | undefined
    const nothing = (event: Event.Event) => Effect.sync(() => void (seen = event))
    const stop = startWatch()
    for (let step = from; step < from + count; step++) yield* nothing(event(payload(step)))
    const spent = stop()
    check(seen !== undefined, "nothing was made")
    return count / spent
  })

/**
 * Events per second of the emitter, of the bare loop, of a yield that does nothing, and of the reference.
 */
export const measureEmitting = <Payload extends object>(
  emitted: Emitted<Payload>,
  settings: Settings
): Promise<Record<"ours" | "loop" | "nothing" | "reference", Figure>> =>
  withEngine(async (engine) => {
    // Short rounds and many of them: what disturbs one disturbs its neighbour too, or few of all.
    const count = settings.quick ? 30_000 : 100_000
    const loop = bareLoop(emitted, await verified(engine, emitted))
    let from = 0
    const figures = await interleave(
      {
        "effect-emitter": () => engine.runPromise(emitAll(emitted, from += count, count)),
        "stringify and push": async () => loop(from, count),
        "a yield that does nothing": () => engine.runPromise(yieldAll(emitted, from, count))
      },
      "per second",
      settings.quick ? { rounds: 11, warmUps: 5 } : { rounds: 31, warmUps: 5 },
      settings
    )
    const ours = figures["effect-emitter"]
    return {
      ours,
      loop: figures["stringify and push"],
      nothing: figures["a yield that does nothing"],
      reference: given("reference", reference, ours)
    }
  })
