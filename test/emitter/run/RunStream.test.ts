/** Runs that last as long as a stream is consumed. */
import { assert, describe, it } from "@effect/vitest"
import { Cause, Deferred, Effect, Exit, Fiber, Option, Ref, Schema, Scope, Stream } from "effect"
import { AgentEvents, Emitter, Emitters, Identity } from "effect-emitter"
import { RunState } from "effect-emitter/events"
import { TestBroker } from "effect-emitter/testing"
import { TestClock } from "effect/testing"
import { layer, shown } from "../support/emitting.ts"

const ada = Identity.UserId.make("ada")
const agent = { agentName: "a" }

const logOfAda = Effect.flatMap(TestBroker.TestBroker, ({ log }) => log(ada))

const started = ["agent_started", { ...agent, commands: ["cancel"] }]
const thinking = (text: string) => ["agent_thinking", { text }]
const completed = (durationMs = 0) => ["agent_completed", { ...agent, durationMs }]
const error = (reason: string, message: string, retryable: boolean) => ["agent_error", { reason, message, retryable }]
const cancelled = ["agent_error", {
  reason: "cancelled",
  message: "The run was cancelled",
  retryable: true,
  by: "program"
}]

/** Tells each element as a thought. */
const told = <E, R>(stream: Stream.Stream<number, E, R>) =>
  Stream.tap(stream, (element) => Emitter.emit(AgentEvents.AgentThinking.make({ text: `${element}` })))

const endless = Stream.concat(Stream.make(1, 2, 3).pipe(Stream.rechunk(1)), Stream.never)

const ofAda = Effect.provide(Emitter.layerUser({ userId: "ada", runId: "r1" }))

