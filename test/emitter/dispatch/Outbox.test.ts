import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Result, Schema } from "effect"
import { AgentEvents, Broker, Emitter, Emitters, Event } from "effect-emitter"
import { TestBroker } from "effect-emitter/testing"
import { TestClock } from "effect/testing"
import { layer, note, notes, shown, urgent } from "../support/emitting.ts"

const inRun = Effect.gen(function*() {
  const ada = yield* (yield* Emitters).forUser({ userId: "ada", runId: "r" })
  yield* ada.emit(AgentEvents.AgentStarted.make({ agentName: "a" }))
  return ada
})

const text = (messageId: string, delta: string) => AgentEvents.TextDelta.make({ messageId, delta })
const thinking = (messageId: string, delta: string) => AgentEvents.ThinkingDelta.make({ messageId, delta })
const Coded = Event.make("coded", {
  payload: { id: Schema.String, text: Schema.StringFromHex },
  coalesce: { _tag: "Concatenate", by: "id", text: "text" }
})
const progress = (progress: number) => AgentEvents.ProgressUpdate.make({ progress })
const step = AgentEvents.AgentThinking.make({ text: "step" })

// An alias, since only those are known to have no other fields.
type Changing = { n: Schema.Json }
const Told = Event.make("told", {
  payload: { id: Schema.String, text: Schema.String, of: Schema.Json },
  coalesce: { _tag: "Concatenate", by: "id", text: "text" }
})
const Shown = Event.make("shown", { payload: { of: Schema.Json }, coalesce: { _tag: "Newest" } })

/** What the log holds, as devices read it. */
const written = Effect.gen(function*() {
  const broker = yield* Broker.Broker
  const { context: { userId } } = yield* (yield* Emitters).forUser({ userId: "ada" })
  const { epoch } = yield* broker.head(userId)
  const { entries } = yield* broker.pull(userId, { epoch, offset: 0 }, { maxEvents: 100, maxBytes: 1_000_000 })
  return entries.map(({ body, type }): readonly [string, unknown] => [type, JSON.parse(`{${body}`).data])
})

/** What left after the start of the run. */
const rest = Effect.gen(function*() {
  yield* TestClock.adjust("20 millis")
  yield* (yield* TestBroker.TestBroker).behave("ok")
  const ada = yield* (yield* Emitters).forUser({ userId: "ada" })
  return shown(yield* (yield* TestBroker.TestBroker).log(ada.context.userId)).slice(1)
})

