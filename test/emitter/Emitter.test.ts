import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Option, Scope } from "effect"
import { AgentEvents, Broker, Emitter, EmitterLayer, Emitters, Event } from "effect-emitter"
import { TestBroker } from "effect-emitter/testing"
import { TestClock } from "effect/testing"
import { layer, note, notes, shown, urgent, within } from "./support/emitting.ts"
import { forSeeds } from "../support/random.ts"
import { textOf } from "../support/runs.ts"

const config = { batching: { maxDelay: "20 millis" } } as const

describe("a critical event", () => {
  it.effect("is in the log when its emit returns, without any time passing", () =>
    Effect.gen(function*() {
      const broker = yield* TestBroker.TestBroker
      const ada = yield* (yield* Emitters).forUser({ userId: "ada" })
      const receipt = yield* ada.emit(urgent("now"))
      const [logged = assert.fail("nothing left")] = yield* broker.log(ada.context.userId)
      assert.deepStrictEqual(receipt, { _tag: "Appended", position: logged.position })
      assert.deepStrictEqual(logged.event, {
        offset: 1,
        id: logged.event.id,
        type: "custom",
        at: 0,
        data: { name: "note", data: "now" }
      })
    }).pipe(Effect.provide(layer({ config }))))

  it.effect("is its own user's alone, however alike ids look", () =>
    Effect.gen(function*() {
      const broker = yield* TestBroker.TestBroker
      const { forUser } = yield* Emitters
      const names = ["ada", "Ada", "ADA", "ada.", "ad", "adä", "ada\u0308"]
      const emitters = yield* Effect.forEach(names, (userId) => forUser({ userId }))
      for (const [n, emitter] of emitters.entries()) {
        yield* emitter.emit(note(n))
        yield* emitter.emit(urgent(n))
      }
      const logs = yield* Effect.forEach(emitters, ({ context }) => broker.log(context.userId))
      assert.deepStrictEqual(logs.map(notes), names.map((_, n) => [n, n]))
    }).pipe(Effect.provide(layer({ config }))))

  it.effect("does not overtake what its user emitted before, and takes it along in the same append", () =>
    Effect.gen(function*() {
      const broker = yield* TestBroker.TestBroker
      const ada = yield* (yield* Emitters).forUser({ userId: "ada" })
      assert.deepStrictEqual(yield* ada.emit(note(1)), { _tag: "Deferred" })
      assert.deepStrictEqual(yield* ada.emit(note(2)), { _tag: "Deferred" })
      const receipt = yield* ada.emit(urgent(3))
      assert.deepStrictEqual(notes(yield* broker.log(ada.context.userId)), [1, 2, 3])
      assert.deepInclude(receipt, { _tag: "Appended" })
      assert.deepStrictEqual((yield* broker.calls).map(({ batch }) => batch.length), [3])
    }).pipe(Effect.provide(layer({ config }))))

  it.effect("goes out in its caller's fiber when the broker can append at once", () =>
    Effect.gen(function*() {
      const ada = yield* (yield* Emitters).forUser({ userId: "ada" })
      const fiber = Effect.runFork(ada.emit(urgent("now")))
      const exit = fiber.pollUnsafe()
      assert.isTrue(exit !== undefined && Exit.isSuccess(exit) && exit.value._tag === "Appended")
    }).pipe(Effect.provide(EmitterLayer().pipe(Layer.provide(Broker.layerMemory())))))

  it.effect("is told its own position, also when events that came after it went with it", () =>
    Effect.gen(function*() {
      const broker = yield* TestBroker.TestBroker
      const ada = yield* (yield* Emitters).forUser({ userId: "ada" })
      yield* broker.behave({ after: "1 second", do: "ok" })
      const fibers = yield* Effect.forEach(
        [1, 2, 3, 4],
        (n) => Effect.forkChild(ada.emit(urgent(n)), { startImmediately: true })
      )
      yield* TestClock.adjust("2 seconds")
      const receipts = yield* Effect.forEach(fibers, Fiber.join)
      const log = yield* broker.log(ada.context.userId)
      assert.deepStrictEqual(
        receipts,
        log.map(({ position }) => ({ _tag: "Appended", position }))
      )
      assert.deepStrictEqual(notes(log), [1, 2, 3, 4])
    }).pipe(Effect.provide(layer({ config }))))

  it.effect("is emitted each time its emit is run, and never by describing it or looking into it", () =>
    Effect.gen(function*() {
      const broker = yield* TestBroker.TestBroker
      const ada = yield* (yield* Emitters).forUser({ userId: "ada" })
      const { emit } = ada
      const described = emit(urgent("now"))
      assert.strictEqual(Array.from(described).length, 1)
      assert.deepStrictEqual(yield* broker.log(ada.context.userId), [])
      yield* described
      yield* described
      assert.deepStrictEqual(notes(yield* broker.log(ada.context.userId)), ["now", "now"])
    }).pipe(Effect.provide(layer({ config }))))

  it.effect("is not taken back by interrupting its caller", () =>
    Effect.gen(function*() {
      const broker = yield* TestBroker.TestBroker
      const ada = yield* (yield* Emitters).forUser({ userId: "ada" })
      yield* broker.behave({ after: "1 second", do: "ok" })
      const fiber = yield* Effect.forkChild(ada.emit(urgent("stays")), { startImmediately: true })
      yield* Fiber.interrupt(fiber)
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(notes(yield* broker.log(ada.context.userId)), ["stays"])
    }).pipe(Effect.provide(layer({ config }))))
})

