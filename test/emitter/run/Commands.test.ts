/** What devices ask of runs: P10, commanded. */
import { assert, describe, it } from "@effect/vitest"
import { Cause, Duration, Effect, Exit, Fiber, Option, Queue, Schema, Stream } from "effect"
import { AgentEvents, Broker, Emitter, Emitters, Identity } from "effect-emitter"
import { Command } from "effect-emitter/events"
import { TestBroker } from "effect-emitter/testing"
import { TestClock } from "effect/testing"
import { layer, urgent } from "../support/emitting.ts"

const ada = Identity.UserId.make("ada")
const agent = { agentName: "a" }

let ids = 0

/** Sends a command to a run of Ada's. */
const send = (name: string, data?: Schema.Json, run = "r1", id = `c${++ids}`) =>
  Effect.gen(function*() {
    const { commands } = yield* Broker.Broker
    const { id: commandId, ...rest } = { id: Command.CommandId.make(id), run: Identity.RunId.make(run), name }
    const command = { id: commandId, ...rest, client: "tab", ...(data === undefined ? {} : { data }) }
    assert.isDefined(commands)
    const sending = yield* Effect.forkChild(commands.send(ada, command, Duration.seconds(5)))
    yield* TestClock.adjust("1 millis")
    return yield* Fiber.join(sending)
  })

const open = Effect.flatMap(Emitters, ({ forUser }) => forUser({ userId: "ada", runId: "r1" }))

/** Begins a run, on a fiber of its own. */
const begin = <A, E>(
  program: Effect.Effect<A, E, Emitter.Emitter>,
  options: Emitter.PlainRunOptions = agent
) =>
  Effect.gen(function*() {
    const emitter = yield* open
    const caller = yield* Effect.forkChild(Effect.exit(emitter.run(program, options)))
    yield* TestClock.adjust("1 millis")
    return caller
  })

const logged = Effect.map(
  Effect.flatMap(TestBroker.TestBroker, ({ log }) => log(ada)),
  (log) => log.map(({ event: { data, run, type } }) => ({ run, type, data }))
)

const ofType = (type: string) =>
  Effect.map(logged, (log) => log.filter((event) => event.type === type).map(({ data }) => data))

const endings = Effect.map(
  logged,
  (log) =>
    log.filter(({ type }) => type === "agent_error" || type === "agent_completed").map(({ data, run }) => [
      run === "r1" ? "r1" : "nested",
      data["reason"] ?? "completed",
      data["by"]
    ])
)

const isCancelled = (exit: Exit.Exit<unknown, unknown>) => Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause)

