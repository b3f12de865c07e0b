/** A command is decided once, where its run is, and its device learns what became of it. */
import { assert } from "@effect/vitest"
import { Deferred, Duration, Effect, Exit, Fiber, Scope } from "effect"
import { type Broker, Identity } from "effect-emitter"
import { Command } from "effect-emitter/events"
import type { BrokerService, BrokerTest } from "../brokerSuite.ts"
import { appendAll, envelope, eventually, newUser } from "../events.ts"
import { patience } from "../../support/patience.ts"

type User = ReturnType<typeof newUser>

const run = Identity.RunId.make("r")
const other = Identity.RunId.make("other")

// So long that only a test that fails waits for it; and so short that nothing else happens meanwhile.
const long = Duration.seconds(8 * patience)
const short = Duration.millis(100)

let ids = 0

/** A command with an id of its own. */
export const command = (more: Partial<Broker.SentCommand> = {}): Broker.SentCommand => ({
  id: Command.CommandId.make(`c${++ids}`),
  run,
  name: "steer",
  client: "tab",
  ...more
})

export const startOf = (of: string, sequence = 1, at = 1_000) =>
  envelope({ at, source: `of-${of}`, sequence, run: of, type: "agent_started", thread: "t", data: { agentName: "a" } })

export const endOf = (of: string, sequence = 2, at = 2_000) =>
  envelope({
    at,
    source: `of-${of}`,
    sequence,
    run: of,
    type: "agent_completed",
    thread: "t",
    data: { agentName: "a", durationMs: 1 }
  })

/** What the broker under test has for commands. */
export const commandsOf = (broker: BrokerService): Broker.Commands =>
  broker.commands ?? assert.fail("this broker takes no commands")

export const send = (broker: BrokerService, user: User, sent: Broker.SentCommand, within = long) =>
  commandsOf(broker).send(user, sent, within)

/** What became of a command, in a word: `accepted`, why it was refused, or `undecided`. */
export const wordOf = (sending: Effect.Effect<Command.Outcome, Broker.BrokerError>) =>
  Effect.match(sending, {
    onSuccess: (outcome) => outcome.outcome === "accepted" ? "accepted" : outcome.reason,
    onFailure: () => "undecided"
  })

/** Takes the commands of a user, and keeps what it saw. Unless told otherwise it has all runs, and accepts. */
export const receiving = Effect.fnUntraced(function*(
  broker: BrokerService,
  of: User,
  decide: (sent: Broker.SentCommand, number: number) => Effect.Effect<Command.Outcome | undefined> = () =>
    Effect.succeed(Command.accepted)
) {
  const seen: Array<string> = []
  yield* commandsOf(broker).receive((user, sent) => {
    if (user !== of) return Effect.succeed(undefined)
    seen.push(sent.id)
    return decide(sent, seen.length)
  })
  return seen
})

/** Takes the commands of a user, the first of them only once it may. */
export const hesitating = Effect.fnUntraced(function*(broker: BrokerService, user: User) {
  const [asked, may] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
  const seen = yield* receiving(
    broker,
    user,
    (_, number) =>
      number > 1 ? Effect.succeed(Command.accepted) : Deferred.succeed(asked, undefined).pipe(
        Effect.andThen(Deferred.await(may)),
        Effect.as(Command.accepted)
      )
  )
  return { seen, isAsked: Deferred.await(asked), go: Deferred.succeed(may, undefined) }
})

/** In the background, and under way. */
export const sending = (broker: BrokerService, user: User, sent: Broker.SentCommand, within = long) =>
  Effect.forkChild(wordOf(send(broker, user, sent, within)), { startImmediately: true })

/** Waits until the broker has taken so many commands that wait: another of the same id then finds it. */
const awaitTaken = (fiber: Fiber.Fiber<unknown>) =>
  Effect.andThen(Effect.sleep("50 millis"), Effect.sync(() => assert.isUndefined(fiber.pollUnsafe())))

