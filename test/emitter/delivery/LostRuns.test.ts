/** Runs that were ended as lost: of this process, which was taken for dead, and of one that is. */
import { assert, describe, it } from "@effect/vitest"
import type { NonEmptyReadonlyArray } from "effect/Array"
import { Duration, Effect, Exit, Fiber, Layer, Logger, Scope } from "effect"
import { AgentEvents, Broker, Emitter, EmitterLayer, Emitters, FallbackChannel, Spool } from "effect-emitter"
import { Command } from "effect-emitter/events"
import type { Envelope } from "effect-emitter/protocol"
import { TestBroker } from "effect-emitter/testing"
import { TestClock } from "effect/testing"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as MemorySpoolStore from "../../../src/emitter/fallback/MemorySpoolStore.ts"
import * as SqliteSpoolStore from "../../../src/emitter/fallback/SqliteSpoolStore.ts"
import { RunId, type UserId } from "../../../src/protocol/values/Identity.ts"
import { envelope } from "../../broker/events.ts"
import { DeliveryBench } from "../support/DeliveryBench.ts"
import { layer } from "../support/emitting.ts"
import { userId } from "../support/envelopes.ts"
import { ScriptedBroker } from "../support/ScriptedBroker.ts"
import { patience } from "../../support/patience.ts"

const ada = userId("ada")
const r = RunId.make("r")

const started = (sequence: number, run: string, source = "old") =>
  envelope({ source, sequence, run, type: "agent_started", data: { agentName: "a" } })
const thought = (sequence: number, run: string, source = "old") =>
  envelope({ source, sequence, run, type: "agent_thinking", data: { text: "hm" } })
const completed = (sequence: number, run: string, source = "old") =>
  envelope({ source, sequence, run, type: "agent_completed", data: { agentName: "a", durationMs: 1 } })
const note = (sequence: number, source = "old") => envelope({ source, sequence })

const idsOf = (envelopes: ReadonlyArray<Envelope.Envelope>) => envelopes.map(({ id }) => id)

const losing = Effect.fnUntraced(function*(more: Parameters<typeof DeliveryBench.make>[0] = {}) {
  const broker = new ScriptedBroker()
  broker.lostRuns.add(r)
  const told: Array<ReadonlyArray<RunId>> = []
  const bench = yield* DeliveryBench.make({
    broker,
    onRunsLost: (_, runs) => void told.push([...runs]),
    ...more
  })
  const letters = Effect.map(
    bench.delivery.deadLetters.list(),
    (all) => all.map(({ event, trigger }) => `${event.id} ${trigger}`)
  )
  return { bench, broker, letters, told }
})

/** What a delivery comes to that has nothing to wait for. */
const deliver = Effect.fnUntraced(function*(
  bench: DeliveryBench,
  user: UserId,
  batch: NonEmptyReadonlyArray<Envelope.Envelope>
) {
  const fiber = yield* Effect.forkChild(bench.deliver(user, batch), { startImmediately: true })
  const exit = fiber.pollUnsafe() ?? assert.fail("it waits, though it had its answer")
  return yield* exit
})