describe("P10, commanded: cancel", () => {
  it.effect("interrupts the run, tells who did it, and leaves its caller alone", () =>
    Effect.gen(function*() {
      let released = false
      const caller = yield* begin(
        Effect.acquireUseRelease(Effect.void, () => Effect.never, () => Effect.sync(() => released = true))
      )
      assert.deepStrictEqual((yield* ofType("agent_started"))[0]?.["commands"], ["cancel"])
      assert.deepStrictEqual(yield* send("cancel"), Command.accepted)
      assert.isTrue(isCancelled(yield* Fiber.join(caller)))
      assert.isTrue(released)
      assert.deepStrictEqual(yield* endings, [["r1", "cancelled", "user"]])
      assert.deepInclude(yield* send("cancel"), { outcome: "refused", reason: "ended" })
    }).pipe(Effect.provide(layer())))

  it.effect("reaches nested runs and parallel tools, on whatever fiber", () =>
    Effect.gen(function*() {
      const nested = Emitter.run(Effect.never, { agentName: "child" })
      const tool = Emitter.tool(Effect.never, "search", null)
      yield* begin(
        Effect.andThen(
          Effect.forkDetach(nested),
          Effect.all([nested, tool, tool], { concurrency: "unbounded", discard: true })
        )
      )
      assert.deepStrictEqual(yield* send("cancel"), Command.accepted)
      assert.deepStrictEqual((yield* endings).toSorted(), [
        ["nested", "cancelled", "user"],
        ["nested", "cancelled", "user"],
        ["r1", "cancelled", "user"]
      ])
      assert.lengthOf(yield* ofType("tool_completed"), 2)
    }).pipe(Effect.provide(layer())))

  it.effect("ends a run for its devices that does not stop, and begins nothing more in it", () =>
    Effect.gen(function*() {
      let began = 0
      const caller = yield* begin(Effect.uninterruptible(Effect.gen(function*() {
        yield* Effect.sleep("1 minute")
        yield* Effect.exit(Emitter.tool(Effect.sync(() => began++), "search", null))
        yield* Effect.exit(Emitter.ask({ kind: "approval", title: "Go on?" }))
        return yield* Effect.exit(Emitter.emit(AgentEvents.AgentThinking.make({ text: "late" })))
      })))
      assert.deepStrictEqual(yield* send("cancel"), Command.accepted)
      assert.deepStrictEqual(yield* send("cancel"), Command.accepted)
      yield* TestClock.adjust("9900 millis")
      assert.deepStrictEqual(yield* endings, [])
      yield* TestClock.adjust("200 millis")
      assert.deepStrictEqual(yield* endings, [["r1", "cancelled", "user"]])
      yield* TestClock.adjust("1 minute")
      yield* Fiber.join(caller)
      assert.strictEqual(began, 0)
      assert.deepStrictEqual(yield* endings, [["r1", "cancelled", "user"]])
      assert.deepStrictEqual(yield* ofType("input_requested"), [])
      assert.deepStrictEqual(yield* ofType("agent_thinking"), [])
    }).pipe(Effect.provide(layer())))

  it.effect("is the ending, whatever the program makes of the interruption", () =>
    Effect.gen(function*() {
      const caller = yield* begin(
        Effect.uninterruptibleMask((restore) =>
          Effect.matchCauseEffect(restore(Effect.never), {
            onFailure: () => Effect.fail("I was interrupted"),
            onSuccess: () => Effect.void
          })
        )
      )
      yield* send("cancel")
      yield* Fiber.join(caller)
      assert.deepStrictEqual(yield* endings, [["r1", "cancelled", "user"]])
    }).pipe(Effect.provide(layer())))

  it.effect("stops a run that asks or reads its commands, before it can go on with what it got", () =>
    Effect.gen(function*() {
      const Steer = Command.make("steer", { payload: {} })
      const late = Emitter.emit(AgentEvents.AgentThinking.make({ text: "nobody answered, so I go on" }))
      const programs = {
        asks: Effect.catchTag(Emitter.ask({ kind: "text", title: "Name?" }), "AskError", () => late),
        reads: Effect.andThen(Stream.runDrain(Emitter.commands(Steer)), late)
      }
      for (const program of Object.values(programs)) {
        const caller = yield* begin(program)
        const run = (yield* logged).findLast(({ type }) => type === "agent_started")?.run
        assert.deepStrictEqual(yield* send("cancel", undefined, run), Command.accepted)
        assert.isTrue(isCancelled(yield* Fiber.join(caller)))
      }
      assert.deepStrictEqual((yield* endings).map(([, reason, by]) => [reason, by]), [
        ["cancelled", "user"],
        ["cancelled", "user"]
      ])
      assert.deepStrictEqual(yield* ofType("input_resolved"), [{ requestId: "request-1", outcome: "withdrawn" }])
      assert.deepStrictEqual(yield* ofType("agent_thinking"), [])
    }).pipe(Effect.provide(layer())))

  it.effect("ends a run for its devices that its program has interrupted in vain", () =>
    Effect.gen(function*() {
      const caller = yield* begin(Effect.uninterruptible(Effect.sleep("1 minute")))
      yield* Effect.forkChild(Fiber.interrupt(caller))
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual(yield* send("cancel"), Command.accepted)
      yield* TestClock.adjust("9900 millis")
      assert.deepStrictEqual(yield* endings, [])
      yield* TestClock.adjust("200 millis")
      assert.deepStrictEqual(yield* endings, [["r1", "cancelled", "user"]])
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(yield* endings, [["r1", "cancelled", "user"]])
    }).pipe(Effect.provide(layer())))

  it.effect("is seen as an interrupted exit by a caller that cannot be interrupted, races or retries", () =>
    Effect.gen(function*() {
      const emitter = yield* open
      const run = emitter.run(Effect.never, agent)
      let attempts = 0
      const callers = {
        uninterruptible: Effect.uninterruptible(Effect.exit(run)),
        racing: Effect.exit(Effect.race(run, Effect.sleep("1 hour"))),
        retrying: Effect.exit(Effect.retry(Effect.andThen(Effect.sync(() => attempts++), run), { times: 3 }))
      }
      const fibers = yield* Effect.forEach(Object.values(callers), (caller) => Effect.forkChild(caller))
      yield* TestClock.adjust("1 millis")
      const runs = (yield* logged).filter(({ type }) => type === "agent_started").map(({ run }) => run ?? "")
      assert.lengthOf(runs, 3)
      for (const one of runs) assert.deepStrictEqual(yield* send("cancel", undefined, one), Command.accepted)
      const [uninterruptible, , retrying] = fibers
      assert.isDefined(uninterruptible)
      assert.isDefined(retrying)
      assert.isTrue(isCancelled(yield* Fiber.join(uninterruptible)))
      assert.isTrue(isCancelled(yield* Fiber.join(retrying)))
      assert.strictEqual(attempts, 1)
    }).pipe(Effect.provide(layer())))

  it.effect("is refused where the run does not allow it, or has no effect of its own", () =>
    Effect.gen(function*() {
      const caller = yield* begin(Effect.sleep("1 second"), { ...agent, cancellable: false })
      assert.isUndefined((yield* ofType("agent_started"))[0]?.["commands"])
      assert.deepInclude(yield* send("cancel"), { outcome: "refused", reason: "notAllowed" })
      yield* TestClock.adjust("1 second")
      assert.isTrue(Exit.isSuccess(yield* Fiber.join(caller)))
      const plain = yield* Effect.flatMap(Emitters, ({ forUser }) => forUser({ userId: "ada", runId: "plain" }))
      yield* plain.emit(AgentEvents.AgentStarted.make({ agentName: "a" }))
      assert.deepInclude(yield* send("cancel", undefined, "plain"), { outcome: "refused", reason: "notAllowed" })
      assert.deepInclude(yield* send("cancel", undefined, "other"), { outcome: "refused", reason: "unknownRun" })
    }).pipe(Effect.scoped, Effect.provide(layer())))

  it.effect("of the program itself is told as the program's", () =>
    Effect.gen(function*() {
      const caller = yield* begin(Effect.never)
      yield* Fiber.interrupt(caller)
      assert.deepStrictEqual(yield* endings, [["r1", "cancelled", "program"]])
    }).pipe(Effect.provide(layer())))
})

