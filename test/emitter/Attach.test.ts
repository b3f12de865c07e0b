/** Emitters that are attached to runs which others began, in this process or another: one holder at a time, one ending. */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Exit, Fiber, Scope, Stream } from "effect"
import { AgentEvents, Broker, Command, Emitter, type Emitters, Identity, UserLog } from "effect-emitter"
import { TestClock } from "effect/testing"
import { runProcess } from "../broker/leases/runProcess.ts"
import { eventually } from "../broker/events.ts"
import { type NodeOptions, program, startNode, withServer } from "../broker/redis/redisNode.ts"
import { within } from "./support/emitting.ts"
import { ada, engine, entriesOf, memory, typesOf } from "./support/engines.ts"

const r = Identity.RunId.make("r")
const run = { userId: "ada", runId: "r" }
const started = AgentEvents.AgentStarted.make({ agentName: "agent" })
const completed = AgentEvents.AgentCompleted.make({ agentName: "agent", durationMs: 1 })
const thought = (text: string) => AgentEvents.AgentThinking.make({ text })

/** Why an attach was refused. */
const refusal = <A, E, R>(attach: Effect.Effect<A, E, R>) =>
  Effect.flatMap(
    Effect.flip(attach),
    (error) => error instanceof Emitter.AttachError ? Effect.succeed(error.reason) : Effect.die(error)
  )

/** Begins the run in an emitter of its own, which closes. */
const begun = ({ forUser }: Emitters["Service"]) =>
  Effect.scoped(Effect.flatMap(forUser(run), ({ emit }) => emit(started, { key: "start" })))

/** Everything that came of the run stands in order, and ends at most once. */
const assertWhole = (broker: Broker.Broker["Service"], types: ReadonlyArray<string>) =>
  Effect.gen(function*() {
    const entries = yield* entriesOf(broker)
    assert.deepStrictEqual(entries.map(({ type }) => type), types)
    assert.deepStrictEqual(entries.map(({ offset }) => offset), entries.map((_, n) => n + 1))
  })

