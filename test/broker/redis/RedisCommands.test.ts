/** What becomes of commands where processes die, freeze and come back, where Redis does, and where single answers are lost. */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Exit, Fiber, Scope } from "effect"
import type { Broker } from "effect-emitter"
import { Command } from "effect-emitter/events"
import { RunId } from "../../../src/protocol/values/Identity.ts"
import * as CommandLua from "../../../src/broker/redis/scripts/CommandLua.ts"
import { envelope, eventually, newUser } from "../events.ts"
import { seeded } from "../../support/random.ts"
import { runProcess } from "../leases/runProcess.ts"
import { command, endOf, hesitating, receiving, send, sending, startOf, wordOf } from "../suite/commanding.ts"
import { type NodeOptions, persist, program, startNode, withServer } from "./redisNode.ts"
import { redisProxy } from "./redisProxy.ts"

// Long enough that nobody is late for it, however loaded the machine is.
const patient: NodeOptions = { lease: "60 seconds", deadline: "5 seconds", silence: "10 seconds", trustRestarts: true }
// As the processes of their own have it.
const quick: NodeOptions = { lease: "6 seconds", deadline: "2 seconds", silence: "3 seconds", trustRestarts: true }

const thoughtOf = (run: string, sequence: number) =>
  envelope({ source: `of-${run}`, sequence, run, type: "agent_thinking", thread: "t", data: { text: "hm" }, at: 1_500 })

type User = ReturnType<typeof newUser>
type Node = Broker.Broker["Service"]

const short = Duration.millis(300)

/** A node that has a run of a user, and one that sends, each by a way of its own to one server. */
const withTwo = <E>(
  redis: Parameters<typeof withServer>[0],
  body: (over: {
    readonly server: Parameters<Parameters<typeof withServer>[1]>[0]
    readonly holder: Node
    readonly gateway: Node
    readonly ways: { readonly holder: Effect.Success<ReturnType<typeof redisProxy>> } & {
      readonly gateway: Effect.Success<ReturnType<typeof redisProxy>>
    }
    readonly user: User
  }) => Effect.Effect<void, E, Scope.Scope>,
  options = patient
) =>
  withServer(redis, (server) =>
    Effect.gen(function*() {
      const ways = { holder: yield* redisProxy(server.port), gateway: yield* redisProxy(server.port) }
      const holder = yield* startNode(ways.holder.url, options)
      const gateway = yield* startNode(ways.gateway.url, options)
      const user = newUser()
      yield* persist(holder.append(user, [startOf("r")]))
      yield* body({ server, holder, gateway, ways, user })
    }), 55)