describe("P10, commanded: a run that waits for room", () => {
  it.effect("takes its commands, however many others wait beside it", () =>
    Effect.gen(function*() {
      const Steer = Command.make("steer", { payload: { to: Schema.String } })
      const broker = yield* TestBroker.TestBroker
      const { forUser } = yield* Emitters
      const emitter = yield* open
      yield* broker.behave({ after: "1 minute", do: "ok" })
      const { emit } = yield* forUser({ userId: "ada" })
      const before = yield* Effect.forkChild(
        Effect.forEach([1, 2, 3], (n) => emit(urgent(n)), { concurrency: "unbounded", discard: true })
      )
      yield* TestClock.adjust("1 millis")
      const steered = yield* Effect.forkChild(
        emitter.run(Stream.runHead(Emitter.commands(Steer)), { ...agent, commands: [Steer] })
      )
      yield* TestClock.adjust("1 millis")
      const others = yield* Effect.forkChild(
        Effect.forEach(Array.from({ length: 100 }, (_, n) => n), (n) =>
          Effect.scoped(
            Effect.flatMap(forUser({ userId: "ada", runId: `other-${n}` }), (other) => other.run(Effect.void, agent))
          ), { concurrency: "unbounded", discard: true })
      )
      yield* TestClock.adjust("1 minute")
      yield* broker.behave("ok")
      yield* TestClock.adjust("2 minutes")
      assert.deepStrictEqual(yield* send("steer", { to: "left" }), Command.accepted)
      assert.deepStrictEqual(yield* Fiber.join(steered), Option.some({ to: "left" }))
      yield* Fiber.join(before)
      yield* Fiber.join(others)
    }).pipe(Effect.provide(layer({ config: { batching: { maxSize: 1, capacity: 1 } } }))))
})