describe("a stream that is a run", () => {
  it.effect("completes with its end, in either order of stream and options", () =>
    Effect.gen(function*() {
      const stream = Stream.make(1, 2).pipe(told)
      assert.deepStrictEqual(yield* Stream.runCollect(stream.pipe(Emitter.runStream(agent))), [1, 2])
      const plain = Emitter.runStream(stream, { ...agent, result: (last) => Option.getOrNull(last) })
      assert.deepStrictEqual(yield* Stream.runCollect(plain), [1, 2])
      assert.deepStrictEqual(shown(yield* logOfAda), [
        started,
        thinking("1"),
        thinking("2"),
        completed(),
        started,
        thinking("1"),
        thinking("2"),
        ["agent_completed", { ...agent, durationMs: 0, result: 2 }]
      ])
    }).pipe(ofAda, Effect.provide(layer())))

  it.effect("is told as ended before its consumer sees the end", () =>
    Effect.gen(function*() {
      const after = Stream.fromEffect(Effect.map(logOfAda, (log) => log.at(-1)?.event.type))
      const types = yield* Stream.make("an element").pipe(
        Emitter.runStream(agent),
        Stream.concat(after),
        Stream.runCollect
      )
      assert.deepStrictEqual(types, ["an element", "agent_completed"])
    }).pipe(ofAda, Effect.provide(layer())))

  it.effect("fails, dies and is out of time as the stream does", () =>
    Effect.gen(function*() {
      const secret = new Error("postgres://svc:hunter2@db")
      const exitOf = <E>(end: Stream.Stream<never, E>) =>
        Effect.exit(Stream.runDrain(Stream.make(1).pipe(Stream.concat(end), Emitter.runStream(agent))))
      const timeout = new Cause.TimeoutError("too long")
      assert.deepStrictEqual(yield* exitOf(Stream.fail("no")), Exit.fail("no"))
      assert.deepStrictEqual(yield* exitOf(Stream.die(secret)), Exit.die(secret))
      assert.deepStrictEqual(yield* exitOf(Stream.fail(timeout)), Exit.fail(timeout))
      assert.deepStrictEqual(shown(yield* logOfAda), [
        started,
        error("failed", "The run failed", false),
        started,
        error("failed", "An internal error occurred", false),
        started,
        error("timeout", "The run took too long", true)
      ])
    }).pipe(ofAda, Effect.provide(layer())))

  it.effect("is cancelled when its consumer leaves: by what it takes, by an interruption, by its scope", () =>
    Effect.gen(function*() {
      const stream = endless.pipe(Emitter.runStream(agent))
      assert.deepStrictEqual(yield* Stream.runCollect(Stream.take(stream, 2)), [1, 2])
      assert.deepStrictEqual(yield* Stream.runHead(stream), Option.some(1))

      const late = yield* Effect.forkChild(Stream.runDrain(stream).pipe(Effect.timeoutOption("1 second")))
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* Fiber.join(late), Option.none())

      const interrupted = yield* Effect.forkChild(Stream.runDrain(stream))
      yield* TestClock.adjust("1 second")
      yield* Fiber.interrupt(interrupted)

      const scope = yield* Scope.make()
      const pull = yield* Scope.provide(Stream.toPull(stream), scope)
      assert.deepStrictEqual(yield* pull, [1])
      yield* Scope.close(scope, Exit.void)

      const broken = yield* Effect.exit(Stream.runForEach(stream, () => Effect.fail("a broken consumer")))
      assert.deepStrictEqual(broken, Exit.fail("a broken consumer"))
      assert.deepStrictEqual(shown(yield* logOfAda), Array.from({ length: 6 }, () => [started, cancelled]).flat())
    }).pipe(ofAda, Effect.provide(layer())))

  it.effect("is told as ended, and has closed what the stream opened, when its consumer has left", () =>
    Effect.gen(function*() {
      const order: Array<string> = []
      const opened = Stream.scoped(
        Stream.fromEffect(Effect.acquireRelease(Effect.succeed(1), () => Effect.sync(() => order.push("closed"))))
      )
      const stream = Stream.concat(opened, Stream.never).pipe(Emitter.runStream(agent))
      yield* Stream.runDrain(Stream.take(stream, 1))
      order.push(...(yield* logOfAda).map(({ event }) => event.type))
      assert.deepStrictEqual(order, ["closed", "agent_started", "agent_error"])
    }).pipe(ofAda, Effect.provide(layer())))

  it.effect("is not pulled ahead of its consumer", () =>
    Effect.gen(function*() {
      const pulled = yield* Ref.make(0)
      const stream = Stream.range(1, 100).pipe(
        Stream.rechunk(1),
        Stream.tap(() => Ref.update(pulled, (n) => n + 1)),
        Emitter.runStream(agent)
      )
      const pull = yield* Stream.toPull(stream)
      yield* pull
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(yield* Ref.get(pulled), 1)
      yield* pull
      assert.strictEqual(yield* Ref.get(pulled), 2)
    }).pipe(Effect.scoped, ofAda, Effect.provide(layer())))

  it.effect("does not begin before it is consumed, nor where its start is refused", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const emitter = yield* Scope.provide((yield* Emitters).forUser({ userId: "ada" }), scope)
      let pulled = false
      const source = Stream.fromEffect(Effect.sync(() => pulled = true))
      const stream = source.pipe(Emitter.runStream(agent))
      assert.deepStrictEqual(yield* logOfAda, [])

      yield* Scope.close(scope, Exit.void)
      const failure = yield* Stream.runDrain(stream).pipe(Effect.provideService(Emitter.Emitter, emitter), Effect.flip)
      assert.strictEqual(failure.reason._tag, "EmitterClosed")
      assert.isFalse(pulled)

      const anyway = source.pipe(Emitter.runStream({ ...agent, onEmitError: "log" }))
      yield* Stream.runDrain(anyway).pipe(Effect.provideService(Emitter.Emitter, emitter))
      assert.isTrue(pulled)
      assert.deepStrictEqual(yield* logOfAda, [])
    }).pipe(Effect.provide(layer())))

  it.effect("stops, and its consumer sees an interrupted exit, when its emitter closes", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const emitter = yield* Scope.provide((yield* Emitters).forUser({ userId: "ada" }), scope)
      const consumer = yield* endless.pipe(
        Emitter.runStream(agent),
        Stream.runDrain,
        Effect.provideService(Emitter.Emitter, emitter),
        Effect.exit,
        Effect.uninterruptible,
        Effect.forkChild
      )
      yield* TestClock.adjust("1 second")
      yield* Scope.close(scope, Exit.void)
      const exit = yield* Fiber.join(consumer)
      assert.isTrue(Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause))
      assert.deepStrictEqual(shown(yield* logOfAda), [started, cancelled])
    }).pipe(Effect.provide(layer())))

  it.effect("keeps what is forked within it until it has ended, and is the parent of runs within it", () =>
    Effect.gen(function*() {
      const gate = yield* Deferred.make<void>()
      const forked = yield* Ref.make("running")
      const background = Deferred.await(gate).pipe(
        Effect.andThen(Ref.set(forked, "done")),
        Effect.onInterrupt(() => Ref.set(forked, "interrupted"))
      )
      const stream = Stream.concat(
        Stream.fromEffect(Effect.forkChild(background)),
        Stream.fromEffect(Effect.void.pipe(Emitter.run({ agentName: "nested" })))
      ).pipe(Stream.rechunk(1), Emitter.runStream(agent))
      const pull = yield* Stream.toPull(stream)
      yield* pull
      yield* Deferred.succeed(gate, undefined)
      yield* TestClock.adjust(0)
      assert.strictEqual(yield* Ref.get(forked), "done")
      yield* pull
      const nested = (yield* logOfAda).find(({ event }) => event.data["agentName"] === "nested")
      assert.strictEqual(nested?.event.data["parentRunId"], "r1")
    }).pipe(Effect.scoped, ofAda, Effect.provide(layer())))
})

