/** What is emitted with a key is in the log once, whoever emits it again. */
import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Layer, Scope } from "effect"
import { AgentEvents, Broker, Emitter, Emitters, Event, Spool } from "effect-emitter"
import { type Delivered, TestBroker } from "effect-emitter/testing"
import { TestClock } from "effect/testing"
import { eventually } from "../broker/events.ts"
import { program, startNode, withServer } from "../broker/redis/redisNode.ts"
import { layer, note, notes, shown, urgent, within } from "./support/emitting.ts"
import { ada, engine, memory, typesOf } from "./support/engines.ts"

const run = { userId: "ada", runId: "r" }
const started = AgentEvents.AgentStarted.make({ agentName: "agent" })
const executing = AgentEvents.ToolExecuting.make({ toolCallId: "c", toolName: "search", input: null })
const completed = AgentEvents.AgentCompleted.make({ agentName: "agent", durationMs: 1 })
const thought = (text: string) => AgentEvents.AgentThinking.make({ text })

const at = (log: ReadonlyArray<Delivered.Logged>, offset: number) => ({
  _tag: "Appended" as const,
  position: log[offset - 1]?.position ?? assert.fail(`there is no offset ${offset}`)
})

/** The same over each broker; `node` gives one, as each process has its own. */
const suite = <E>(node: Effect.Effect<Broker.Broker["Service"], E, Scope.Scope>) => ({
  "is taken once, from the same emitter, another one, and another process": Effect.gen(function*() {
    const [here, there] = [yield* node, yield* node]
    const emitters = yield* engine(here)
    const [one, two, other] = [
      yield* emitters.forUser({ userId: "ada" }),
      yield* emitters.forUser({ userId: "ada" }),
      yield* (yield* engine(there)).forUser({ userId: "ada" })
    ]
    const first = yield* one.emit(urgent(1), { key: "a" })
    assert.deepInclude(first, { _tag: "Appended" })
    yield* other.emit(urgent(2), { key: "b" })
    for (const emitter of [one, two, other]) {
      assert.deepStrictEqual(yield* emitter.emit(urgent(1), { key: "a" }), first)
    }
    assert.lengthOf(yield* typesOf(here), 2)
  }),

  "is its run's and its user's own": Effect.gen(function*() {
    const broker = yield* node
    const { forUser } = yield* engine(broker)
    for (const context of [{ userId: "ada" }, { userId: "bob" }, run, { userId: "ada", runId: "s" }]) {
      assert.deepInclude(yield* (yield* forUser(context)).emit(urgent(1), { key: "a" }), { _tag: "Appended" })
    }
    assert.lengthOf(yield* typesOf(broker), 3)
  }),

  "is not refused where its run stands behind it": Effect.gen(function*() {
    const broker = yield* node
    const emitter = yield* (yield* engine(broker)).forUser(run)
    const all = [[started, "start"], [thought("hm"), "hm"], [completed, "end"]] as const
    const receipts = yield* Effect.forEach([...all, ...all], ([event, key]) => emitter.emit(event, { key }))
    assert.deepStrictEqual(receipts.slice(3), receipts.slice(0, 3))
    assert.deepStrictEqual(yield* typesOf(broker), ["agent_started", "agent_thinking", "agent_completed"])
    const refused = yield* Effect.flip(emitter.emit(thought("late"), { key: "late" }))
    assert.deepInclude(refused.reason, { _tag: "IllegalEvent", problem: "alreadyEnded" })
  }),

  "with all of its run, done again by another process, adds nothing": Effect.gen(function*() {
    const [here, there] = [yield* node, yield* node]
    const all = (emitters: Emitters["Service"]) =>
      Effect.scoped(Effect.gen(function*() {
        const emitter = yield* emitters.forUser(run)
        yield* emitter.emit(started, { key: "start" })
        yield* emitter.emit(executing, { key: "search" })
        return yield* emitter.emit(AgentEvents.AgentError.make({ reason: "failed", message: "no", retryable: false }), {
          key: "end"
        })
      }))
    const first = yield* all(yield* engine(here))
    assert.deepStrictEqual(yield* all(yield* engine(there)), first)
    assert.deepStrictEqual(yield* typesOf(here), ["agent_started", "tool_executing", "agent_error"])
  }),

  "goes on with the run of another process, that an emitter began which has closed": Effect.gen(function*() {
    const [here, there] = [yield* node, yield* node]
    const usage = AgentEvents.UsageReported.make({ inputTokens: 3, outputTokens: 2 })
    yield* Effect.scoped(Effect.gen(function*() {
      const emitter = yield* (yield* engine(here)).forUser(run)
      yield* emitter.emit(started, { key: "start" })
      yield* emitter.emit(usage, { key: "usage" })
      yield* emitter.emit(executing, { key: "search" })
    }))
    const emitter = yield* (yield* engine(there)).forUser(run)
    const before = yield* typesOf(there)
    assert.deepStrictEqual(before, ["agent_started", "usage_reported", "tool_executing"])
    for (const [event, key] of [[started, "start"], [usage, "usage"], [executing, "search"]] as const) {
      assert.deepInclude(yield* emitter.emit(event, { key }), { _tag: "Appended" })
    }
    assert.deepStrictEqual(yield* typesOf(there), before)
    assert.deepStrictEqual(yield* emitter.usage, { inputTokens: 3, outputTokens: 2 })
    const early = yield* Effect.flip(emitter.emit(completed, { key: "end" }))
    assert.deepInclude(early.reason, { _tag: "IllegalEvent", problem: "toolsOpen" })
    const found = AgentEvents.ToolCompleted.make({
      toolCallId: "c",
      toolName: "search",
      output: null,
      isError: false,
      durationMs: 1
    })
    yield* emitter.emit(found, { key: "found" })
    yield* emitter.emit(completed, { key: "end" })
    assert.deepStrictEqual(yield* typesOf(there), [...before, "tool_completed", "agent_completed"])
    const late = yield* Effect.flip(
      Effect.flatMap(engine(here), ({ forUser }) => forUser(run)).pipe(
        Effect.flatMap((again) => again.emit(thought("late"), { key: "late" }))
      )
    )
    assert.include(late.message, "the run has ended")
    assert.deepStrictEqual(yield* typesOf(there), [...before, "tool_completed", "agent_completed"])
  }),

  "goes on with what the run of another process asked its user": Effect.gen(function*() {
    const [here, there] = [yield* node, yield* node]
    const ask = (requestId: string, sensitive?: boolean) =>
      AgentEvents.InputRequested.make({ requestId, kind: "text", title: "?", sensitive })
    const answer = (requestId: string) =>
      AgentEvents.InputResolved.make({ requestId, outcome: "answered", answer: "hunter2" })
    yield* Effect.scoped(Effect.gen(function*() {
      const emitter = yield* (yield* engine(here)).forUser(run)
      yield* emitter.emit(started, { key: "start" })
      yield* emitter.emit(ask("open"), { key: "open" })
      yield* emitter.emit(ask("secret", true), { key: "secret" })
      yield* emitter.emit(ask("done"), { key: "done" })
      yield* emitter.emit(answer("done"), { key: "answer" })
    }))
    const emitter = yield* (yield* engine(there)).forUser(run)
    const problem = (event: Event.Event, key: string) =>
      Effect.map(
        Effect.exit(emitter.emit(event, { key })),
        (exit) => Exit.isSuccess(exit) ? exit.value._tag : /legal here: (.*)/.exec(Cause.pretty(exit.cause))?.[1]
      )
    assert.deepStrictEqual(
      yield* Effect.forEach(
        [ask("done"), ask("open"), answer("done"), answer("secret"), answer("open"), answer("open"), answer("never")],
        (event, n) => problem(event, `there-${n}`)
      ),
      [
        `the run had a request with this id (request "done")`,
        `the run had a request with this id (request "open")`,
        `no such request is open (request "done")`,
        `the answer to a sensitive request must not be in it (request "secret")`,
        "Appended",
        `no such request is open (request "open")`,
        `no such request is open (request "never")`
      ]
    )
  }),

  "is repeated many times at once, and taken once": Effect.gen(function*() {
    const [here, there] = [yield* node, yield* node]
    const emitters = yield* Effect.forEach(
      [yield* engine(here), yield* engine(there)],
      ({ forUser }) => forUser({ userId: "ada" })
    )
    const keys = [1, 2, 3].flatMap((n) => [...emitters, ...emitters].map((emitter) => [emitter, n] as const))
    const receipts = yield* Effect.forEach(
      keys,
      ([emitter, n]) =>
        Effect.map(emitter.emit(urgent(n), { key: `k${n}` }), (receipt) => JSON.stringify([n, receipt])),
      { concurrency: "unbounded" }
    )
    assert.strictEqual(new Set(receipts).size, 3)
    assert.lengthOf(yield* typesOf(here), 3)
  })
})