describe("P10, commanded: requests", () => {
  const answer = (answer: Schema.Json, requestId = "request-1") => send("answer", { requestId, answer })

  it.effect("gives the first valid answer, tells every device, and refuses those that come later", () =>
    Effect.gen(function*() {
      const caller = yield* begin(
        Emitter.ask({ kind: "approval", title: "Send it?", detail: "By mail", timeout: "5 minutes" })
      )
      const [requested] = yield* ofType("input_requested")
      assert.deepInclude(requested, { requestId: "request-1", kind: "approval", title: "Send it?", detail: "By mail" })
      assert.deepInclude(yield* answer("yes"), { outcome: "refused", reason: "invalid", path: "data.answer" })
      assert.deepStrictEqual(yield* answer(true), Command.accepted)
      assert.deepStrictEqual(yield* Fiber.join(caller), Exit.succeed(true))
      assert.deepStrictEqual(yield* ofType("input_resolved"), [
        { requestId: "request-1", outcome: "answered", answer: true, client: "tab" }
      ])
      assert.deepInclude(yield* answer(false), { outcome: "refused", reason: "ended" })
    }).pipe(Effect.provide(layer())))

  it.effect("decodes a choice, a text and a form, several of them open at once", () =>
    Effect.gen(function*() {
      const Address = Schema.Struct({ city: Schema.NonEmptyString, since: Schema.Date })
      const caller = yield* begin(Effect.all({
        choice: Emitter.ask({ kind: "choice", title: "Cover?", options: ["hard", { value: "soft", label: "Soft" }] }),
        text: Emitter.ask({ kind: "text", title: "Name?" }),
        form: Emitter.ask({ kind: "form", title: "Where to?", schema: Address })
      }, { concurrency: "unbounded" }))
      const requested = yield* ofType("input_requested")
      assert.deepStrictEqual(requested[0]?.["options"], [{ value: "hard" }, { value: "soft", label: "Soft" }])
      assert.deepNestedInclude(requested[2], { "schema.properties.city.type": "string" })
      const since = "2026-01-02T03:04:05.000Z"
      const wrong = yield* answer({ city: "", since }, "request-3")
      assert.deepInclude(wrong, { outcome: "refused", reason: "invalid", path: "data.answer.city" })
      assert.deepInclude(yield* answer("none", "request-1"), { reason: "invalid" })
      assert.deepStrictEqual(yield* answer({ city: "Ulm", since }, "request-3"), Command.accepted)
      assert.deepStrictEqual(yield* answer("soft", "request-1"), Command.accepted)
      assert.deepStrictEqual(yield* answer("Ada", "request-2"), Command.accepted)
      const given = Option.getOrThrow(Exit.getSuccess(yield* Fiber.join(caller)))
      assert.deepStrictEqual(given, { choice: "soft", text: "Ada", form: { city: "Ulm", since: new Date(since) } })
    }).pipe(Effect.provide(layer())))

  it.effect("expires, with the default where there is one, and else as an error", () =>
    Effect.gen(function*() {
      const caller = yield* begin(Effect.all([
        Emitter.ask({ kind: "approval", title: "Send it?", timeout: "5 minutes", default: false }),
        Effect.flip(Emitter.ask({ kind: "text", title: "Name?" }))
      ], { concurrency: "unbounded" }))
      yield* TestClock.adjust("1 hour")
      const exit = yield* Fiber.join(caller)
      assert.isTrue(Exit.isSuccess(exit))
      const [isSent, error] = Option.getOrThrow(Exit.getSuccess(exit))
      assert.isFalse(isSent)
      assert.deepInclude(error, { _tag: "AskError", reason: "expired", requestId: "request-2" })
      assert.deepStrictEqual(yield* ofType("input_resolved"), [
        { requestId: "request-1", outcome: "expired" },
        { requestId: "request-2", outcome: "expired" }
      ])
    }).pipe(Effect.provide(layer())))

  it.effect("keeps a sensitive answer out of every event", () =>
    Effect.gen(function*() {
      const caller = yield* begin(Emitter.ask({ kind: "text", title: "Password?", sensitive: true }))
      assert.deepInclude((yield* ofType("input_requested"))[0], { sensitive: true })
      assert.deepStrictEqual(yield* answer("hunter2"), Command.accepted)
      assert.deepStrictEqual(yield* Fiber.join(caller), Exit.succeed("hunter2"))
      assert.notInclude(JSON.stringify(yield* logged), "hunter2")
    }).pipe(Effect.provide(layer())))

  it.effect("is withdrawn when whoever asks is interrupted, and when the run is cancelled, also where that does not reach", () =>
    Effect.gen(function*() {
      const asked = Emitter.ask({ kind: "text", title: "Name?" })
      let error: unknown
      const caller = yield* begin(Effect.uninterruptible(Effect.gen(function*() {
        const fiber = yield* Effect.forkChild(Effect.interruptible(asked))
        yield* Effect.sleep("1 second")
        yield* Fiber.interrupt(fiber)
        error = yield* Effect.flip(asked)
      })))
      yield* TestClock.adjust("2 seconds")
      yield* send("cancel")
      assert.isTrue(isCancelled(yield* Fiber.join(caller)))
      assert.deepInclude(error, { _tag: "AskError", reason: "withdrawn" })
      assert.deepStrictEqual(
        (yield* ofType("input_resolved")).map(({ outcome, requestId }) => [requestId, outcome]),
        [["request-1", "withdrawn"], ["request-2", "withdrawn"]]
      )
    }).pipe(Effect.provide(layer())))

  it.effect("is withdrawn when the emitter of its run closes, and the run is cancelled", () =>
    Effect.gen(function*() {
      const caller = yield* Effect.scoped(begin(Emitter.ask({ kind: "text", title: "Name?" })))
      assert.isTrue(isCancelled(yield* Fiber.join(caller)))
      assert.deepStrictEqual(yield* ofType("input_resolved"), [{ requestId: "request-1", outcome: "withdrawn" }])
      assert.deepStrictEqual(yield* endings, [["r1", "cancelled", "program"]])
    }).pipe(Effect.provide(layer())))

  it.effect("needs a run", () =>
    Effect.gen(function*() {
      const emitter = yield* Effect.flatMap(Emitters, ({ forUser }) => forUser({ userId: "ada" }))
      const error = yield* Effect.flip(emitter.ask({ kind: "text", title: "Name?" }))
      assert.strictEqual(error._tag === "EmitError" ? error.reason._tag : error._tag, "NoRun")
    }).pipe(Effect.scoped, Effect.provide(layer())))
})

