/** Spans of runs and deliveries, and the trace that an event carries. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, References, Tracer } from "effect"
import { AgentEvents, Emitter, type EmitterConfig, Event, Identity } from "effect-emitter"
import { TestBroker } from "effect-emitter/testing"
import { TestClock } from "effect/testing"
import { layer, note } from "../support/emitting.ts"

const ada = Identity.UserId.make("ada")

const thinking = (text: string) => AgentEvents.AgentThinking.make({ text })

/** What leaves, with the trace of each event. */
const traces = Effect.gen(function*() {
  const log = yield* (yield* TestBroker.TestBroker).log(ada)
  return log.map(({ event }) => [event.data["text"] ?? event.type, event.trace])
})

/** A tracer that is somebody's, and the spans that it made. */
const newTracer = (idOf?: (id: string) => string) => {
  const spans: Array<Tracer.Span> = []
  const tracer = Tracer.make({
    span: (options) => {
      const span = new Tracer.NativeSpan(options)
      const seen: Tracer.Span = idOf === undefined
        ? span
        : Object.create(span, { traceId: { value: idOf(span.traceId) } })
      spans.push(seen)
      return seen
    }
  })
  const named = (name: string) => spans.find((span) => span.name === name) ?? assert.fail(`no span ${name}`)
  return { tracer, spans, named }
}

const parentOf = ({ sampled, spanId, traceId }: Tracer.Span) => `00-${traceId}-${spanId}-${sampled ? "01" : "00"}`

const emitting = <A, E>(
  program: Effect.Effect<A, E, Emitter.Emitter | TestBroker.TestBroker>,
  context: Parameters<typeof Emitter.layerUser>[0] = { userId: "ada", runId: "r1" },
  config?: EmitterConfig.Options
) =>
  Effect.provide(
    program,
    Layer.provideMerge(Emitter.layerUser(context), layer(config === undefined ? {} : { config }))
  )

const ours = (spans: ReadonlyArray<Tracer.Span>) =>
  spans.map(({ name }) => name).filter((name) => name.startsWith("effect-emitter."))

const hello = Emitter.emit(thinking("hello")).pipe(Emitter.run({ agentName: "a" }))

describe("spans", () => {
  it.effect("tell of each run and each delivery, where somebody traces", () =>
    Effect.gen(function*() {
      const { named, spans, tracer } = newTracer()
      yield* emitting(hello).pipe(Effect.withTracer(tracer))
      assert.deepStrictEqual(ours(spans), [
        "effect-emitter.run",
        "effect-emitter.deliver",
        "effect-emitter.deliver",
        "effect-emitter.deliver"
      ])
      assert.deepStrictEqual(Object.fromEntries(named("effect-emitter.run").attributes), {
        "emitter.user": "ada",
        "emitter.agent": "a",
        "emitter.run": "r1"
      })
    }))

  it.effect("do not exist where they are off, nor where tracing is disabled", () =>
    Effect.gen(function*() {
      const { spans, tracer } = newTracer()
      yield* emitting(hello, undefined, { spans: false }).pipe(Effect.withTracer(tracer))
      yield* emitting(hello).pipe(Effect.withTracer(tracer), Effect.provideService(References.TracerEnabled, false))
      assert.deepStrictEqual(ours(spans), [])
    }))

  it.effect("of a run are none where nobody sees them: with Effect's own tracer", () =>
    Effect.gen(function*() {
      const names = yield* emitting(
        Effect.map(Effect.currentSpan, ({ name }) => name).pipe(Emitter.run({ agentName: "a" }))
      ).pipe(Effect.withSpan("the program's"))
      assert.strictEqual(names, "the program's")
    }))
})

describe("an event's trace", () => {
  it.effect("is the traceparent of the span in which it is emitted, whichever emitter it is emitted through", () =>
    Effect.gen(function*() {
      const { named, tracer } = newTracer()
      const seen = yield* emitting(
        Effect.gen(function*() {
          const outside = yield* Emitter.Emitter
          yield* outside.emit(Event.critical(note("before")))
          yield* Effect.gen(function*() {
            yield* Emitter.emit(thinking("in the run"))
            yield* Emitter.emit(thinking("in a span")).pipe(Effect.withSpan("inner"))
            yield* outside.emit(thinking("in another")).pipe(Effect.withSpan("other"))
            yield* Emitter.emit(thinking("in the run again"))
          }).pipe(Emitter.run({ agentName: "a" }))
          return yield* traces
        })
      ).pipe(Effect.withTracer(tracer))
      const run = parentOf(named("effect-emitter.run"))
      assert.deepStrictEqual(seen, [
        ["custom", undefined],
        ["agent_started", run],
        ["in the run", run],
        ["in a span", parentOf(named("inner"))],
        ["in another", parentOf(named("other"))],
        ["in the run again", run],
        ["agent_completed", run]
      ])
    }))

  it.effect("is what its emitter's context says, if it does", () =>
    Effect.gen(function*() {
      const { tracer } = newTracer()
      const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
      const seen = yield* emitting(Effect.andThen(hello, traces), { userId: "ada", trace }).pipe(
        Effect.withSpan("outer"),
        Effect.withTracer(tracer)
      )
      assert.deepStrictEqual(seen.map(([, shown]) => shown), [trace, trace, trace])
    }))

  it.effect("of texts that became one event is that of the first", () =>
    Effect.gen(function*() {
      const { named, tracer } = newTracer()
      const delta = (text: string) => Emitter.emit(AgentEvents.TextDelta.make({ messageId: "m", delta: text }))
      const seen = yield* emitting(
        Effect.gen(function*() {
          yield* delta("one ").pipe(Effect.withSpan("first"))
          yield* delta("two").pipe(Effect.withSpan("second"))
          yield* TestClock.adjust("1 second")
          return yield* traces
        }).pipe(Emitter.run({ agentName: "a" }))
      ).pipe(Effect.withTracer(tracer))
      assert.deepStrictEqual(seen[1], ["text_delta", parentOf(named("first"))])
    }))

  const nobodyTraces = {
    "with Effect's own tracer": Effect.withSpan("outer"),
    "where tracing is disabled": <A, E, R>(program: Effect.Effect<A, E, R>) =>
      program.pipe(
        Effect.withSpan("outer"),
        Effect.withTracer(newTracer().tracer),
        Effect.provideService(References.TracerEnabled, false)
      ),
    "where no traceparent can carry the tracer's ids": <A, E, R>(program: Effect.Effect<A, E, R>) =>
      program.pipe(Effect.withSpan("outer"), Effect.withTracer(newTracer(() => "abc").tracer))
  }
  for (const [where, tracing] of Object.entries(nobodyTraces)) {
    it.effect(`does not exist ${where}`, () =>
      Effect.gen(function*() {
        const seen = yield* tracing(emitting(Effect.andThen(hello, traces)))
        assert.deepStrictEqual(seen, [["agent_started", undefined], ["hello", undefined], [
          "agent_completed",
          undefined
        ]])
      }))
  }
})