const int = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))

type Failure = string | Cause.TimeoutError

/** Where the source ends, and what becomes of the run if its consumer stays until then. */
const ends: Record<string, { readonly end: Stream.Stream<never, Failure>; readonly reason: string }> = {
  end: { end: Stream.empty, reason: "completed" },
  fail: { end: Stream.fail("no"), reason: "failed" },
  die: { end: Stream.die("no"), reason: "failed" },
  timeout: { end: Stream.fromEffect(Effect.failSync(() => new Cause.TimeoutError("no"))), reason: "timeout" },
  interrupt: { end: Stream.fromEffect(Effect.interrupt), reason: "cancelled" },
  never: { end: Stream.never, reason: "never" }
}

interface Leaving {
  readonly emitted: Stream.Stream<number, Failure | Emitter.EmitError>
  readonly at: number
  readonly closeEmitter: Effect.Effect<void>
}

const seconds = (at: number) => `${at} seconds` as const

/** How a consumer may leave: after so many elements, or after so many seconds. */
const consumers = {
  drain: ({ emitted }: Leaving) => Stream.runDrain(emitted),
  take: ({ at, emitted }: Leaving) => Stream.runDrain(Stream.take(emitted, at)),
  fail: ({ at, emitted }: Leaving) =>
    Stream.runForEach(emitted, (element) => element > at ? Effect.fail("broken") : Effect.void),
  timeout: ({ at, emitted }: Leaving) => Effect.timeout(Stream.runDrain(emitted), seconds(at)),
  interrupt: ({ at, emitted }: Leaving) =>
    Effect.gen(function*() {
      const consumer = yield* Effect.forkChild(Stream.runDrain(emitted), { startImmediately: true })
      yield* Effect.sleep(seconds(at))
      yield* Fiber.interrupt(consumer)
    }),
  scope: ({ at, emitted }: Leaving) =>
    Effect.scoped(Effect.gen(function*() {
      const pull = yield* Stream.toPull(emitted)
      for (let pulled = 0; pulled < at; pulled++) yield* pull
    })),
  emitter: ({ at, closeEmitter, emitted }: Leaving) =>
    Effect.all([Stream.runDrain(emitted), Effect.delay(closeEmitter, seconds(at))], {
      concurrency: "unbounded",
      discard: true
    })
}

describe("P8: a stream that is a run", () => {
  it.effect.prop(
    "ends exactly once, however it and its consumer end, and nothing of it comes after",
    {
      elements: int(0, 6),
      chunk: int(1, 3),
      pause: int(0, 2),
      end: Schema.Literals(["end", "fail", "die", "timeout", "interrupt", "never"]),
      consumer: Schema.Literals(["drain", "take", "fail", "timeout", "interrupt", "scope", "emitter"]),
      at: int(0, 8)
    },
    ({ at, chunk, consumer, elements, end, pause }) =>
      Effect.gen(function*() {
        const scope = yield* Scope.make()
        const emitter = yield* Scope.provide((yield* Emitters).forUser({ userId: "ada", runId: "r1" }), scope)
        const { end: ending, reason } = ends[end] ?? assert.fail(end)
        const source = Stream.range(1, elements).pipe(
          Stream.rechunk(chunk),
          Stream.tap(() => Effect.sleep(seconds(pause))),
          told,
          Stream.concat(ending)
        )
        const emitted = Emitter.runStream(source, agent).pipe(Stream.provideService(Emitter.Emitter, emitter))
        const leaving = consumers[consumer]({ emitted, at, closeEmitter: Scope.close(scope, Exit.void) })
        const fiber = yield* Effect.forkChild(Effect.exit(leaving), { startImmediately: true })
        yield* TestClock.adjust("25 seconds")
        const hasLeft = fiber.pollUnsafe() !== undefined
        yield* Fiber.interrupt(fiber)
        yield* TestClock.adjust("25 seconds")

        const log = (yield* logOfAda).map(({ event }) => event)
        const endings = log.filter(({ type }) => RunState.isTerminal(type))
        if (log.length === 0) return assert.strictEqual(at, 0)
        assert.deepStrictEqual([...new Set(log.map(({ run }) => String(run)))], ["r1"])
        assert.strictEqual(log.filter(({ type }) => type === "agent_started").length, 1)
        assert.strictEqual(endings.length, 1)
        assert.strictEqual(log.at(-1), endings[0])
        const endedAs = endings[0]?.data["reason"] ?? "completed"
        if (consumer === "drain") {
          assert.strictEqual(hasLeft, end !== "never")
          assert.strictEqual(endedAs, end === "never" ? "cancelled" : reason)
        } else assert.include([reason, "cancelled"], endedAs)
      }).pipe(Effect.provide(layer())),
    { arbitrary: { runs: 60 }, timeout: 120_000 }
  )
})