describe.skipIf(program === undefined)("A command over Redis", () => {
  const steps = {
    put: { script: CommandLua.put, by: "gateway" },
    post: { script: CommandLua.post, by: "gateway" },
    take: { script: CommandLua.take, by: "holder" },
    decide: { script: CommandLua.decide, by: "holder" }
  } as const
  for (const [name, { by, script }] of Object.entries(steps)) {
    for (const part of ["request", "answer"] as const) {
      it.live(
        `is decided once where the ${part} of "${name}" is lost`,
        () =>
          withTwo({}, ({ gateway, holder, user, ways }) =>
            Effect.gen(function*() {
              const seen = yield* receiving(holder, user)
              // From now on the server knows the scripts.
              const [before, sent] = [command(), command()]
              assert.strictEqual(yield* wordOf(send(gateway, user, before)), "accepted")
              yield* ways[by].lose(part, script.sha1)
              assert.strictEqual(yield* wordOf(send(gateway, user, sent)), "accepted")
              yield* eventually(Effect.sync(ways[by].isLosing), (isLosing) => !isLosing, "something that is lost")
              assert.strictEqual(yield* wordOf(send(gateway, user, sent)), "accepted")
              assert.deepStrictEqual(seen, [before.id, sent.id])
            })),
        120_000
      )
    }
  }

  for (const part of ["request", "answer"] as const) {
    it.live(
      `is answered once where the ${part} of "withdraw" is lost`,
      () =>
        withTwo({}, ({ gateway, holder, user, ways }) =>
          Effect.gen(function*() {
            const { go, isAsked, seen } = yield* hesitating(holder, user)
            const [first, early, late] = [command(), command(), command()]
            const waiting = yield* sending(gateway, user, first)
            yield* isAsked
            assert.strictEqual(yield* wordOf(send(gateway, user, early, short)), "unavailable")
            yield* ways.gateway.lose(part, CommandLua.withdraw.sha1)
            assert.strictEqual(yield* wordOf(send(gateway, user, late, short)), "undecided")
            yield* go
            assert.strictEqual(yield* Fiber.join(waiting), "accepted")
            const word = yield* wordOf(send(gateway, user, late))
            if (part === "answer") assert.strictEqual(word, "unavailable")
            assert.deepStrictEqual(seen, word === "accepted" ? [first.id, late.id] : [first.id])
            assert.strictEqual(yield* wordOf(send(gateway, user, late)), word)
          })),
      120_000
    )
  }

  it.live(
    "is found by the beat of its process where the wake-up was lost, and nobody asks any more",
    () =>
      withTwo(
        {},
        ({ gateway, holder, user, ways }) =>
          Effect.gen(function*() {
            const seen = yield* receiving(holder, user)
            yield* ways.holder.mute
            const sent = command()
            const waiting = yield* sending(gateway, user, sent, Duration.minutes(1))
            // Once it is written down, whoever sent it is gone.
            yield* Effect.sleep("150 millis")
            yield* Fiber.interrupt(waiting)
            yield* eventually(Effect.sync(() => seen.length), (length) => length > 0, "the command", 20)
            assert.strictEqual(yield* wordOf(send(gateway, user, sent)), "accepted")
            assert.deepStrictEqual(seen, [sent.id])
          }),
        quick
      ),
    120_000
  )

  it.live(
    "goes to the process in which its run was begun, also while another appends what that one left",
    () =>
      withTwo({}, ({ gateway, holder, user }) =>
        Effect.gen(function*() {
          const [atHome, away] = [yield* receiving(holder, user), yield* receiving(gateway, user)]
          for (const [n, broker] of [gateway, gateway, holder, gateway].entries()) {
            yield* broker.append(user, [thoughtOf("r", n + 2)])
            assert.strictEqual(yield* wordOf(send(gateway, user, command())), "accepted")
          }
          assert.deepStrictEqual([atHome.length, away.length], [4, 0])
          // From now on it is another's: it began the run anew.
          yield* holder.append(user, [endOf("r", 10)])
          yield* gateway.append(user, [startOf("r", 11, 3_000)])
          assert.strictEqual(yield* wordOf(send(holder, user, command())), "accepted")
          assert.deepStrictEqual([atHome.length, away.length], [4, 1])
        })),
    120_000
  )

  it.live(
    "goes to the process that took its run over, also where it waited for the one before",
    () =>
      withTwo({}, ({ gateway, holder, user }) =>
        Effect.gen(function*() {
          const { go, isAsked, seen } = yield* hesitating(holder, user)
          const next = yield* receiving(gateway, user)
          const [first, late, last] = [command(), command(), command()]
          const before = yield* sending(gateway, user, first)
          yield* isAsked
          const waiting = yield* sending(gateway, user, late)
          yield* Effect.sleep("100 millis")
          yield* holder.letGo(user, [RunId.make("r")])
          assert.deepStrictEqual(yield* gateway.takeOver(user, RunId.make("r")), { _tag: "Taken" })
          yield* go
          assert.strictEqual(yield* Fiber.join(before), "accepted")
          assert.strictEqual(yield* Fiber.join(waiting), "accepted")
          assert.strictEqual(yield* wordOf(send(holder, user, last)), "accepted")
          assert.deepStrictEqual([seen, next], [[first.id], [late.id, last.id]])
        })),
    120_000
  )

  it.live(
    "finds its run ended where its process was cut off for too long, and that process learns it without an append",
    () =>
      withTwo(
        {},
        ({ gateway, holder, user, ways }) =>
          Effect.gen(function*() {
            const seen = yield* receiving(holder, user)
            const lost: Array<string> = []
            yield* holder.watchLost?.((of, runs) => {
              if (of === user) lost.push(...runs)
            }) ?? assert.fail("it does not tell")
            yield* ways.holder.swallow
            const sent = command()
            assert.strictEqual(yield* wordOf(send(gateway, user, sent)), "ended")
            yield* ways.holder.heal
            yield* eventually(Effect.sync(() => lost), ({ length }) => length > 0, "that its run is lost", 20)
            assert.deepStrictEqual(lost, ["r"])
            assert.deepStrictEqual(seen, [])
          }),
        quick
      ),
    120_000
  )

  it.live(
    "is refused where the process that has the run knows no commands",
    () =>
      withTwo({}, ({ gateway, user }) =>
        Effect.gen(function*() {
          assert.strictEqual(yield* wordOf(send(gateway, user, command())), "notAllowed")
        })),
    120_000
  )

  it.live(
    "costs a run that gets none nothing: its events touch no key of commands",
    () =>
      withTwo({}, ({ holder, server, user }) =>
        Effect.gen(function*() {
          for (let n = 2; n < 12; n++) yield* holder.append(user, [thoughtOf("r", n)])
          const keys = yield* server.send("KEYS", "*")
          assert.include(keys, `{${user}}:meta`)
          assert.notInclude(keys, ":commands")
          assert.notInclude(keys, ":outcomes")
          assert.notInclude(keys, ":mail:")
        })),
    120_000
  )

  it.live(
    "is decided once though Redis is killed while it is decided, and comes back",
    () =>
      withTwo({ durable: true }, ({ gateway, holder, server, user }) =>
        Effect.gen(function*() {
          const { go, isAsked, seen } = yield* hesitating(holder, user)
          const [first, second] = [command(), command()]
          const waiting = [yield* sending(gateway, user, first), yield* sending(gateway, user, second)] as const
          yield* isAsked
          yield* server.kill
          yield* go
          yield* Effect.sleep("300 millis")
          yield* server.start
          assert.deepStrictEqual(yield* Effect.forEach(waiting, Fiber.join), ["accepted", "accepted"])
          assert.sameMembers(seen, [first.id, second.id])
        })),
    120_000
  )

  it.live(
    "is left undecided while Redis is away, and decided once when it is sent again",
    () =>
      withTwo({ durable: true }, ({ gateway, holder, server, user }) =>
        Effect.gen(function*() {
          const seen = yield* receiving(holder, user)
          yield* server.kill
          const sent = command()
          assert.strictEqual(yield* wordOf(send(gateway, user, sent, short)), "undecided")
          yield* server.start
          assert.strictEqual(yield* wordOf(send(gateway, user, sent)), "accepted")
          assert.deepStrictEqual(seen, [sent.id])
          yield* server.freeze
          const later = command()
          const waiting = yield* sending(gateway, user, later, short)
          assert.strictEqual(yield* Fiber.join(waiting), "undecided")
          yield* server.thaw
          const word = yield* eventually(
            wordOf(send(gateway, user, later)),
            (word) => word !== "undecided",
            "what became of it",
            20
          )
          assert.strictEqual(word, seen.includes(later.id) ? "accepted" : "unavailable")
        })),
    180_000
  )

  it.live(
    "is decided once, and as it was told, while all connections break again and again",
    () =>
      withTwo({}, ({ gateway, holder, user, ways }) =>
        Effect.gen(function*() {
          const refused = new Set<string>()
          const seen = yield* receiving(holder, user, ({ id }, number) =>
            Effect.sync(() => {
              if (number % 3 > 0) return Command.accepted
              refused.add(id)
              return Command.refused("invalid")
            }).pipe(Effect.delay("50 millis")))
          const { next } = seeded(7)
          const cutting = yield* Effect.suspend(() => next() < 0.5 ? ways.holder.cut : ways.gateway.cut).pipe(
            Effect.delay("700 millis"),
            Effect.forever,
            Effect.forkScoped
          )
          const outcomeOf = (sent: Broker.SentCommand) =>
            eventually(wordOf(send(gateway, user, sent)), (word) => word !== "undecided", "what became of it", 30)
          const sent = Array.from({ length: 60 }, () => command())
          const words = yield* Effect.forEach(sent, outcomeOf, { concurrency: 12 })
          yield* Fiber.interrupt(cutting)
          assert.strictEqual(new Set(seen).size, seen.length)
          assert.sameMembers(seen, sent.map(({ id }) => id))
          assert.deepStrictEqual(words, sent.map(({ id }) => refused.has(id) ? "invalid" : "accepted"))
          assert.deepStrictEqual(yield* Effect.forEach(sent, outcomeOf, { concurrency: 12 }), words)
        })),
    180_000
  )

  it.live(
    "is not done again though Redis forgot that it was",
    () =>
      withTwo({}, ({ gateway, holder, server, user }) =>
        Effect.gen(function*() {
          const seen = yield* receiving(holder, user)
          const sent = command()
          assert.strictEqual(yield* wordOf(send(gateway, user, sent)), "accepted")
          yield* server.send("FLUSHALL")
          yield* holder.append(user, [thoughtOf("r", 2)])
          assert.strictEqual(yield* wordOf(send(gateway, user, sent)), "accepted")
          assert.deepStrictEqual(seen, [sent.id])
          assert.strictEqual(yield* wordOf(send(gateway, user, command())), "accepted")
        })),
    120_000
  )

  it.live(
    "is decided by a process that closes, or refused, and never done after that",
    () =>
      withServer({}, ({ url }) =>
        Effect.gen(function*() {
          const [gateway, user, scope] = [yield* startNode(url, patient), newUser(), yield* Scope.make()]
          const holder = yield* Scope.provide(startNode(url, patient), scope)
          yield* holder.append(user, [startOf("r")])
          const { go, isAsked, seen } = yield* Scope.provide(hesitating(holder, user), scope)
          const [first, second] = [command(), command()]
          const waiting = yield* sending(gateway, user, first)
          yield* isAsked
          const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void), { startImmediately: true })
          yield* go
          yield* Fiber.join(closing)
          assert.strictEqual(yield* Fiber.join(waiting), "accepted")
          assert.strictEqual(yield* wordOf(send(gateway, user, second, short)), "unavailable")
          assert.deepStrictEqual(seen, [first.id])
        })),
    120_000
  )
})