describe("A delivery to a broker that has ended a run as lost", () => {
  it.effect("sets the run's events aside, and appends the rest of the batch", () =>
    Effect.gen(function*() {
      const { bench, broker, letters, told } = yield* losing()
      const outcome = yield* deliver(bench, ada, [thought(1, "r"), note(2), thought(3, "other"), thought(4, "r")])
      assert.deepStrictEqual(outcome, {
        _tag: "Divided",
        outcomes: [
          { _tag: "DeadLettered", reason: "runLost" },
          { _tag: "Appended", position: { epoch: "e", offset: 1 } },
          { _tag: "Appended", position: { epoch: "e", offset: 2 } },
          { _tag: "DeadLettered", reason: "runLost" }
        ]
      })
      assert.deepStrictEqual(idsOf(broker.log(ada)), ["old.2", "old.3"])
      assert.deepStrictEqual(yield* letters, ["old.1 runLost", "old.4 runLost"])
      assert.deepStrictEqual(told, [[r]])
    }))

  it.effect("is told of a batch that has nothing else as of any dead letter", () =>
    Effect.gen(function*() {
      const { bench, letters } = yield* losing()
      assert.deepStrictEqual(yield* deliver(bench, ada, [thought(1, "r")]), { _tag: "DeadLettered", reason: "runLost" })
      assert.deepStrictEqual(yield* letters, ["old.1 runLost"])
    }))

  it.effect("takes that for an answer: nothing is retried, and the breaker stays closed", () =>
    Effect.gen(function*() {
      const { bench } = yield* losing()
      for (let n = 1; n <= 50; n++) yield* deliver(bench, ada, [thought(n, "r")])
      const { appendFailures, deadLettered, retries } = yield* bench.delivery.stats
      assert.deepStrictEqual({ appendFailures, retries, runLost: deadLettered.runLost }, {
        appendFailures: 0,
        retries: 0,
        runLost: 50
      })
      assert.deepStrictEqual(yield* bench.delivery.breakers[0].state, { _tag: "Closed", failures: 0 })
    }))

  it.effect("finds out by it that the broker is well again", () =>
    Effect.gen(function*() {
      const { bench, broker } = yield* losing()
      broker.behaviour = "fail"
      for (let n = 1; n <= 20; n++) {
        const fiber = yield* Effect.forkChild(bench.deliver(ada, [note(n)]))
        yield* TestClock.adjust("2 millis")
        yield* Fiber.join(fiber)
      }
      assert.strictEqual((yield* bench.delivery.breakers[0].state)._tag, "Open")
      broker.behaviour = "ok"
      yield* TestClock.adjust("1 minute")
      yield* deliver(bench, ada, [thought(100, "r")])
      assert.strictEqual((yield* bench.delivery.breakers[0].state)._tag, "Closed")
    }))
})

/** A store with what an earlier process left, and a bench that drains it. */
const inheriting = Effect.fnUntraced(function*(
  left: ReadonlyArray<NonEmptyReadonlyArray<Envelope.Envelope>>,
  broker = new ScriptedBroker()
) {
  const store = yield* MemorySpoolStore.make()
  for (const batch of left) yield* store.put(ada, batch)
  const bench = yield* DeliveryBench.make({
    broker,
    channels: [Spool.make(store)],
    isOwn: (_, { source }) => source === "new."
  })
  yield* TestClock.adjust("1 second")
  return { bench, broker, store }
})

describe("What an earlier process left in a spool", () => {
  it.effect("ends as lost where it is of a run without an ending, once all of it is drained", () =>
    Effect.gen(function*() {
      const { bench, broker } = yield* inheriting([
        [started(1, "r"), started(2, "done")],
        [thought(3, "r"), completed(4, "done"), note(5)]
      ])
      assert.deepStrictEqual(idsOf(broker.log(ada)), ["old.1", "old.2", "old.3", "old.4", "old.5"])
      assert.deepStrictEqual(broker.lost, [[ada, [r]]])
      assert.strictEqual((yield* bench.delivery.stats).lostRuns, 1)
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(broker.lost.length, 1)
    }))

  it.effect("ends no run that this process has started anew meanwhile", () =>
    Effect.gen(function*() {
      const broker = new ScriptedBroker()
      broker.behaviour = "fail"
      const { bench } = yield* inheriting([[started(1, "r"), started(2, "other")]], broker)
      const fiber = yield* Effect.forkChild(bench.deliver(ada, [started(1, "r", "new")]))
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* Fiber.join(fiber), { _tag: "HandedOver", channel: "spool" })
      broker.behaviour = "ok"
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(broker.lost, [[ada, [RunId.make("other")]]])
    }))

  it.effect("ends as lost also when the broker fails to do so at first", () =>
    Effect.gen(function*() {
      const broker = new ScriptedBroker()
      const { endLost } = broker
      let failures = 3
      Object.assign(broker, {
        endLost: (user: UserId, runs: ReadonlyArray<RunId>) =>
          failures-- > 0
            ? Effect.fail(
              new Broker.BrokerError({ reason: new Broker.BrokerRefused({ operation: "endLost", detail: "no" }) })
            )
            : endLost(user, runs)
      })
      yield* inheriting([[started(1, "r")]], broker)
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(broker.lost, [[ada, [r]]])
    }))

  it.effect("is set aside where it is of a run that was ended as lost meanwhile, and the rest is drained", () =>
    Effect.gen(function*() {
      const broker = new ScriptedBroker()
      broker.lostRuns.add(r)
      const { bench, store } = yield* inheriting([[thought(1, "r"), note(2)], [completed(3, "r"), note(4)]], broker)
      assert.deepStrictEqual(idsOf(broker.log(ada)), ["old.2", "old.4"])
      assert.isFalse(store.holds(ada))
      const letters = yield* bench.delivery.deadLetters.list()
      assert.deepStrictEqual(letters.map(({ event, trigger }) => `${event.id} ${trigger}`), [
        "old.1 runLost",
        "old.3 runLost"
      ])
      assert.deepInclude(yield* bench.delivery.stats, { drainedEvents: 2, appendedEvents: 2, appendFailures: 0 })
    }))
})