describe("P10, commanded: a tool that needs approval", () => {
  const charge = (began: Array<string>) =>
    Emitter.tool(Effect.sync(() => began.push("charge")), "charge", { cents: 250 }, { approval: { title: "Charge?" } })

  it.effect("runs once it was approved, and asks as its own call", () =>
    Effect.gen(function*() {
      const began: Array<string> = []
      const caller = yield* begin(charge(began))
      assert.deepInclude((yield* ofType("input_requested"))[0], { title: "Charge?", toolCallId: "call-1" })
      assert.deepStrictEqual(began, [])
      yield* send("answer", { requestId: "request-1", answer: true })
      assert.deepStrictEqual(yield* Fiber.join(caller), Exit.succeed(1))
      assert.deepStrictEqual(began, ["charge"])
    }).pipe(Effect.provide(layer())))

  it.effect("does not run where it was refused, and says why", () =>
    Effect.gen(function*() {
      const began: Array<string> = []
      const caller = yield* begin(charge(began))
      yield* send("answer", { requestId: "request-1", answer: { approved: false, reason: "too much" } })
      const error = Option.getOrThrow(Exit.findErrorOption(yield* Fiber.join(caller)))
      assert.deepInclude(error, { _tag: "ToolRefused", reason: "refused", detail: "too much" })
      assert.deepStrictEqual(began, [])
      assert.deepInclude((yield* ofType("tool_completed"))[0], {
        isError: true,
        output: "The tool \"charge\" did not run: it was not approved: too much"
      })
    }).pipe(Effect.provide(layer())))

  it.effect("does not run where nobody answered", () =>
    Effect.gen(function*() {
      const began: Array<string> = []
      const caller = yield* begin(charge(began))
      yield* TestClock.adjust("1 hour")
      const error = Option.getOrThrow(Exit.findErrorOption(yield* Fiber.join(caller)))
      assert.deepInclude(error, { _tag: "ToolRefused", reason: "expired" })
      assert.deepStrictEqual(began, [])
    }).pipe(Effect.provide(layer())))
})