export const commanding = (test: BrokerTest) => {
  test("takes a command to whoever has its run, as it was sent", (broker) =>
    Effect.gen(function*() {
      const user = newUser()
      yield* broker.append(user, [startOf("r")])
      const seen: Array<[User, Broker.SentCommand]> = []
      yield* commandsOf(broker).receive((of, sent) =>
        Effect.sync(() => {
          seen.push([of, sent])
          return Command.accepted
        })
      )
      const first = command({ name: "answer", data: { requestId: "q", answer: ["ü\n\u0000", { "": null }] } })
      const { client: _, ...second } = command()
      assert.deepStrictEqual(yield* send(broker, user, first), { outcome: "accepted" })
      assert.deepStrictEqual(yield* send(broker, user, second), { outcome: "accepted" })
      assert.deepStrictEqual(seen, [[user, first], [user, second]])
    }))

  test("tells a device why its command was refused, by whom it was decided", (broker) =>
    Effect.gen(function*() {
      const user = newUser()
      yield* broker.append(user, [startOf("r")])
      const refusal = Command.refused("invalid", { path: "data.text", message: "it is “empty”\n" })
      yield* receiving(broker, user, () => Effect.succeed(refusal))
      assert.deepStrictEqual(yield* send(broker, user, command()), refusal)
    }))

  test("keeps of a refusal's words so many that what is remembered has a bound", (broker) =>
    Effect.gen(function*() {
      const user = newUser()
      yield* broker.append(user, [startOf("r")])
      const long = "x".repeat(100_000)
      yield* receiving(broker, user, () => Effect.succeed(Command.refused("invalid", { path: long, message: long })))
      const short = long.slice(0, 1_000)
      assert.deepStrictEqual(
        yield* send(broker, user, command()),
        Command.refused("invalid", { path: short, message: short })
      )
    }))

  test("asks receivers in turn, until one has the run", (broker) =>
    Effect.gen(function*() {
      const user = newUser()
      yield* broker.append(user, [startOf("r"), startOf("other")])
      const of = (mine: string) => (sent: Broker.SentCommand) =>
        Effect.succeed(sent.run === mine ? Command.refused("notAllowed", { message: mine }) : undefined)
      yield* receiving(broker, user, of("r"))
      yield* receiving(broker, user, of("other"))
      for (const id of [run, other]) {
        assert.deepStrictEqual(
          yield* send(broker, user, command({ run: id })),
          Command.refused("notAllowed", { message: id })
        )
      }
    }))

  test("decides by itself of runs that nobody has: ended, unknown, begun by plain events", (broker) =>
    Effect.gen(function*() {
      const [user, stranger] = [newUser(), newUser()]
      yield* appendAll(broker, user, [[startOf("r")], [startOf("other")], [endOf("r")]])
      const words = Effect.forEach(
        [[user, run], [user, other], [user, Identity.RunId.make("never")], [stranger, other]] as const,
        ([of, id]) => wordOf(send(broker, of, command({ run: id })))
      )
      const expected = ["ended", "notAllowed", "unknownRun", "unknownRun"]
      assert.deepStrictEqual(yield* words, expected)
      const seen = yield* receiving(broker, user, () => Effect.succeed(undefined))
      assert.deepStrictEqual(yield* words, expected)
      assert.isAbove(seen.length, 0)
    }))

  test("takes the commands of one user in order, one by one", (broker) =>
    Effect.gen(function*() {
      const user = newUser()
      yield* broker.append(user, [startOf("r"), startOf("other")])
      let atOnce = 0
      const seen = yield* receiving(broker, user, () =>
        Effect.sync(() => assert.strictEqual(++atOnce, 1)).pipe(
          Effect.andThen(Effect.sleep("2 millis")),
          Effect.andThen(Effect.sync(() => {
            atOnce--
            return Command.accepted
          }))
        ))
      const sent = Array.from({ length: 20 }, (_, n) => command({ run: n % 3 === 0 ? other : run }))
      const fibers = yield* Effect.forEach(sent, (one) => sending(broker, user, one))
      for (const fiber of fibers) assert.strictEqual(yield* Fiber.join(fiber), "accepted")
      assert.deepStrictEqual(seen, sent.map(({ id }) => id))
    }))

  test("delays no user by what takes long for another", (broker) =>
    Effect.gen(function*() {
      const [slow, quick] = [newUser(), newUser()]
      for (const user of [slow, quick]) yield* broker.append(user, [startOf("r")])
      const { go, isAsked } = yield* hesitating(broker, slow)
      yield* receiving(broker, quick)
      const waiting = yield* sending(broker, slow, command())
      yield* isAsked
      assert.strictEqual(yield* wordOf(send(broker, quick, command())), "accepted")
      assert.isUndefined(waiting.pollUnsafe())
      yield* go
      assert.strictEqual(yield* Fiber.join(waiting), "accepted")
    }))

  test("decides once, however often a command is sent", (broker) =>
    Effect.gen(function*() {
      const user = newUser()
      yield* broker.append(user, [startOf("r")])
      const seen = yield* receiving(broker, user, (_, number) =>
        Effect.succeed(number % 2 === 1 ? Command.accepted : Command.refused("notAllowed")))
      const [first, second] = [command(), command()]
      for (let n = 0; n < 3; n++) {
        assert.strictEqual(yield* wordOf(send(broker, user, first)), "accepted")
        assert.strictEqual(yield* wordOf(send(broker, user, { ...second, client: `tab ${n}` })), "notAllowed")
      }
      assert.deepStrictEqual(seen, [first.id, second.id])
      yield* broker.append(user, [endOf("r")])
      assert.strictEqual(yield* wordOf(send(broker, user, first)), "accepted")
    }))

  test("decides once where ten devices send the same at once", (broker) =>
    Effect.gen(function*() {
      const user = newUser()
      yield* broker.append(user, [startOf("r")])
      const { go, isAsked, seen } = yield* hesitating(broker, user)
      const sent = command({ name: "cancel" })
      const fibers = yield* Effect.forEach(Array.from({ length: 10 }), () => sending(broker, user, sent))
      yield* isAsked
      yield* go
      for (const fiber of fibers) assert.strictEqual(yield* Fiber.join(fiber), "accepted")
      assert.deepStrictEqual(seen, [sent.id])
    }))

  test("refuses an id that was another command's", (broker) =>
    Effect.gen(function*() {
      const [user, stranger] = [newUser(), newUser()]
      for (const one of [user, stranger]) yield* broker.append(one, [startOf("r"), startOf("other")])
      const { go, isAsked, seen } = yield* hesitating(broker, user)
      yield* receiving(broker, stranger)
      const sent = command({ data: { text: "shorter" } })
      const others = [{ ...sent, run: other }, { ...sent, name: "cancel" }, { ...sent, data: { text: "longer" } }]
      const waiting = yield* sending(broker, user, sent)
      yield* isAsked
      for (const one of others) assert.strictEqual(yield* wordOf(send(broker, user, one)), "conflict")
      yield* go
      assert.strictEqual(yield* Fiber.join(waiting), "accepted")
      for (const one of others) assert.strictEqual(yield* wordOf(send(broker, user, one)), "conflict")
      assert.strictEqual(yield* wordOf(send(broker, user, sent)), "accepted")
      assert.deepStrictEqual(seen, [sent.id])
      // Ids are each user's own.
      assert.strictEqual(yield* wordOf(send(broker, stranger, { ...sent, run: other })), "accepted")
    }))

  test("settles what waits for a run by its ending, and not what waits for another", (broker) =>
    Effect.gen(function*() {
      const user = newUser()
      yield* broker.append(user, [startOf("r"), startOf("other")])
      const { go, isAsked, seen } = yield* hesitating(broker, user)
      const first = command({ run: other })
      const [late, next] = [command(), command({ run: other })]
      const fibers = [yield* sending(broker, user, first)] as const
      yield* isAsked
      const waiting = [yield* sending(broker, user, late), yield* sending(broker, user, next)] as const
      yield* awaitTaken(waiting[1])
      yield* broker.append(user, [endOf("r")])
      assert.strictEqual(yield* Fiber.join(waiting[0]), "ended")
      yield* go
      assert.strictEqual(yield* Fiber.join(fibers[0]), "accepted")
      assert.strictEqual(yield* Fiber.join(waiting[1]), "accepted")
      assert.deepStrictEqual(seen, [first.id, next.id])
      assert.strictEqual(yield* wordOf(send(broker, user, late)), "ended")
    }))

  test("settles what waits for a run that is ended as lost, also where it starts anew", (broker) =>
    Effect.gen(function*() {
      const user = newUser()
      yield* broker.append(user, [startOf("r"), startOf("other")])
      const { go, isAsked, seen } = yield* hesitating(broker, user)
      const first = command({ run: other })
      const late = command()
      const before = yield* sending(broker, user, first)
      yield* isAsked
      const waiting = yield* sending(broker, user, late)
      yield* awaitTaken(waiting)
      assert.strictEqual(yield* broker.endLost(user, [run]), 1)
      yield* broker.append(user, [startOf("r", 3, Date.now() + 60_000)])
      assert.strictEqual(yield* Fiber.join(waiting), "ended")
      yield* go
      assert.strictEqual(yield* Fiber.join(before), "accepted")
      const anew = command()
      assert.strictEqual(yield* wordOf(send(broker, user, anew)), "accepted")
      assert.deepStrictEqual(seen, [first.id, anew.id])
    }))

  test("never refuses what a run was given before it was ended as lost", (broker) =>
    Effect.gen(function*() {
      const user = newUser()
      yield* broker.append(user, [startOf("r")])
      const { go, isAsked, seen } = yield* hesitating(broker, user)
      const sent = command()
      const waiting = yield* sending(broker, user, sent)
      yield* isAsked
      assert.strictEqual(yield* broker.endLost(user, [run]), 1)
      yield* go
      assert.strictEqual(yield* Fiber.join(waiting), "accepted")
      assert.strictEqual(yield* wordOf(send(broker, user, sent)), "accepted")
      assert.deepStrictEqual(seen, [sent.id])
    }))

  test("lets a receiver end the run that it is asked to end", (broker) =>
    Effect.gen(function*() {
      const user = newUser()
      yield* broker.append(user, [startOf("r")])
      const seen = yield* receiving(broker, user, () =>
        Effect.as(Effect.orDie(broker.append(user, [endOf("r")])), Command.accepted))
      const [first, second] = [command({ name: "cancel" }), command({ name: "cancel" })]
      const fibers = yield* Effect.forEach([first, second], (one) =>
        sending(broker, user, one))
      assert.deepStrictEqual(yield* Effect.forEach(fibers, Fiber.join), ["accepted", "ended"])
      assert.deepStrictEqual(seen, [first.id])
    }))

  test("says of a run that ends at the same moment either that it took the command, or that it has ended", (broker) =>
    Effect.gen(function*() {
      const user = newUser()
      const runs = Array.from({ length: 30 }, (_, n) => Identity.RunId.make(`run-${n}`))
      const accepted = new Set<string>()
      yield* commandsOf(broker).receive((of, sent) =>
        Effect.sync(() => {
          if (of !== user) return undefined
          accepted.add(sent.id)
          return Command.accepted
        })
      )
      yield* Effect.forEach(runs, (id, n) =>
        Effect.gen(function*() {
          yield* broker.append(user, [startOf(id)])
          const sent = command({ run: id })
          const sending = wordOf(send(broker, user, sent))
          const ending = broker.append(user, [endOf(id)])
          const [word] = yield* (n % 2 === 0
            ? Effect.all([sending, ending], { concurrency: 2 })
            : Effect.map(Effect.all([ending, sending], { concurrency: 2 }), ([, word]) => [word] as const))
          assert.strictEqual(word, accepted.has(sent.id) ? "accepted" : "ended")
          assert.strictEqual(yield* wordOf(send(broker, user, sent)), word)
          assert.strictEqual(yield* wordOf(send(broker, user, command({ run: id }))), "ended")
        }), { concurrency: 8 })
    }))

  test("withdraws what nobody decided in time, and never does it later", (broker) =>
    Effect.gen(function*() {
      const user = newUser()
      yield* broker.append(user, [startOf("r")])
      const { go, isAsked, seen } = yield* hesitating(broker, user)
      const [first, late, next] = [command(), command(), command()]
      const waiting = yield* sending(broker, user, first)
      yield* isAsked
      assert.strictEqual(yield* wordOf(send(broker, user, late, short)), "unavailable")
      yield* go
      assert.strictEqual(yield* Fiber.join(waiting), "accepted")
      assert.strictEqual(yield* wordOf(send(broker, user, next)), "accepted")
      assert.strictEqual(yield* wordOf(send(broker, user, late)), "unavailable")
      assert.deepStrictEqual(seen, [first.id, next.id])
    }))

  test("says nothing of what it cannot withdraw, and tells it under the same id", (broker) =>
    Effect.gen(function*() {
      const user = newUser()
      yield* broker.append(user, [startOf("r")])
      const { go, isAsked, seen } = yield* hesitating(broker, user)
      // On a slow machine one may be withdrawn before it is taken: then another has more time.
      const taken = (within: Duration.Duration): Effect.Effect<Broker.SentCommand> =>
        Effect.gen(function*() {
          const sent = command()
          const word = yield* wordOf(send(broker, user, sent, within))
          if (word === "unavailable") return yield* taken(Duration.times(within, 4))
          assert.strictEqual(word, "undecided")
          return sent
        })
      const sent = yield* taken(short)
      yield* isAsked
      const again = yield* sending(broker, user, sent)
      yield* go
      assert.strictEqual(yield* Fiber.join(again), "accepted")
      assert.deepStrictEqual(seen, [sent.id])
    }))

  test("decides also where whoever sent was interrupted, once", (broker) =>
    Effect.gen(function*() {
      const user = newUser()
      yield* broker.append(user, [startOf("r")])
      const { go, isAsked, seen } = yield* hesitating(broker, user)
      const [first, second] = [command(), command()]
      const fibers = [yield* sending(broker, user, first), yield* sending(broker, user, second)] as const
      yield* isAsked
      yield* awaitTaken(fibers[1])
      yield* Effect.forEach(fibers, Fiber.interrupt)
      yield* go
      assert.strictEqual(yield* wordOf(send(broker, user, second)), "accepted")
      assert.strictEqual(yield* wordOf(send(broker, user, first)), "accepted")
      assert.deepStrictEqual(seen, [first.id, second.id])
    }))

  test("lets a receiver finish when its scope closes, and asks it nothing more", (broker) =>
    Effect.gen(function*() {
      const user = newUser()
      yield* broker.append(user, [startOf("r")])
      const scope = yield* Scope.make()
      const { go, isAsked, seen } = yield* Scope.provide(hesitating(broker, user), scope)
      const [first, second] = [command(), command()]
      const fibers = [yield* sending(broker, user, first), yield* sending(broker, user, second)] as const
      yield* isAsked
      yield* awaitTaken(fibers[1])
      const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void), { startImmediately: true })
      yield* go
      yield* Fiber.join(closing)
      assert.deepStrictEqual(yield* Effect.forEach(fibers, Fiber.join), ["accepted", "notAllowed"])
      assert.deepStrictEqual(seen, [first.id])
      const next = yield* receiving(broker, user)
      assert.strictEqual(yield* wordOf(send(broker, user, command())), "accepted")
      assert.lengthOf(next, 1)
    }))

  test("says nothing of what a receiver began and did not finish, asks nobody else, and goes on with the next", (broker) =>
    Effect.gen(function*() {
      const user = newUser()
      yield* broker.append(user, [startOf("r"), startOf("other")])
      const failing = yield* receiving(
        broker,
        user,
        (sent) => sent.run === run ? Effect.die(new Error("a mistake in the program")) : Effect.interrupt
      )
      const next = yield* receiving(broker, user)
      const [dies, interrupted] = [command(), command({ run: other })]
      for (const sent of [dies, interrupted]) {
        assert.strictEqual(yield* wordOf(send(broker, user, sent, Duration.seconds(1))), "undecided")
        assert.strictEqual(yield* wordOf(send(broker, user, sent, short)), "undecided")
      }
      assert.deepStrictEqual(failing, [dies.id, interrupted.id])
      assert.deepStrictEqual(next, [])
      yield* broker.append(user, [endOf("r"), endOf("other")])
      for (const sent of [dies, interrupted]) {
        assert.strictEqual(yield* wordOf(send(broker, user, sent)), "ended")
      }
    }))

  test("takes so many commands at a time that wait, and no more", (broker) =>
    Effect.gen(function*() {
      const user = newUser()
      yield* broker.append(user, [startOf("r")])
      const { go, isAsked } = yield* hesitating(broker, user)
      const first = yield* sending(broker, user, command())
      yield* isAsked
      const fibers = yield* Effect.forEach(Array.from({ length: 63 }), () => sending(broker, user, command()))
      const sent = command()
      const word = yield* eventually(
        wordOf(send(broker, user, sent, Duration.millis(20))),
        (word) => word !== "unavailable",
        "that there are too many"
      )
      assert.strictEqual(word, "tooMany")
      yield* go
      for (const fiber of [first, ...fibers]) assert.strictEqual(yield* Fiber.join(fiber), "accepted")
      assert.strictEqual(yield* wordOf(send(broker, user, command())), "accepted")
    }))

  test("takes data of 8 KiB, and no more", (broker) =>
    Effect.gen(function*() {
      const user = newUser()
      yield* broker.append(user, [startOf("r")])
      const seen = yield* receiving(broker, user)
      const data = (bytes: number) => ({ text: "x".repeat(bytes - 11) })
      assert.strictEqual(Buffer.byteLength(JSON.stringify(data(100))), 100)
      assert.strictEqual(yield* wordOf(send(broker, user, command({ data: data(8_192) }))), "accepted")
      assert.deepInclude(yield* send(broker, user, command({ data: data(8_193) })), {
        outcome: "refused",
        reason: "invalid",
        path: "data"
      })
      assert.lengthOf(seen, 1)
    }))
}