/** A process that has a run of a user, and a node that sends. */
const withProcess = <E>(
  mode: "hesitate" | "",
  body: (over: {
    readonly url: string
    readonly gateway: Node
    readonly user: User
    readonly child: Effect.Success<ReturnType<typeof runProcess>>
  }) => Effect.Effect<void, E, Scope.Scope>
) =>
  withServer({}, ({ url }) =>
    Effect.gen(function*() {
      const [gateway, user] = [yield* startNode(url, quick), newUser()]
      const child = yield* startProcess(url, user, mode)
      yield* body({ url, gateway, user, child })
    }), 55)

const startProcess = Effect.fnUntraced(function*(url: string, user: User, mode: "hesitate" | "") {
  const script = new URL("command-child.ts", import.meta.url)
  const child = yield* runProcess({ url, user, run: "r", file: mode, script })
  yield* child.until("begun", ({ length }) => length > 0)
  return child
})

const wasAsked = (child: Effect.Success<ReturnType<typeof runProcess>>) =>
  child.until("asked", ({ length }) => length > 0)

describe.skipIf(program === undefined)("A command to a process that", () => {
  it.live(
    "is frozen for a moment is withdrawn, and not done when it wakes",
    () =>
      withProcess("", ({ child, gateway, user }) =>
        Effect.gen(function*() {
          yield* child.freeze
          const [early, late] = [command(), command()]
          assert.strictEqual(yield* wordOf(send(gateway, user, early, short)), "unavailable")
          yield* child.thaw
          assert.strictEqual(yield* wordOf(send(gateway, user, late)), "accepted")
          assert.strictEqual(yield* wordOf(send(gateway, user, early)), "unavailable")
          assert.deepStrictEqual(child.said("asked"), [late.id])
        })),
    120_000
  )

  it.live(
    "is frozen past its lease ends with its run, and is not done when it wakes",
    () =>
      withProcess("", ({ child, gateway, user }) =>
        Effect.gen(function*() {
          yield* child.freeze
          const [early, late] = [command(), command({ run: RunId.make("r-again") })]
          assert.strictEqual(yield* wordOf(send(gateway, user, early)), "ended")
          yield* child.thaw
          yield* child.tell("again")
          yield* child.until("begun", ({ length }) => length > 1)
          assert.strictEqual(yield* wordOf(send(gateway, user, late)), "accepted")
          assert.strictEqual(yield* wordOf(send(gateway, user, early)), "ended")
          assert.deepStrictEqual(child.said("asked"), [late.id])
        })),
    120_000
  )

  it.live(
    "is frozen past its lease while it decides may be done, so it was accepted, whatever it decides when it wakes",
    () =>
      withProcess("hesitate", ({ child, gateway, user }) =>
        Effect.gen(function*() {
          const [early, late] = [command(), command({ run: RunId.make("r-again") })]
          const waiting = yield* sending(gateway, user, early)
          yield* wasAsked(child)
          yield* child.freeze
          assert.strictEqual(yield* Fiber.join(waiting), "accepted")
          yield* child.thaw
          yield* child.tell("go")
          yield* child.tell("again")
          yield* child.until("begun", ({ length }) => length > 1)
          assert.strictEqual(yield* wordOf(send(gateway, user, late)), "accepted")
          assert.strictEqual(yield* wordOf(send(gateway, user, early)), "accepted")
          assert.deepStrictEqual(child.said("asked"), [early.id, late.id])
        })),
    120_000
  )

  it.live(
    "is killed ends with its run: what it took was accepted, what it did not was not, and the next run takes the next",
    () =>
      withProcess("hesitate", ({ child, gateway, url, user }) =>
        Effect.gen(function*() {
          const sent = [command(), command()]
          const [first, second] = yield* Effect.forEach(sent, (one) => sending(gateway, user, one))
          yield* wasAsked(child)
          yield* child.kill
          if (first === undefined || second === undefined) return assert.fail("two were sent")
          assert.strictEqual(yield* Fiber.join(first), "accepted")
          assert.strictEqual(yield* Fiber.join(second), "ended")
          const next = yield* startProcess(url, user, "")
          const late = command()
          assert.strictEqual(yield* wordOf(send(gateway, user, late)), "accepted")
          assert.deepStrictEqual(next.said("asked"), [late.id])
        })),
    120_000
  )
})