describe("a batched event", () => {
  it.effect("waits for its window and no longer", () =>
    Effect.gen(function*() {
      const broker = yield* TestBroker.TestBroker
      const ada = yield* (yield* Emitters).forUser({ userId: "ada" })
      yield* ada.emit(note(1))
      yield* TestClock.adjust("10 millis")
      yield* ada.emit(note(2))
      yield* TestClock.adjust("9 millis")
      assert.deepStrictEqual(yield* broker.calls, [])
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual(notes(yield* broker.log(ada.context.userId)), [1, 2])
      assert.deepStrictEqual((yield* broker.calls).map(({ at, batch }) => [at, batch.length]), [[20, 2]])
    }).pipe(Effect.provide(layer({ config }))))

  it.effect("fault 8: joins a text that was cut inside a character, whichever pieces share a window", () =>
    forSeeds({ count: 30 }, (draw) =>
      Effect.gen(function*() {
        const broker = yield* TestBroker.TestBroker
        const ada = yield* (yield* Emitters).forUser({ userId: "ada", runId: "r" })
        const text = Array.from({ length: 20 }, () => draw.pick(["a", "é", "用", "👩‍💻", "\ud801", "\udc01"])).join("")
        yield* ada.emit(AgentEvents.AgentStarted.make({ agentName: "a" }))
        for (let at = 0; at < text.length;) {
          const to = at + 1 + draw.below(3)
          yield* ada.emit(AgentEvents.TextDelta.make({ messageId: "m", delta: text.slice(at, to) }))
          if (draw.chance(0.3)) yield* TestClock.adjust("20 millis")
          at = to
        }
        yield* TestClock.adjust("20 millis")
        const log = yield* broker.log(ada.context.userId)
        assert.strictEqual(log.slice(1).map(({ event }) => event.data["delta"]).join(""), text)
        const state = Option.getOrThrow(yield* ada.snapshot)
        assert.strictEqual(textOf(state.parts[0]), text)
      }).pipe(Effect.provide(layer({ config })))))

  it.effect("goes at once with the list that it fills by number", () =>
    Effect.gen(function*() {
      const broker = yield* TestBroker.TestBroker
      const ada = yield* (yield* Emitters).forUser({ userId: "ada" })
      for (let n = 1; n <= 7; n++) yield* ada.emit(note(n))
      assert.deepStrictEqual((yield* broker.calls).map(({ at, batch }) => [at, batch.length]), [[0, 3], [0, 3]])
      yield* TestClock.adjust("20 millis")
      assert.deepStrictEqual(notes(yield* broker.log(ada.context.userId)), [1, 2, 3, 4, 5, 6, 7])
    }).pipe(Effect.provide(layer({ config: { batching: { maxDelay: "20 millis", maxSize: 3 } } }))))

  it.effect("goes at once with the list that it fills by bytes", () =>
    Effect.gen(function*() {
      const broker = yield* TestBroker.TestBroker
      const ada = yield* (yield* Emitters).forUser({ userId: "ada" })
      yield* ada.emit(note("x".repeat(1500)))
      assert.deepStrictEqual((yield* broker.calls).length, 0)
      yield* ada.emit(note("y".repeat(1500)))
      assert.deepStrictEqual((yield* broker.calls).map(({ at, batch }) => [at, batch.length]), [[0, 2]])
    }).pipe(Effect.provide(layer({ config: { batching: { maxDelay: "20 millis", maxBytes: 3000 } } }))))

  it.effect("is sent as a critical one when that is asked of the one event", () =>
    Effect.gen(function*() {
      const ada = yield* (yield* Emitters).forUser({ userId: "ada" })
      assert.deepInclude(yield* ada.emit(urgent(1)), { _tag: "Appended" })
      assert.deepInclude(yield* ada.emit(note(1)), { _tag: "Deferred" })
    }).pipe(Effect.provide(layer({ config }))))
})