describe("An emitter whose run was ended as lost", () => {
  it.effect("learns of it with its next event, which is a dead letter, and then refuses more", () =>
    Effect.gen(function*() {
      const broker = yield* Broker.Broker
      const { forUser, stats } = yield* Emitters
      const emitter = yield* forUser({ userId: "ada", runId: "r" })
      const outcomes: Array<string> = []
      const emit = Effect.fnUntraced(function*(service: Emitter.Emitter["Service"], text: string) {
        const exit = yield* Effect.exit(service.emit(AgentEvents.AgentThinking.make({ text })))
        if (Exit.isSuccess(exit)) outcomes.push(exit.value._tag)
        else {
          const error = yield* Effect.flip(exit)
          outcomes.push(error.reason._tag)
        }
      })
      // What is lost is interrupted, except where that does not reach.
      const exit = yield* Effect.gen(function*() {
        const own = yield* Emitter.Emitter
        yield* emit(own, "one")
        yield* broker.endLost(ada, [r])
        yield* emit(own, "two")
        yield* emit(own, "three")
      }).pipe(
        Effect.uninterruptible,
        Emitter.run({ agentName: "a" }),
        Effect.provideService(Emitter.Emitter, emitter),
        Effect.exit
      )
      assert.isTrue(Exit.hasInterrupts(exit))
      assert.deepStrictEqual(outcomes, ["Appended", "DeadLettered", "IllegalEvent"])
      // Whatever its program still emits is meant for the run; what others emit for the user is not.
      assert.strictEqual((yield* Effect.flip(emitter.emit(Event))).reason._tag, "IllegalEvent")
      const free = yield* forUser({ userId: "ada" })
      assert.strictEqual((yield* free.emit(Event))._tag, "Appended")
      const log = yield* broker.pull(ada, { epoch: "", offset: 0 }, { maxEvents: 100, maxBytes: 1_000_000 })
      assert.deepStrictEqual(log.entries.map(({ type }) => type), [
        "agent_started",
        "agent_thinking",
        "agent_error",
        "custom"
      ])
      const { delivery } = yield* stats
      assert.strictEqual(delivery.deadLettered.runLost, 1)
    }).pipe(Effect.scoped, Effect.provide(layer())))

  it.effect("gives each event of a batch its own receipt", () =>
    Effect.gen(function*() {
      const broker = yield* Broker.Broker
      const { forUser } = yield* Emitters
      const emitter = yield* forUser({ userId: "ada", runId: "r" })
      const free = yield* forUser({ userId: "ada" })
      const receipts: Array<Emitter.Receipt> = []
      yield* Effect.gen(function*() {
        const own = yield* Emitter.Emitter
        yield* broker.endLost(ada, [r])
        // They go out together: one of the run, and one of none.
        yield* own.emit(AgentEvents.TextDelta.make({ messageId: "m", delta: "…" }))
        receipts.push(yield* free.emit(Event))
      }).pipe(
        Effect.uninterruptible,
        Emitter.run({ agentName: "a" }),
        Effect.provideService(Emitter.Emitter, emitter),
        Effect.exit
      )
      const { epoch, offset } = yield* broker.head(ada)
      assert.deepStrictEqual(receipts, [{ _tag: "Appended", position: { epoch, offset: 3 } }])
      assert.strictEqual(offset, 3)
    }).pipe(Effect.scoped, Effect.provide(layer())))

  it.effect("gives each of many events of a batch its own receipt, and counts each in its place", () =>
    Effect.gen(function*() {
      const { behave, log } = yield* TestBroker.TestBroker
      const broker = yield* Broker.Broker
      const { forUser, stats } = yield* Emitters
      const emitter = yield* forUser({ userId: "ada", runId: "r" })
      const free = yield* forUser({ userId: "ada" })
      yield* emitter.emit(AgentEvents.AgentStarted.make({ agentName: "a" }))
      yield* behave({ after: "1 second", do: "ok" })
      const emit = (of: Emitter.Emitter["Service"]) =>
        Effect.forkChild(of.emit(of === free ? Event : AgentEvents.AgentThinking.make({ text: "…" })), {
          startImmediately: true
        })
      // What comes while the first is under way goes out together, after the run was ended.
      const fibers = yield* Effect.forEach([free, free, emitter, free, emitter, emitter, free], emit)
      yield* broker.endLost(ada, [r])
      yield* TestClock.adjust("5 seconds")
      const receipts = yield* Effect.forEach(fibers, Fiber.join)
      const { epoch } = yield* broker.head(ada)
      const at = (offset: number) => ({ _tag: "Appended", position: { epoch, offset } }) as const
      const late = { _tag: "DeadLettered", reason: "runLost" } as const
      const places = (yield* log(ada)).filter(({ event }) => event.type === "custom").map(({ position }) =>
        position.offset
      )
      const [one = 0, two = 0, three = 0, four = 0] = places
      assert.deepStrictEqual(receipts, [at(one), at(two), late, at(three), late, late, at(four)])
      assert.deepInclude(yield* stats, { appended: 5, deadLettered: 3 })
    }).pipe(Effect.scoped, Effect.provide(layer())))
})