describe("What is emitted with a key, over memory,", () => {
  // One process has one memory: its engines share it.
  const shared = (use: typeof suite) => Effect.map(memory, (broker) => use(Effect.succeed(broker)))
  for (const name of Object.keys(suite(memory)) as Array<keyof ReturnType<typeof suite>>) {
    it.effect(name, () => Effect.scoped(Effect.flatMap(shared(suite), (tests) => tests[name])))
  }

  it.effect("keeps its place among pieces of a text", () =>
    Effect.gen(function*() {
      const broker = yield* TestBroker.TestBroker
      const emitter = yield* (yield* Emitters).forUser(run)
      yield* emitter.emit(started)
      const delta = (text: string) => AgentEvents.TextDelta.make({ messageId: "m", delta: text })
      yield* emitter.emit(delta("a"))
      yield* emitter.emit(delta("b"), { key: "b" })
      assert.deepStrictEqual(yield* emitter.emit(delta("b"), { key: "b" }), { _tag: "Deferred" })
      yield* emitter.emit(delta("c"))
      yield* emitter.emit(delta("d"))
      yield* TestClock.adjust("1 second")
      assert.deepInclude(yield* emitter.emit(delta("b"), { key: "b" }), { _tag: "Appended" })
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(
        shown(yield* broker.log(ada)).slice(1).map(([, data]) => data),
        ["a", "b", "cd"].map((text) => ({ messageId: "m", delta: text }))
      )
    }).pipe(Effect.provide(layer())))

  it.effect("goes out in order with what waits before and behind it, and each is told its own position", () =>
    Effect.gen(function*() {
      const broker = yield* TestBroker.TestBroker
      const emitter = yield* (yield* Emitters).forUser({ userId: "ada" })
      const first = yield* emitter.emit(urgent("a"), { key: "a" })
      yield* emitter.emit(note(1))
      yield* emitter.emit(note("b"), { key: "b" })
      yield* emitter.emit(note(2))
      assert.deepStrictEqual(yield* emitter.emit(urgent("c"), { key: "c" }), at(yield* broker.log(ada), 5))
      yield* broker.behave({ after: "1 second", do: "ok" })
      const repeated = Effect.scoped(
        Effect.flatMap(Emitters, ({ forUser }) => forUser({ userId: "ada" })).pipe(
          Effect.flatMap((other) => other.emit(urgent("a"), { key: "a" }))
        )
      )
      const all = [emitter.emit(urgent(3)), repeated, emitter.emit(urgent(4)), emitter.emit(urgent("d"), { key: "d" })]
      const receipts = yield* within("10 seconds", Effect.all(all, { concurrency: "unbounded" }))
      const log = yield* broker.log(ada)
      assert.deepStrictEqual(notes(log), ["a", 1, "b", 2, "c", 3, 4, "d"])
      assert.deepStrictEqual(receipts, [at(log, 6), first, at(log, 7), at(log, 8)])
    }).pipe(Effect.provide(layer())))

  it.effect("is delivered when its emitter closes, with all that waits around it", () =>
    Effect.gen(function*() {
      const broker = yield* TestBroker.TestBroker
      const { forUser } = yield* Emitters
      yield* Effect.scoped(Effect.gen(function*() {
        const emitter = yield* forUser({ userId: "ada" })
        for (const n of [1, 2, 3, 4]) yield* emitter.emit(note(n), n % 2 === 0 ? { key: String(n) } : {})
      }))
      assert.deepStrictEqual(notes(yield* broker.log(ada)), [1, 2, 3, 4])
    }).pipe(Effect.provide(layer())))

  it.effect("counts what it used once", () =>
    Effect.gen(function*() {
      const emitter = yield* (yield* Emitters).forUser(run)
      yield* emitter.emit(started)
      const usage = AgentEvents.UsageReported.make({ inputTokens: 3, outputTokens: 2 })
      for (let n = 0; n < 3; n++) yield* emitter.emit(usage, { key: "usage" })
      yield* TestClock.adjust("1 second")
      yield* emitter.emit(usage, { key: "usage" })
      assert.deepStrictEqual(yield* emitter.usage, { inputTokens: 3, outputTokens: 2 })
    }).pipe(Effect.provide(layer())))

  it.effect("got lost on its way, and follows when it is repeated", () =>
    Effect.gen(function*() {
      const broker = yield* TestBroker.TestBroker
      const emitter = yield* (yield* Emitters).forUser(run)
      yield* emitter.emit(started)
      yield* broker.behave("fail")
      const lost = yield* within("1 minute", emitter.emit(executing, { key: "search" }))
      assert.deepInclude(lost, { _tag: "DeadLettered" })
      yield* broker.behave("ok")
      yield* TestClock.adjust("1 minute")
      assert.deepInclude(yield* emitter.emit(executing, { key: "search" }), { _tag: "Appended" })
      const types = (yield* broker.log(ada)).map(({ event }) => event.type)
      assert.deepStrictEqual(types, ["agent_started", "tool_executing"])
    }).pipe(Effect.provide(layer({ config: { retry: { attempts: 1 } } }))))

  it.effect("waits in a spool, and is in the log once though it was repeated meanwhile", () =>
    Effect.gen(function*() {
      const broker = yield* TestBroker.TestBroker
      const emitter = yield* (yield* Emitters).forUser({ userId: "ada" })
      yield* broker.behave("fail")
      const once = emitter.emit(urgent(1), { key: "a" })
      for (let n = 0; n < 2; n++) assert.deepInclude(yield* within("10 seconds", once), { _tag: "HandedOver" })
      yield* broker.behave("ok")
      yield* TestClock.adjust("1 minute")
      assert.deepInclude(yield* emitter.emit(urgent(1), { key: "a" }), { _tag: "Appended" })
      assert.deepStrictEqual(notes(yield* broker.log(ada)), [1])
    }).pipe(
      Effect.provide(
        Layer.unwrap(
          Effect.map(Spool.memory(), (spool) => layer({ config: { retry: { attempts: 1 } }, channels: [spool] }))
        )
      )
    ))

  it.effect("goes through the combinator and the recorder, and undefined is no key", () =>
    Effect.gen(function*() {
      const broker = yield* TestBroker.TestBroker
      for (let n = 0; n < 2; n++) {
        yield* Emitter.emit(Event.critical(note("keyed")), { key: "k" })
        yield* Emitter.emit(Event.critical(note("plain")), { key: undefined })
      }
      assert.deepStrictEqual(notes(yield* broker.log(ada)), ["keyed", "plain", "plain"])
    }).pipe(Effect.provide(Emitter.layerUser({ userId: "ada" }).pipe(Layer.provideMerge(layer())))))
})