const Cursor = Event.make("cursor_moved", {
  payload: AgentEvents.Custom.payload.fields,
  delivery: "volatile"
})
const cursor = (data: number) => Cursor.make({ name: "cursor", data })

describe("a volatile event", () => {
  it.effect("is dropped and counted when nobody is connected", () =>
    Effect.gen(function*() {
      const broker = yield* TestBroker.TestBroker
      const emitters = yield* Emitters
      const ada = yield* emitters.forUser({ userId: "ada" })
      yield* ada.emit(cursor(1))
      yield* ada.emit(note(2))
      yield* TestClock.adjust("20 millis")
      assert.deepStrictEqual(notes(yield* broker.log(ada.context.userId)), [2])
      const { dropped } = yield* emitters.stats
      assert.deepStrictEqual(dropped, { overflow: 0, nobodyConnected: 1, overBudget: 0, closed: 0 })
    }).pipe(Effect.provide(layer({ config }))))

  it.effect("is delivered in its place when somebody is connected", () =>
    Effect.gen(function*() {
      const emitters = yield* Emitters
      const ada = yield* emitters.forUser({ userId: "ada" })
      yield* (yield* Broker.Broker).subscribe(ada.context.userId, () => {})
      yield* ada.emit(note(1))
      yield* ada.emit(cursor(2))
      yield* ada.emit(note(3))
      yield* TestClock.adjust("20 millis")
      assert.deepStrictEqual(notes(yield* (yield* TestBroker.TestBroker).log(ada.context.userId)), [1, 2, 3])
      assert.deepInclude((yield* emitters.stats).dropped, { nobodyConnected: 0 })
    }).pipe(Effect.provide(layer({ config }))))

  it.effect("is dropped and counted when its user is over budget", () =>
    Effect.gen(function*() {
      const emitters = yield* Emitters
      const broker = yield* TestBroker.TestBroker
      const ada = yield* emitters.forUser({ userId: "ada" })
      yield* (yield* Broker.Broker).subscribe(ada.context.userId, () => {})
      yield* broker.behave("hang")
      yield* Effect.forkChild(ada.emit(urgent(0)), { startImmediately: true })
      yield* ada.emit(note(1))
      yield* ada.emit(note(2))
      assert.deepStrictEqual(yield* ada.emit(cursor(3)), { _tag: "Dropped", reason: "overBudget" })
      const { dropped, pending } = yield* emitters.stats
      assert.deepStrictEqual({ dropped, pending }, {
        dropped: { overflow: 0, nobodyConnected: 0, overBudget: 1, closed: 0 },
        pending: 2
      })
      yield* broker.behave("ok")
    }).pipe(
      Effect.provide(layer({ config: { closeTimeout: "1 millis", batching: { maxSize: 2, capacity: 2 } } })),
      (test) => within("1 second", test)
    ))
})