/** The same over each broker; `node` gives one, as each process has its own. */
const suite = <E>(node: Effect.Effect<Broker.Broker["Service"], E, Scope.Scope>) => ({
  "is refused to a run that the user's log does not know, and leaves it unknown": Effect.gen(function*() {
    const broker = yield* node
    const emitters = yield* engine(broker)
    yield* begun(emitters)
    for (const context of [{ userId: "ada", runId: "other" }, { userId: "bob", runId: "r" }]) {
      assert.deepInclude(yield* refusal(emitters.attach(context)), {
        _tag: "RunUnknown",
        run: Identity.RunId.make(context.runId)
      })
    }
    // What was refused holds nothing.
    const emitter = yield* emitters.forUser({ userId: "ada", runId: "other" })
    yield* emitter.emit(started, { key: "start" })
    yield* assertWhole(broker, ["agent_started", "agent_started"])
  }),

  "is refused to a run that has ended, whatever its end": Effect.gen(function*() {
    const [here, there] = [yield* node, yield* node]
    const [one, other] = [yield* engine(here), yield* engine(there)]
    const emitter = yield* one.forUser(run)
    yield* Effect.succeed(42).pipe(emitter.run({ agentName: "agent" }))
    yield* Effect.scoped(Effect.gen(function*() {
      const cancelled = yield* one.forUser({ userId: "ada", runId: "s" })
      yield* cancelled.emit(started)
    }))
    for (const { attach } of [one, other]) {
      assert.deepInclude(yield* refusal(attach(run)), { _tag: "RunEnded", outcome: "completed" })
      const reason = yield* refusal(attach({ userId: "ada", runId: "s" }))
      assert.deepInclude(reason, { _tag: "RunEnded", outcome: "cancelled" })
    }
  }),

  "is refused to a run that an open emitter holds, however it began": Effect.gen(function*() {
    const [here, there] = [yield* node, yield* node]
    const [one, other] = [yield* engine(here), yield* engine(there)]
    const keyed = yield* one.forUser(run)
    yield* keyed.emit(started, { key: "start" })
    const plain = yield* one.forUser({ userId: "ada", runId: "plain" })
    yield* plain.emit(started)
    const wrapped = yield* one.forUser({ userId: "ada", runId: "wrapped" })
    yield* Effect.gen(function*() {
      for (const runId of ["r", "plain", "wrapped"]) {
        for (const { attach } of [one, other]) {
          const run = Identity.RunId.make(runId)
          assert.deepInclude(yield* refusal(attach({ userId: "ada", runId })), { _tag: "RunHeld", run })
        }
      }
      // Nobody was barred by asking.
      yield* Emitter.emit(thought("on"))
      yield* plain.emit(thought("on"))
      assert.deepInclude(yield* keyed.emit(thought("on"), { key: "on" }), { _tag: "Appended" })
    }).pipe(wrapped.run({ agentName: "agent" }))
    assert.lengthOf(yield* typesOf(here), 7)
  }),

  "goes on with a run that was let go, as the log has it, and ends it": Effect.gen(function*() {
    const [here, there] = [yield* node, yield* node]
    const usage = AgentEvents.UsageReported.make({ inputTokens: 3, outputTokens: 2 })
    yield* Effect.scoped(Effect.gen(function*() {
      const emitter = yield* (yield* engine(here)).forUser({ ...run, threadId: "t" })
      yield* emitter.emit(started, { key: "start" })
      yield* emitter.emit(usage, { key: "usage" })
      yield* emitter.emit(AgentEvents.ToolExecuting.make({ toolCallId: "call-3", toolName: "search", input: null }))
    }))
    const before = ["agent_started", "usage_reported", "tool_executing"]
    yield* Effect.scoped(Effect.gen(function*() {
      const emitters = yield* engine(there)
      const emitter = yield* emitters.attach(run)
      assert.deepEqual({ ...emitter.context }, { userId: ada, runId: r, threadId: Identity.ThreadId.make("t") })
      assert.deepStrictEqual(yield* emitter.usage, { inputTokens: 3, outputTokens: 2 })
      assert.deepInclude(yield* emitter.emit(usage, { key: "usage" }), { _tag: "Appended" })
      const again = yield* Effect.flip(emitter.emit(started))
      assert.deepInclude(again.reason, { _tag: "IllegalEvent", problem: "alreadyStarted" })
      const early = yield* Effect.flip(emitter.emit(completed))
      assert.deepInclude(early.reason, { problem: "toolsOpen", toolCallId: "call-3" })
      yield* emitter.emit(
        AgentEvents.ToolCompleted.make({
          toolCallId: "call-3",
          toolName: "search",
          output: null,
          isError: false,
          durationMs: 1
        })
      )
      yield* Effect.void.pipe(emitter.tool("next", null))
      yield* Effect.void.pipe(emitter.run({ agentName: "inner" }))
      yield* emitter.emit(completed)
      const late = yield* Effect.flip(emitter.emit(thought("late")))
      assert.deepInclude(late.reason, { _tag: "IllegalEvent", problem: "alreadyEnded" })
      assert.deepInclude(yield* refusal(emitters.attach(run)), { _tag: "RunEnded", outcome: "completed" })
    }))
    yield* assertWhole(there, [
      ...before,
      "tool_completed",
      "tool_executing",
      "tool_completed",
      "agent_started",
      "agent_completed",
      "agent_completed"
    ])
    const events = yield* Stream.runCollect(UserLog.events(ada, AgentEvents.catalog)).pipe(
      Effect.provideService(Broker.Broker, there)
    )
    assert.deepStrictEqual([...new Set(events.map((event) => event.type === "$gap" ? "gap" : event.thread))], ["t"])
    const tools = events.flatMap((event) => event.type === "tool_executing" ? [event.payload.toolCallId] : [])
    assert.deepStrictEqual(tools, ["call-3", "call-4"])
    const inner = events.flatMap((event) => event.type === "agent_started" ? [event.payload.parentRunId] : [])
    assert.deepStrictEqual(inner, [undefined, "r"])
  }),

  "lets the run go when its scope closes, and the next is attached, here or there": Effect.gen(function*() {
    const [here, there] = [yield* node, yield* node]
    const [one, other] = [yield* engine(here), yield* engine(there)]
    yield* begun(one)
    for (const [n, { attach }] of [one, one, other, one, other, other, one].entries()) {
      yield* Effect.scoped(Effect.flatMap(attach(run), ({ emit }) => emit(thought(String(n)))))
    }
    yield* Effect.scoped(Effect.flatMap(other.attach(run), ({ emit }) => emit(completed)))
    yield* assertWhole(here, ["agent_started", ...Array.from({ length: 7 }, () => "agent_thinking"), "agent_completed"])
  }),

  "finds free what a layer held that has closed": Effect.gen(function*() {
    const [here, there] = [yield* node, yield* node]
    const layers = yield* Scope.make()
    const emitter = yield* (yield* Scope.provide(engine(here), layers)).forUser(run)
    yield* emitter.emit(started, { key: "start" })
    yield* Scope.close(layers, Exit.void)
    const attached = yield* (yield* engine(there)).attach(run)
    yield* attached.emit(completed)
    yield* assertWhole(there, ["agent_started", "agent_completed"])
  }),

  "is refused while another emitter is open that is bound to the run and emits into it": Effect.gen(function*() {
    const [here, there] = [yield* node, yield* node]
    const [one, other] = [yield* engine(here), yield* engine(there)]
    const second = yield* Scope.make()
    const plain = yield* Scope.provide(one.forUser(run), second)
    yield* begun(one)
    yield* plain.emit(thought("on"))
    for (const { attach } of [one, other]) assert.deepInclude(yield* refusal(attach(run)), { _tag: "RunHeld" })
    yield* Scope.close(second, Exit.void)
    const attached = yield* other.attach(run)
    yield* attached.emit(completed)
    yield* assertWhole(there, ["agent_started", "agent_thinking", "agent_completed"])
  }),

  "succeeds for exactly one of many who attach at once": Effect.gen(function*() {
    const [here, there] = [yield* node, yield* node]
    const engines = [yield* engine(here), yield* engine(here), yield* engine(there)]
    yield* begun(yield* engine(here))
    const exits = yield* Effect.forEach(
      [...engines, ...engines],
      ({ attach }) => Effect.exit(Effect.flip(attach(run))),
      { concurrency: "unbounded" }
    )
    const reasons = exits.flatMap((exit) =>
      Exit.isSuccess(exit) && exit.value instanceof Emitter.AttachError ? [exit.value.reason._tag] : []
    )
    assert.deepStrictEqual(reasons, Array.from({ length: 5 }, () => "RunHeld"))
  }),

  "bars who held the run from it: what comes late of them is refused, and ends nothing": Effect.gen(function*() {
    const [here, there] = [yield* node, yield* node]
    const one = yield* engine(here)
    // It is bound to the run as well, and has not emitted: it does not hold the run.
    const late = yield* one.forUser(run)
    yield* begun(one)
    const attached = yield* (yield* engine(there)).attach(run)
    yield* attached.emit(thought("mine"))
    for (const event of [thought("late"), completed]) {
      const exit = yield* Effect.exit(late.emit(event))
      if (Exit.isSuccess(exit)) assert.deepInclude(exit.value, { _tag: "DeadLettered" })
    }
    const refused = yield* Effect.flip(late.emit(thought("later")))
    assert.deepInclude(refused.reason, { _tag: "IllegalEvent", problem: "alreadyEnded" })
    yield* attached.emit(completed)
    yield* assertWhole(there, ["agent_started", "agent_thinking", "agent_completed"])
    assert.deepInclude(yield* refusal(one.attach(run)), { _tag: "RunEnded", outcome: "completed" })
  }),

  "takes the commands of the run along: whoever lost it does not answer in its stead": Effect.gen(function*() {
    const [here, there] = [yield* node, yield* node]
    const one = yield* engine(here)
    // It keeps in mind that the run was lost to it.
    yield* one.forUser(run)
    yield* begun(one)
    yield* (yield* engine(there)).attach(run)
    const outcome = yield* (there.commands ?? assert.fail("no commands")).send(
      ada,
      { id: Command.CommandId.make("c1"), run: r, name: "cancel" },
      Duration.seconds(20)
    )
    assert.deepInclude(outcome, { outcome: "refused", reason: "notAllowed" })
  }),

  "needs a run, and tells what is wrong with a context": Effect.gen(function*() {
    const { attach } = yield* engine(yield* node)
    // @ts-expect-error an emitter is attached to a run
    const without = attach({ userId: "ada" })
    assert.include((yield* Effect.flip(without)).message, `at ["runId"]`)
    const invalid = yield* Effect.flip(attach({ userId: "", runId: "r" }))
    assert.deepInclude(invalid, { _tag: "InvalidContext" })
  })
})

