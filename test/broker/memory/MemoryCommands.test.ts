import { assert, describe, it } from "@effect/vitest"
import { Context, Deferred, Duration, Effect, Exit, Fiber, Layer, Metric, Scope } from "effect"
import { Broker, Identity } from "effect-emitter"
import { Command } from "effect-emitter/events"
import { TestClock } from "effect/testing"
import { newUser, numbered } from "../events.ts"
import { command, commandsOf, receiving, send, sending, startOf, wordOf } from "../suite/commanding.ts"

type Options = Parameters<typeof Broker.layerMemory>[0]

const withBroker = <A, E>(
  options: Options,
  body: (broker: Broker.Broker["Service"]) => Effect.Effect<A, E, Scope.Scope>
) => Effect.flatMap(Broker.Broker, body).pipe(Effect.scoped, Effect.provide(Broker.layerMemory(options)))

const held = Effect.map(Metric.snapshot, (metrics) => {
  const state = metrics.find(({ id }) => id === "emitter_memory_bytes")?.state
  return state !== undefined && "value" in state ? Number(state.value) : assert.fail("no such gauge")
})

const second = Duration.seconds(1)

describe("MemoryCommands", () => {
  it.effect("remembers for ten minutes what became of a command", () =>
    withBroker({}, (broker) =>
      Effect.gen(function*() {
        const user = newUser()
        yield* broker.append(user, [startOf("r")])
        const seen = yield* receiving(broker, user)
        const sent = command()
        assert.strictEqual(yield* wordOf(send(broker, user, sent)), "accepted")
        yield* TestClock.adjust("9 minutes")
        assert.strictEqual(yield* wordOf(send(broker, user, sent)), "accepted")
        assert.strictEqual(yield* wordOf(send(broker, user, { ...sent, name: "other" })), "conflict")
        assert.lengthOf(seen, 1)
        yield* TestClock.adjust("1 minute")
        assert.strictEqual(yield* wordOf(send(broker, user, { ...sent, name: "other" })), "accepted")
        assert.lengthOf(seen, 2)
      })))

  it.effect("forgets no outcome early: a user with as many as are remembered is refused", () =>
    withBroker({}, (broker) =>
      Effect.gen(function*() {
        const user = newUser()
        yield* broker.append(user, [startOf("r")])
        const seen = yield* receiving(broker, user)
        const sent = Array.from({ length: 1_024 }, () => command())
        const words = yield* Effect.forEach(sent, (one) => wordOf(send(broker, user, one)))
        const taken = words.filter((word) => word === "accepted").length
        assert.isAbove(taken, 900)
        assert.strictEqual(yield* wordOf(send(broker, user, command())), "tooMany")
        assert.strictEqual(yield* wordOf(send(broker, user, sent[0] ?? assert.fail())), "accepted")
        assert.lengthOf(seen, taken)
        // Nobody else pays for it.
        const neighbour = newUser()
        yield* broker.append(neighbour, [startOf("r")])
        assert.strictEqual(yield* wordOf(send(broker, neighbour, command())), "notAllowed")
        yield* TestClock.adjust("10 minutes")
        assert.strictEqual(yield* wordOf(send(broker, user, command())), "accepted")
      })))

  it.effect("counts what is held of commands, and gives it back", () =>
    withBroker({ maxAge: "1 hour" }, (broker) =>
      Effect.gen(function*() {
        const users = Array.from({ length: 40 }, () => newUser())
        yield* commandsOf(broker).receive(() =>
          Effect.succeed(Command.refused("invalid", { message: "x".repeat(5_000) }))
        )
        const before = yield* held
        for (const user of users) {
          for (let n = 0; n < 10; n++) yield* send(broker, user, command())
        }
        assert.isAbove((yield* held) - before, 40 * 10 * 1_000)
        yield* TestClock.adjust("26 minutes")
        assert.isBelow((yield* held) - before, 40 * 10 * 100)
      })))

  it.effect("refuses commands that would take more memory than those of all users may, and goes on with events", () =>
    withBroker({ maxBytes: 1_000, maxTotalBytes: 80_000 }, (broker) =>
      Effect.gen(function*() {
        yield* commandsOf(broker).receive(() => Effect.succeed(Command.accepted))
        const words: Array<string> = []
        for (let n = 0; n < 50; n++) words.push(yield* wordOf(send(broker, newUser(), command())))
        assert.deepStrictEqual(new Set(words), new Set(["accepted", "tooMany"]))
        assert.strictEqual(words[0], "accepted")
        assert.strictEqual(words.at(-1), "tooMany")
        const user = newUser()
        assert.strictEqual((yield* broker.append(user, numbered(1))).offset, 1)
        yield* TestClock.adjust("26 minutes")
        assert.strictEqual(yield* wordOf(send(broker, newUser(), command())), "accepted")
      })))

  it.effect("gives back what outcomes take soon after they are forgotten, however long events are kept", () =>
    withBroker({ maxAge: "1 day", maxBytes: 1_000, maxTotalBytes: 80_000 }, (broker) =>
      Effect.gen(function*() {
        const sendOne = Effect.suspend(() => wordOf(send(broker, newUser(), command())))
        while ((yield* sendOne) !== "tooMany");
        yield* TestClock.adjust("9 minutes")
        assert.strictEqual(yield* sendOne, "tooMany")
        yield* TestClock.adjust("4 minutes")
        assert.strictEqual(yield* sendOne, "unknownRun")
      })))

  it.effect("withdraws at the time it was given, by its clock", () =>
    withBroker({}, (broker) =>
      Effect.gen(function*() {
        const user = newUser()
        yield* broker.append(user, [startOf("r")])
        const may = yield* Deferred.make<void>()
        const seen = yield* receiving(broker, user, () => Effect.as(Deferred.await(may), Command.accepted))
        const fibers = yield* Effect.forEach([command(), command()], (sent) => sending(broker, user, sent, second))
        yield* TestClock.adjust("999 millis")
        assert.deepStrictEqual(
          fibers.map((fiber) => fiber.pollUnsafe()),
          [undefined, undefined]
        )
        yield* TestClock.adjust("1 millis")
        assert.deepStrictEqual(yield* Effect.forEach(fibers, Fiber.join), ["undecided", "unavailable"])
        yield* Deferred.succeed(may, undefined)
        assert.lengthOf(seen, 1)
      })))

  it.effect("does not do what nobody waits for any more once its time is over", () =>
    withBroker({}, (broker) =>
      Effect.gen(function*() {
        const user = newUser()
        yield* broker.append(user, [startOf("r")])
        const may = yield* Deferred.make<void>()
        const seen = yield* receiving(broker, user, () => Effect.as(Deferred.await(may), Command.accepted))
        const late = command()
        const fibers = yield* Effect.forEach([command(), late], (sent) => sending(broker, user, sent, second))
        yield* Effect.forEach(fibers, Fiber.interrupt)
        yield* TestClock.adjust("1 second")
        yield* Deferred.succeed(may, undefined)
        assert.strictEqual(yield* wordOf(send(broker, user, late)), "unavailable")
        assert.lengthOf(seen, 1)
      })))

  it.effect("waits a second for a receiver whose scope closes, and then ends it", () =>
    withBroker({}, (broker) =>
      Effect.gen(function*() {
        const user = newUser()
        yield* broker.append(user, [startOf("r")])
        const scope = yield* Scope.make()
        yield* Scope.provide(receiving(broker, user, () => Effect.never), scope)
        const waiting = yield* sending(broker, user, command())
        const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void), { startImmediately: true })
        yield* TestClock.adjust("999 millis")
        assert.isUndefined(closing.pollUnsafe())
        yield* TestClock.adjust("1 millis")
        yield* Fiber.join(closing)
        assert.strictEqual(yield* Fiber.join(waiting), "undecided")
      })))

  it.effect("asks a receiver as its own program, whoever sends", () =>
    withBroker({}, (broker) =>
      Effect.gen(function*() {
        class Who extends Context.Service<Who, string>()("test/Who") {}
        const user = newUser()
        const whose = Effect.map(Effect.serviceOption(Who), (who) => who._tag === "Some" ? who.value : "nobody")
        const seen: Array<string> = []
        yield* commandsOf(broker).receive(() =>
          Effect.map(whose, (who) => {
            seen.push(who)
            return Command.accepted
          })
        ).pipe(Effect.provideService(Who, "program"))
        yield* Effect.provideService(send(broker, user, command()), Who, "device")
        assert.deepStrictEqual(seen, ["program"])
      })))

  it.effect("takes nothing more once it is closed, and leaves nobody waiting", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const broker = Context.get(yield* Scope.provide(Layer.build(Broker.layerMemory()), scope), Broker.Broker)
      const user = newUser()
      const run = Identity.RunId.make("r")
      yield* broker.append(user, [startOf(run)])
      yield* receiving(broker, user, () => Effect.never)
      const fibers = yield* Effect.forEach([command(), command()], (sent) => sending(broker, user, sent))
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(yield* Effect.forEach(fibers, Fiber.join), ["undecided", "unavailable"])
      assert.strictEqual(yield* wordOf(send(broker, user, command())), "unavailable")
    }).pipe(Effect.scoped))
})