describe("while an append is under way", () => {
  it.effect("nothing else of the user is appended, and all that came meanwhile goes in the next, in order", () =>
    Effect.gen(function*() {
      const broker = yield* TestBroker.TestBroker
      const ada = yield* (yield* Emitters).forUser({ userId: "ada" })
      yield* broker.behave({ after: "1 second", do: "ok" })
      const emit = (event: Event.Event) => Effect.forkChild(ada.emit(event), { startImmediately: true })
      yield* emit(urgent(1))
      for (const n of [2, 3, 4]) yield* emit(urgent(n))
      yield* emit(note(5))
      yield* emit(urgent(6))
      yield* TestClock.adjust("2 seconds")
      assert.deepStrictEqual(
        (yield* broker.calls).map(({ at, batch, endedAt }) => [at, endedAt, batch.length]),
        [[0, 1_000, 1], [1_000, 2_000, 5]]
      )
      assert.deepStrictEqual(notes(yield* broker.log(ada.context.userId)), [1, 2, 3, 4, 5, 6])
    }).pipe(Effect.provide(layer({ config }))))

  it.effect("other users do not wait for it", () =>
    Effect.gen(function*() {
      const broker = yield* TestBroker.TestBroker
      const emitters = yield* Emitters
      const ada = yield* emitters.forUser({ userId: "ada" })
      const bob = yield* emitters.forUser({ userId: "bob" })
      yield* broker.behave(({ user }) => user === ada.context.userId ? { after: "1 second", do: "ok" } : "ok")
      yield* Effect.forkChild(ada.emit(urgent(1)), { startImmediately: true })
      assert.deepInclude(yield* bob.emit(urgent(1)), { _tag: "Appended" })
      yield* TestClock.adjust("1 second")
    }).pipe(Effect.provide(layer({ config }))))
})