describe.skipIf(program === undefined)("What is emitted with a key, over Redis,", () => {
  const node = (url: string) => startNode(url)
  for (const name of Object.keys(suite(node(""))) as Array<keyof ReturnType<typeof suite>>) {
    it.live(name, () => withServer({}, ({ url }) => Effect.asVoid(suite(node(url))[name])))
  }

  it.live(
    "keeps its run alive in the process that emitted last, and the run is lost once where that one dies",
    () =>
      withServer({}, ({ url }) =>
        Effect.gen(function*() {
          const options = { lease: "3 seconds", deadline: "1 second", silence: "1500 millis" } as const
          const watching = yield* startNode(url, options)
          const second = yield* Scope.make()
          const there = yield* startNode(url, options).pipe(Effect.flatMap(engine), Scope.provide(second))
          const goesOn = yield* Scope.provide(there.forUser(run), second)
          // A process that goes leaves its lease to run out, as one that is killed does, while a run of it is active.
          yield* Effect.scoped(Effect.gen(function*() {
            const here = yield* engine(yield* startNode(url, options))
            yield* (yield* here.forUser(run)).emit(started, { key: "start" })
          }))
          yield* goesOn.emit(thought("on"), { key: "on" })
          yield* Effect.sleep("9 seconds")
          assert.deepStrictEqual(yield* typesOf(watching), ["agent_started", "agent_thinking"])
          yield* Scope.close(second, Exit.void)
          const story = ["agent_started", "agent_thinking", "agent_error"]
          yield* eventually(typesOf(watching), ({ length }) => length === 3, "the end of the run", 15)
          yield* Effect.sleep("4 seconds")
          assert.deepStrictEqual(yield* typesOf(watching), story)
        }), 55),
    120_000
  )
})