describe("P10, commanded: a program's own commands", () => {
  const Steer = Command.make("steer", { payload: { text: Schema.NonEmptyString } })

  const steered = Effect.gen(function*() {
    const emitter = yield* Emitter.Emitter
    return yield* emitter.commands(Steer).pipe(Stream.take(2), Stream.runCollect)
  })

  it.effect("are read in order by their type, and refused where they do not fit", () =>
    Effect.gen(function*() {
      const caller = yield* begin(Effect.delay(steered, "1 second"), { ...agent, commands: [Steer] })
      assert.deepStrictEqual((yield* ofType("agent_started"))[0]?.["commands"], ["cancel", "steer"])
      assert.deepStrictEqual(yield* send("steer", { text: "shorter" }), Command.accepted)
      assert.deepInclude(yield* send("steer", { text: "" }), { reason: "invalid", path: "data.text" })
      assert.deepInclude(yield* send("sing", {}), { outcome: "refused", reason: "invalid", path: "name" })
      assert.deepStrictEqual(yield* send("steer", { text: "in German" }), Command.accepted)
      yield* TestClock.adjust("1 second")
      const exit = yield* Fiber.join(caller)
      assert.deepStrictEqual(Exit.isSuccess(exit) ? [...exit.value] : [], [{ text: "shorter" }, { text: "in German" }])
    }).pipe(Effect.provide(layer())))

  it.effect("wait bounded, and end with their run", () =>
    Effect.gen(function*() {
      const read = yield* Queue.unbounded<string>()
      yield* begin(
        Effect.gen(function*() {
          const emitter = yield* Emitter.Emitter
          yield* Effect.forkDetach(
            Effect.andThen(Stream.runDrain(emitter.commands(Steer)), Queue.offer(read, "ended"))
          )
          yield* Effect.sleep("1 second")
        })
      )
      assert.deepStrictEqual(yield* send("steer", { text: "shorter" }), Command.accepted)
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* Queue.take(read), "ended")
      yield* begin(Effect.never, { ...agent, commands: [Steer] })
      const run = (yield* logged).findLast(({ type }) => type === "agent_started")?.run ?? ""
      for (let count = 0; count < 64; count++) {
        assert.deepStrictEqual(yield* send("steer", { text: "x" }, run), Command.accepted)
      }
      assert.deepInclude(yield* send("steer", { text: "x" }, run), { outcome: "refused", reason: "tooMany" })
    }).pipe(Effect.provide(layer())))
})