describe("merging", () => {
  it.effect("joins texts of one message and keeps the newest progress, in the place of the first", () =>
    Effect.gen(function*() {
      const ada = yield* inRun
      const events = [text("m", "a"), progress(1), text("n", "x"), thinking("m", "?"), text("m", "b"), progress(2)]
      for (const event of [...events, text("m", "c")]) yield* ada.emit(event)
      assert.deepStrictEqual(yield* rest, [
        ["text_delta", { messageId: "m", delta: "abc" }],
        ["progress_update", { progress: 2 }],
        ["text_delta", { messageId: "n", delta: "x" }],
        ["thinking_delta", { messageId: "m", delta: "?" }]
      ])
      assert.deepInclude(yield* (yield* Emitters).stats, { merged: 3, batches: 2, appended: 5 })
    }).pipe(Effect.provide(layer())))

  it.effect("never reaches across a critical event", () =>
    Effect.gen(function*() {
      const broker = yield* TestBroker.TestBroker
      const ada = yield* inRun
      yield* broker.behave({ after: "5 millis", do: "ok" })
      // While the first is under way all others wait on one list.
      const emit = (event: Event.Event) => Effect.forkChild(ada.emit(event), { startImmediately: true })
      for (const event of [step, text("m", "a"), progress(1), step, text("m", "b"), progress(2)]) yield* emit(event)
      assert.deepStrictEqual(yield* rest, [
        ["agent_thinking", { text: "step" }],
        ["text_delta", { messageId: "m", delta: "a" }],
        ["progress_update", { progress: 1 }],
        ["agent_thinking", { text: "step" }],
        ["text_delta", { messageId: "m", delta: "b" }],
        ["progress_update", { progress: 2 }]
      ])
    }).pipe(Effect.provide(layer())))

  it.effect("never reaches across a window, another run or another thread", () =>
    Effect.gen(function*() {
      const { forUser } = yield* Emitters
      const ada = yield* inRun
      const other = yield* forUser({ userId: "ada", runId: "other", threadId: "t" })
      yield* other.emit(AgentEvents.AgentStarted.make({ agentName: "b" }))
      yield* ada.emit(text("m", "a"))
      yield* TestClock.adjust("20 millis")
      yield* ada.emit(text("m", "b"))
      yield* other.emit(text("m", "c"))
      assert.deepStrictEqual((yield* rest).slice(1), [
        ["text_delta", { messageId: "m", delta: "a" }],
        ["text_delta", { messageId: "m", delta: "b" }],
        ["text_delta", { messageId: "m", delta: "c" }]
      ])
    }).pipe(Effect.provide(layer())))

  it.effect("keeps two threads of one run apart", () =>
    Effect.gen(function*() {
      const { forUser } = yield* Emitters
      const ada = yield* inRun
      const there = yield* forUser({ userId: "ada", runId: "r", threadId: "there" })
      for (const emitter of [ada, there, ada, there]) yield* emitter.emit(text("m", "a"))
      assert.deepStrictEqual(yield* rest, [
        ["text_delta", { messageId: "m", delta: "aa" }],
        ["text_delta", { messageId: "m", delta: "aa" }]
      ])
    }).pipe(Effect.provide(layer())))

  it.effect("checks each piece, and leaves what it refuses out of the joined text", () =>
    Effect.gen(function*() {
      const ada = yield* inRun
      yield* ada.emit(text("m", "a"))
      yield* ada.emit(text("m", "b"))
      const broken = [Object.assign(text("m", "c"), { payload: { messageId: "m", delta: 7 } }), text("", "d")]
      for (const delta of broken) {
        assert.strictEqual((yield* Effect.flip(ada.emit(delta))).reason._tag, "InvalidPayload")
      }
      yield* ada.emit(text("m", "e"))
      assert.deepStrictEqual(yield* rest, [["text_delta", { messageId: "m", delta: "abe" }]])
    }).pipe(Effect.provide(layer())))

  it.effect("joins texts as their schema encodes them, and keeps no field that it does not know", () =>
    Effect.gen(function*() {
      const ada = yield* inRun
      yield* ada.emit(Object.assign(text("m", "a"), { payload: { messageId: "m", delta: "a", more: 1 } }))
      for (const delta of ["xyz", "!"]) yield* ada.emit(Coded.make({ id: "c", text: delta }))
      yield* ada.emit(Object.assign(text("m", "b"), { payload: { messageId: "m", delta: "b", more: 2 } }))
      assert.deepStrictEqual(yield* rest, [
        ["text_delta", { messageId: "m", delta: "ab" }],
        ["coded", { id: "c", text: "78797a21" }]
      ])
    }).pipe(Effect.provide(layer())))

  it.effect("holds what was emitted, whatever its program does with the payload afterwards", () =>
    Effect.gen(function*() {
      const ada = yield* inRun
      const first: Changing = { n: 1 }
      yield* ada.emit(Told.make({ id: "t", text: "a", of: first }))
      yield* ada.emit(Shown.make({ of: { n: 0 } }))
      const newest: Changing = { n: 2 }
      yield* ada.emit(Shown.make({ of: newest }))
      yield* ada.emit(Told.make({ id: "t", text: "b", of: { n: 3 } }))
      // Neither what was meant nor anything that JSON can say.
      for (const changing of [first, newest]) changing.n = changing
      assert.strictEqual((yield* ada.emit(step))._tag, "Appended")
      assert.deepStrictEqual((yield* written).slice(1), [
        ["told", { id: "t", text: "ab", of: { n: 1 } }],
        ["shown", { of: { n: 2 } }],
        ["agent_thinking", { text: "step" }]
      ])
    }).pipe(Effect.provide(layer())))

  it.effect("is not done to an event that is asked to be critical", () =>
    Effect.gen(function*() {
      const ada = yield* inRun
      yield* ada.emit(text("m", "a"))
      yield* ada.emit(Event.critical(text("m", "b")))
      assert.deepStrictEqual(yield* rest, [
        ["text_delta", { messageId: "m", delta: "a" }],
        ["text_delta", { messageId: "m", delta: "b" }]
      ])
    }).pipe(Effect.provide(layer())))

  it.effect("makes no event larger than is allowed, whatever its characters", () =>
    Effect.gen(function*() {
      const broker = yield* TestBroker.TestBroker
      const ada = yield* inRun
      const deltas = Array.from({ length: 300 }, (_, n) =>
        ["a", "ü", "語", "\n", "\u0001", "\"", "😀"][n % 7]?.repeat(40) ?? "")
      for (const delta of deltas) {
        yield* ada.emit(text("m", delta))
      }
      yield* TestClock.adjust("20 millis")
      const log = (yield* broker.log(ada.context.userId)).slice(1)
      assert.strictEqual(
        log.map(({ event }) =>
          event.data["delta"]
        ).join(""),
        deltas.join("")
      )
      const batch = (yield* broker.calls).flatMap(({ batch }) => batch)
      const sizes = batch.map(({ body }) => Buffer.byteLength(body))
      assert.deepStrictEqual(batch.map(({ bytes }) => bytes), sizes)
      assert.isAtMost(Math.max(...sizes), 8192)
      assert.isBelow(sizes.length, 8)
    }).pipe(Effect.provide(layer({ config: { maxEventBytes: 8192 } }))))
})