const names = Object.keys(suite(memory)) as Array<keyof ReturnType<typeof suite>>

describe("Attaching, over memory,", () => {
  for (const name of names) {
    // One process has one memory: its engines share it.
    it.live(
      name,
      () => Effect.scoped(Effect.flatMap(memory, (broker) => Effect.asVoid(suite(Effect.succeed(broker))[name])))
    )
  }

  it.effect("that is interrupted leaves the run to the next", () =>
    Effect.gen(function*() {
      const broker = yield* memory
      const slow = { ...broker, takeOver: () => Effect.never }
      yield* begun(yield* engine(broker))
      const hanging = yield* Effect.forkChild((yield* engine(slow)).attach(run))
      yield* TestClock.adjust("1 second")
      yield* Fiber.interrupt(hanging)
      const attached = yield* (yield* engine(broker)).attach(run)
      yield* attached.emit(completed)
      yield* assertWhole(broker, ["agent_started", "agent_completed"])
    }))

  it.effect("waits for what its holder still has to deliver: it is let go once all of it is in the log", () =>
    Effect.gen(function*() {
      const broker = yield* memory
      let letGo = 0
      let isDown = false
      const down = Effect.fail(
        new Broker.BrokerError({
          reason: new Broker.BrokerUnavailable({ operation: "append", afterMs: 0, cause: new Error("down") })
        })
      )
      const { appendUnsafe: _, ...others } = broker
      const seen: Broker.Broker["Service"] = {
        ...others,
        append: (...args) => Effect.suspend(() => isDown ? down : broker.append(...args)),
        letGo: (_user, runs) => Effect.sync(() => void (letGo += runs.length))
      }
      const emitters = yield* engine(seen, { retry: { attempts: 1 } })
      const closing = yield* Scope.make()
      const emitter = yield* Scope.provide(emitters.forUser(run), closing)
      yield* emitter.emit(started, { key: "start" })
      isDown = true
      assert.deepInclude(yield* within("10 seconds", emitter.emit(thought("spooled"))), { _tag: "HandedOver" })
      yield* Scope.close(closing, Exit.void)
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual(letGo, 0)
      isDown = false
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(letGo, 1)
      yield* assertWhole(broker, ["agent_started", "agent_thinking"])
    }))
})