describe("A run that says nothing", () => {
  it.effect("is interrupted when its broker learns that it was ended as lost, and takes no commands any more", () =>
    Effect.gen(function*() {
      const inner = yield* Broker.Broker
      const listeners: Array<(user: UserId, runs: ReadonlyArray<RunId>) => void> = []
      const broker: Broker.Broker["Service"] = {
        ...inner,
        watchLost: (listener) => Effect.sync(() => void listeners.push(listener))
      }
      yield* Effect.gen(function*() {
        const { forUser } = yield* Emitters
        const emitter = yield* forUser({ userId: "ada", runId: "r" })
        const running = yield* Effect.never.pipe(
          Emitter.run({ agentName: "waits" }),
          Effect.provideService(Emitter.Emitter, emitter),
          Effect.forkChild({ startImmediately: true })
        )
        yield* TestClock.adjust("1 second")
        assert.isUndefined(running.pollUnsafe())
        yield* broker.endLost(ada, [r])
        for (const listener of listeners) listener(ada, [r])
        const exit = yield* Fiber.await(running)
        assert.isTrue(Exit.hasInterrupts(exit))
        const id = Command.CommandId.make("c")
        assert.deepStrictEqual(
          yield* broker.commands?.send(ada, { id, run: r, name: "cancel" }, Duration.seconds(1)) ?? Effect.never,
          Command.refused("ended")
        )
      }).pipe(Effect.provide(EmitterLayer().pipe(Layer.provide(Layer.succeed(Broker.Broker, broker)))))
    }).pipe(Effect.scoped, Effect.provide(Broker.layerMemory())))
})

const Event = { ...AgentEvents.Custom.make({ name: "free", data: null }), delivery: "critical" } as const

describe("A program over a memory broker", () => {
  it.live("ends what its predecessor, which was killed, left unfinished in its spool", () =>
    Effect.gen(function*() {
      const directory = mkdtempSync(join(tmpdir(), "effect-emitter-lost-"))
      yield* Effect.addFinalizer(() => Effect.sync(() => rmSync(directory, { recursive: true, force: true })))
      const file = join(directory, "spool.db")
      const before = yield* Scope.make()
      const store = yield* Scope.provide(SqliteSpoolStore.make({ file }), before)
      yield* store.put(ada, [started(1, "r"), thought(2, "r")])
      yield* Scope.close(before, Exit.void)

      const types = yield* Effect.gen(function*() {
        const broker = yield* Broker.Broker
        while (true) {
          const { entries } = yield* broker.pull(ada, { epoch: "", offset: 0 }, { maxEvents: 100, maxBytes: 1_000_000 })
          const last = entries.at(-1)
          if (last?.type === "agent_error") {
            return [...entries.map(({ type }) => type), JSON.parse(`{${last.body}`).data.reason]
          }
          yield* Effect.sleep("5 millis")
        }
      }).pipe(
        Effect.timeout(4_000 * patience),
        Effect.provide(
          EmitterLayer().pipe(
            FallbackChannel.provide(Spool.sqlite({ file })),
            Layer.provideMerge(Broker.layerMemory()),
            Layer.provideMerge(Logger.layer([]))
          )
        )
      )
      assert.deepStrictEqual(types, ["agent_started", "agent_thinking", "agent_error", "lost"])
    }).pipe(Effect.scoped))
})