const full = { batching: { maxDelay: "20 millis", maxSize: 2, capacity: 2 } } as const

/** Ada, with an append under way for a second, and as much pending as she may have. */
const fullUp = Effect.gen(function*() {
  const broker = yield* TestBroker.TestBroker
  const ada = yield* (yield* Emitters).forUser({ userId: "ada" })
  yield* broker.behave({ after: "1 second", do: "ok" })
  yield* Effect.forkChild(ada.emit(urgent(0)), { startImmediately: true })
  yield* ada.emit(note(1))
  yield* ada.emit(note(2))
  const log = Effect.map(broker.log(ada.context.userId), notes)
  return { ada, log }
})

describe("when a user has as much pending as allowed", () => {
  it.effect("overflow suspend makes callers wait for room, in order, and loses nothing", () =>
    Effect.gen(function*() {
      const { ada, log } = yield* fullUp
      const fibers = yield* Effect.forEach(
        [note(3), urgent(4), note(5)],
        (event) => Effect.forkChild(ada.emit(event), { startImmediately: true })
      )
      assert.deepInclude(yield* (yield* Emitters).stats, { pending: 2 })
      yield* TestClock.adjust("999 millis")
      assert.deepStrictEqual(fibers.map((fiber) => fiber.pollUnsafe()), [undefined, undefined, undefined])
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual((yield* Effect.forEach(fibers, Fiber.join)).map(({ _tag }) => _tag), [
        "Deferred",
        "Appended",
        "Deferred"
      ])
      assert.deepStrictEqual(yield* log, [0, 1, 2, 3, 4, 5])
      assert.deepInclude((yield* (yield* Emitters).stats).dropped, { overflow: 0 })
    }).pipe(Effect.provide(layer({ config: full }))))

  it.effect("a caller that is interrupted while it waits for room has emitted nothing", () =>
    Effect.gen(function*() {
      const { ada, log } = yield* fullUp
      const fiber = yield* Effect.forkChild(ada.emit(note("never")), { startImmediately: true })
      yield* Fiber.interrupt(fiber)
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual(yield* log, [0, 1, 2])
    }).pipe(Effect.provide(layer({ config: full }))))

  it.effect("overflow dropOldest drops the oldest that is not critical, and counts it", () =>
    Effect.gen(function*() {
      const { ada, log } = yield* fullUp
      yield* ada.emit(note(3))
      yield* Effect.forkChild(ada.emit(urgent(4)), { startImmediately: true })
      yield* ada.emit(note(5))
      assert.deepInclude((yield* (yield* Emitters).stats).dropped, { overflow: 3 })
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual(yield* log, [0, 4, 5])
    }).pipe(Effect.provide(layer({ config: { batching: { ...full.batching, overflow: "dropOldest" } } }))))

  it.effect("fault 45: a text that comes after its message's pending one was dropped is not lost with it", () =>
    Effect.gen(function*() {
      const broker = yield* TestBroker.TestBroker
      const { forUser, stats } = yield* Emitters
      const ada = yield* forUser({ userId: "ada", runId: "r" })
      yield* ada.emit(AgentEvents.AgentStarted.make({ agentName: "a" }))
      yield* broker.behave({ after: "1 second", do: "ok" })
      yield* Effect.forkChild(ada.emit(step), { startImmediately: true })
      for (const event of [text("m", "dropped"), note(1), note(2), text("m", "kept")]) yield* ada.emit(event)
      yield* TestClock.adjust("5 seconds")
      const left = shown(yield* broker.log(ada.context.userId)).slice(2)
      assert.deepStrictEqual(left, [
        ["custom", { name: "note", data: 2 }],
        ["text_delta", { messageId: "m", delta: "kept" }]
      ])
      yield* broker.behave("ok")
      const { accepted, appended, dropped, merged } = yield* stats
      assert.deepStrictEqual([dropped.overflow, merged], [2, 0])
      assert.strictEqual(Object.values(accepted).reduce((sum, n) => sum + n, 0), appended + dropped.overflow)
    }).pipe(Effect.provide(layer({ config: { batching: { ...full.batching, overflow: "dropOldest" } } }))))

  it.effect("overflow dropOldest never drops a critical event: with nothing else pending, callers wait", () =>
    Effect.gen(function*() {
      const broker = yield* TestBroker.TestBroker
      const ada = yield* (yield* Emitters).forUser({ userId: "ada" })
      yield* broker.behave({ after: "1 second", do: "ok" })
      const emit = (event: Event.Event) => Effect.forkChild(ada.emit(event), { startImmediately: true })
      yield* Effect.forEach([urgent(0), urgent(1), urgent(2)], emit)
      const waiting = yield* Effect.forEach([urgent(3), note(4)], emit)
      assert.deepStrictEqual(waiting.map((fiber) => fiber.pollUnsafe()), [undefined, undefined])
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(notes(yield* broker.log(ada.context.userId)), [0, 1, 2, 3, 4])
      assert.deepInclude((yield* (yield* Emitters).stats).dropped, { overflow: 0 })
    }).pipe(Effect.provide(layer({ config: { batching: { ...full.batching, overflow: "dropOldest" } } }))))

  it.effect("overflow fail refuses with the numbers, and accepts nothing of it", () =>
    Effect.gen(function*() {
      const { ada, log } = yield* fullUp
      const refused = yield* Effect.forEach([note(3), urgent(4)], (event) => Effect.exit(ada.emit(event)))
      const overflow = Exit.fail(new Emitter.EmitError({ reason: new Emitter.Overflow({ pending: 2, limit: 2 }) }))
      assert.deepStrictEqual(refused, [overflow, overflow])
      assert.deepInclude(yield* (yield* Emitters).stats, { rejected: { Overflow: 2 }, accepted: { custom: 3 } })
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual(yield* log, [0, 1, 2])
    }).pipe(Effect.provide(layer({ config: { batching: { ...full.batching, overflow: "fail" } } }))))

  it.effect("the ending of a run still has its place", () =>
    Effect.gen(function*() {
      const broker = yield* TestBroker.TestBroker
      const ada = yield* inRun
      yield* broker.behave({ after: "1 second", do: "ok" })
      const emit = (event: Event.Event) => Effect.forkChild(ada.emit(event), { startImmediately: true })
      yield* Effect.forEach([step, step, step], emit)
      const ending = yield* emit(AgentEvents.AgentError.make({ reason: "failed", message: "", retryable: false }))
      yield* TestClock.adjust("5 seconds")
      assert.deepInclude(yield* Fiber.join(ending), { _tag: "Appended" })
    }).pipe(Effect.provide(layer({ config: { batching: { ...full.batching, overflow: "fail" } } }))))

  it.effect("bytes count as well as events", () =>
    Effect.gen(function*() {
      const broker = yield* TestBroker.TestBroker
      const ada = yield* (yield* Emitters).forUser({ userId: "ada" })
      yield* broker.behave({ after: "1 second", do: "ok" })
      yield* Effect.forkChild(ada.emit(urgent(0)), { startImmediately: true })
      yield* ada.emit(note("x".repeat(10_000)))
      const emitted = yield* Effect.result(ada.emit(note(1)))
      // Before anything can fail, or closing would wait for the broker.
      yield* TestClock.adjust("5 seconds")
      assert(Result.isFailure(emitted), "there was room")
      assert.deepInclude(emitted.failure.reason, { _tag: "Overflow", pending: 1 })
    }).pipe(
      Effect.provide(layer({ config: { batching: { maxBytes: 10_000, capacityBytes: 10_000, overflow: "fail" } } }))
    ))
})