const options: NodeOptions = {
  lease: "2 seconds",
  deadline: "500 millis",
  silence: "1 second",
  trustRestarts: true
}

describe.skipIf(program === undefined)("Attaching, over Redis,", () => {
  for (const name of names) {
    it.live(
      name,
      () => withServer({}, ({ url }) => Effect.asVoid(suite(startNode(url, options))[name]), 55),
      120_000
    )
  }

  /** A process that runs the run, and two that look on: the second is attached to nothing. */
  const withChild = <E>(
    body: (running: {
      readonly child: Effect.Success<ReturnType<typeof runProcess>>
      readonly broker: Broker.Broker["Service"]
      readonly other: Broker.Broker["Service"]
    }) => Effect.Effect<void, E, Scope.Scope>
  ) =>
    withServer({}, ({ url }) =>
      Effect.gen(function*() {
        const [broker, other] = [yield* startNode(url, options), yield* startNode(url, options)]
        const child = yield* runProcess({ url, user: "ada", run: "r" })
        yield* child.until("receipt", (receipts) => receipts.filter((tag) => tag === "Appended").length >= 3)
        yield* body({ child, broker, other })
      }), 55)

  const endings = (broker: Broker.Broker["Service"]) =>
    Effect.map(typesOf(broker), (types) => types.filter((type) => /completed|error/.test(type)))

  it.live(
    "gets the run of a process that was killed instead of the run being lost, and no other does",
    () =>
      withChild(({ broker, child, other }) =>
        Effect.gen(function*() {
          const { attach } = yield* engine(broker)
          assert.deepInclude(yield* refusal(attach(run)), { _tag: "RunHeld", by: "anotherProcess" })
          yield* child.kill
          const both = yield* Effect.all([attach(run), (yield* engine(other)).attach(run)].map(Effect.exit), {
            concurrency: "unbounded"
          })
          const [attached, ...none] = both.filter(Exit.isSuccess)
          assert.deepStrictEqual(none, [])
          if (attached === undefined) throw new Error(`nobody was attached: ${both.join()}`)
          yield* attached.value.emit(thought("mine"))
          // Nobody who looks on takes the run for lost.
          yield* Effect.sleep("5 seconds")
          assert.deepStrictEqual(yield* endings(broker), [])
          yield* attached.value.emit(completed)
          const entries = yield* entriesOf(broker)
          assert.deepStrictEqual(entries.slice(-2).map(({ type }) => type), ["agent_thinking", "agent_completed"])
          assert.deepStrictEqual(entries.map(({ offset }) => offset), entries.map((_, n) => n + 1))
          assert.deepStrictEqual(yield* endings(broker), ["agent_completed"])
        })
      ),
    120_000
  )

  it.live(
    "bars a process that was frozen for longer than its lease: it learns that the run is lost to it, and ends nothing",
    () =>
      withChild(({ broker, child }) =>
        Effect.gen(function*() {
          yield* child.freeze
          const attached = yield* (yield* engine(broker)).attach(run)
          yield* attached.emit(thought("mine"))
          const before = yield* typesOf(broker)
          yield* child.thaw
          yield* child.until("exit", ({ length }) => length === 1)
          assert.deepStrictEqual(child.said("exit"), ["interrupted"])
          assert.deepStrictEqual(child.said("refused"), ["IllegalEvent"])
          assert.deepStrictEqual(yield* typesOf(broker), before)
          yield* attached.emit(completed)
          assert.deepStrictEqual(yield* typesOf(broker), [...before, "agent_completed"])
        })
      ),
    120_000
  )

  it.live(
    "that is given up leaves the run of a dead process to be lost",
    () =>
      withChild(({ broker, child, other }) =>
        Effect.gen(function*() {
          yield* child.kill
          const waiting = yield* Effect.forkChild((yield* engine(broker)).attach(run))
          yield* Effect.sleep("300 millis")
          yield* Fiber.interrupt(waiting)
          yield* eventually(endings(other), ({ length }) => length === 1, "the end of the run", 15)
          assert.deepInclude(yield* refusal((yield* engine(other)).attach(run)), { _tag: "RunEnded", outcome: "lost" })
        })
      ),
    120_000
  )

  it.live(
    "keeps the run while its emitter is silent, and it is lost once with the process that let it go last",
    () =>
      withServer({}, ({ url }) =>
        Effect.gen(function*() {
          const broker = yield* startNode(url, options)
          const second = yield* Scope.make()
          yield* begun(yield* engine(yield* startNode(url, options)))
          const { attach } = yield* Scope.provide(Effect.flatMap(startNode(url, options), engine), second)
          yield* Scope.provide(attach(run), second)
          yield* Effect.sleep("5 seconds")
          yield* assertWhole(broker, ["agent_started"])
          yield* Scope.close(second, Exit.void)
          yield* eventually(endings(broker), ({ length }) => length === 1, "the end of the run", 15)
          yield* Effect.sleep("3 seconds")
          const { snapshot } = yield* broker.snapshot(ada, r)
          assert.strictEqual(snapshot?.state.status, "lost")
          yield* assertWhole(broker, ["agent_started", "agent_error"])
        }), 55),
    120_000
  )
})