describe("an emitter", () => {
  it.effect("puts its context into every event", () =>
    Effect.gen(function*() {
      const context = {
        userId: "ada",
        threadId: "t1",
        runId: "r1",
        requestId: "req-1",
        trace: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
      }
      const ada = yield* (yield* Emitters).forUser(context)
      yield* ada.emit(AgentEvents.AgentStarted.make({ agentName: "a" }))
      const [logged = assert.fail("nothing left")] = yield* (yield* TestBroker.TestBroker).log(ada.context.userId)
      const { id, ...event } = logged.event
      assert.match(id, /^[a-z0-9]+-1$/)
      assert.deepStrictEqual(JSON.parse(JSON.stringify(event)), {
        offset: 1,
        type: "agent_started",
        at: 0,
        run: "r1",
        thread: "t1",
        request: "req-1",
        trace: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        data: { agentName: "a" }
      })
    }).pipe(Effect.provide(layer({ config }))))

  it.effect("cannot be made of ids that break the rules; every problem is told with its path", () =>
    Effect.gen(function*() {
      const { forUser } = yield* Emitters
      const error = yield* Effect.flip(forUser({ userId: "none", threadId: "a b", runId: "", priority: 11 }))
      assert.strictEqual(error._tag, "InvalidContext")
      for (const path of ["userId", "threadId", "runId", "priority"]) assert.include(error.problem, `["${path}"]`)
      assert.deepInclude(yield* (yield* Emitters).stats, { emitters: 0, users: 0 })
    }).pipe(Effect.provide(layer({ config }))))

  it.effect("refuses events once its scope has closed, while others of its user go on", () =>
    Effect.gen(function*() {
      const { forUser, stats } = yield* Emitters
      const scope = yield* Scope.make()
      const first = yield* Scope.provide(forUser({ userId: "ada" }), scope)
      const second = yield* forUser({ userId: "ada" })
      yield* Scope.close(scope, Exit.void)
      const error = yield* Effect.flip(first.emit(note(1)))
      assert.deepStrictEqual(error, new Emitter.EmitError({ reason: new Emitter.EmitterClosed() }))
      assert.deepStrictEqual(yield* second.emit(note(2)), { _tag: "Deferred" })
      assert.deepInclude(yield* stats, { emitters: 1, users: 1 })
    }).pipe(Effect.provide(layer({ config }))))

  it.effect("delivers what is pending when its scope closes", () =>
    Effect.gen(function*() {
      const broker = yield* TestBroker.TestBroker
      const { forUser, stats } = yield* Emitters
      const scope = yield* Scope.make()
      const ada = yield* Scope.provide(forUser({ userId: "ada" }), scope)
      yield* ada.emit(note(1))
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(notes(yield* broker.log(ada.context.userId)), [1])
      assert.deepInclude(yield* stats, { emitters: 0, users: 0, pending: 0 })
    }).pipe(Effect.provide(layer({ config }))))

  it.effect("waits for a slow broker when its scope closes, but no longer than closeTimeout", () =>
    Effect.gen(function*() {
      const broker = yield* TestBroker.TestBroker
      const { forUser } = yield* Emitters
      const scope = yield* Scope.make()
      const ada = yield* Scope.provide(forUser({ userId: "ada" }), scope)
      yield* broker.behave({ after: "10 seconds", do: "ok" })
      yield* ada.emit(note(1))
      const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void), { startImmediately: true })
      yield* TestClock.adjust("4999 millis")
      assert.isUndefined(closing.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      assert.isDefined(closing.pollUnsafe())
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual(notes(yield* broker.log(ada.context.userId)), [1])
    }).pipe(Effect.provide(layer({ config }))))
})

describe("an event that is not accepted", () => {
  const runsOf = (emitter: Emitter.Emitter["Service"]) =>
    emitter.emit(AgentEvents.AgentStarted.make({ agentName: "a" }))

  it.effect("says which path of its payload is wrong, and leaves no trace", () =>
    Effect.gen(function*() {
      const broker = yield* TestBroker.TestBroker
      const { forUser, stats } = yield* Emitters
      const ada = yield* forUser({ userId: "ada", runId: "r" })
      yield* runsOf(ada)
      const before = yield* stats

      yield* TestClock.adjust("1 second")
      const error = yield* Effect.flip(ada.emit(AgentEvents.ProgressUpdate.make({ progress: 101 })))
      assert.strictEqual(error.reason._tag, "InvalidPayload")
      assert.include(error.message, "progress_update")
      assert.include(error.message, `["progress"]`)
      assert.include(error.message, "101")

      const after = yield* stats
      assert.deepStrictEqual(after, { ...before, rejected: { InvalidPayload: 1 }, uptimeMs: before.uptimeMs + 1_000 })
      yield* ada.emit(AgentEvents.AgentThinking.make({ text: "next" }))
      const ids = (yield* broker.log(ada.context.userId)).map(({ event }) => event.id.split("-")[1])
      assert.deepStrictEqual(ids, ["1", "2"])
    }).pipe(Effect.provide(layer({ config }))))

  it.effect("says how large it is and what is allowed, and leaves no trace", () =>
    Effect.gen(function*() {
      const broker = yield* TestBroker.TestBroker
      const { forUser, stats } = yield* Emitters
      const ada = yield* forUser({ userId: "ada", runId: "r" })
      yield* runsOf(ada)
      const before = yield* stats

      yield* TestClock.adjust("1 second")
      const input = "ü".repeat(5_000)
      const error = yield* Effect.flip(
        ada.emit(AgentEvents.ToolExecuting.make({ toolCallId: "c", toolName: "t", input }))
      )
      const { reason } = error
      assert.isTrue(reason._tag === "EventTooLarge" && reason.bytes > 10_000 && reason.bytes < 10_300)
      assert.deepInclude(reason, { event: "tool_executing", limit: 8192 })

      const after = yield* stats
      assert.deepStrictEqual(after, { ...before, rejected: { EventTooLarge: 1 }, uptimeMs: before.uptimeMs + 1_000 })
      // The tool is not open, so the run may end.
      yield* ada.emit(AgentEvents.AgentCompleted.make({ agentName: "a", durationMs: 1 }))
      const ids = (yield* broker.log(ada.context.userId)).map(({ event }) => event.id.split("-")[1])
      assert.deepStrictEqual(ids, ["1", "2"])
    }).pipe(Effect.provide(layer({ config: { ...config, maxEventBytes: 8192 } }))))

  it.effect("costs no other event its place, when the oldest would have to make room", () =>
    Effect.gen(function*() {
      const broker = yield* TestBroker.TestBroker
      const { forUser, stats } = yield* Emitters
      const ada = yield* forUser({ userId: "ada" })
      yield* ada.emit(note(1))
      yield* ada.emit(note(2))
      yield* broker.behave({ after: "1 second", do: "ok" })
      yield* ada.emit(note(3))
      yield* ada.emit(note(4))
      yield* ada.emit(note(5))
      yield* ada.emit(note(6))
      yield* Effect.flip(ada.emit(note("x".repeat(9_000))))
      yield* Effect.flip(ada.emit(AgentEvents.AgentThinking.make({ text: "no run" })))
      assert.deepInclude((yield* stats).dropped, { overflow: 0 })
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual(notes(yield* broker.log(ada.context.userId)), [1, 2, 3, 4, 5, 6])
    }).pipe(
      Effect.provide(layer({
        config: {
          maxEventBytes: 8192,
          batching: { maxDelay: "20 millis", maxSize: 2, capacity: 2, overflow: "dropOldest" }
        }
      }))
    ))

  it.effect("is refused for its size also where it would be merged into an earlier one", () =>
    Effect.gen(function*() {
      const broker = yield* TestBroker.TestBroker
      const { forUser } = yield* Emitters
      const ada = yield* forUser({ userId: "ada", runId: "r" })
      yield* runsOf(ada)
      yield* ada.emit(AgentEvents.ProgressUpdate.make({ progress: 1, message: "small" }))
      const error = yield* Effect.flip(
        ada.emit(AgentEvents.ProgressUpdate.make({ progress: 2, message: "x".repeat(9_000) }))
      )
      assert.strictEqual(error.reason._tag, "EventTooLarge")
      yield* ada.emit(AgentEvents.TextDelta.make({ messageId: "m", delta: "a".repeat(5_000) }))
      yield* ada.emit(AgentEvents.TextDelta.make({ messageId: "m", delta: "b".repeat(5_000) }))
      yield* TestClock.adjust("20 millis")
      assert.deepStrictEqual(shown(yield* broker.log(ada.context.userId)).slice(1), [
        ["progress_update", { progress: 1, message: "small" }],
        ["text_delta", { messageId: "m", delta: "a".repeat(5_000) }],
        ["text_delta", { messageId: "m", delta: "b".repeat(5_000) }]
      ])
    }).pipe(Effect.provide(layer({ config: { ...config, maxEventBytes: 8192 } }))))

  it.effect("needs a run when its definition does", () =>
    Effect.gen(function*() {
      const { forUser } = yield* Emitters
      const ada = yield* forUser({ userId: "ada" })
      const error = yield* Effect.flip(ada.emit(AgentEvents.AgentThinking.make({ text: "" })))
      assert.deepStrictEqual(error, new Emitter.EmitError({ reason: new Emitter.NoRun({ event: "agent_thinking" }) }))
    }).pipe(Effect.provide(layer({ config }))))
})
