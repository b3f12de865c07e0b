/** What a process finds that opens the file after another has ended, or was killed. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect } from "effect"
import { type Broker, Identity, type Position } from "effect-emitter"
import { Command } from "effect-emitter/events"
import type { BrokerService } from "../brokerSuite.ts"
import { envelope, idOf, newUser, numbered, plenty } from "../events.ts"
import { command, commandsOf, receiving, send, wordOf } from "../suite/commanding.ts"
import { appending, life } from "./lives.ts"
import { newFile, toLayoutBefore } from "./sqliteFile.ts"

const r = Identity.RunId.make("r")
const startOf = (run: string, sequence: number, source = "s") =>
  envelope({ source, sequence, run, thread: "t", type: "agent_started", data: { agentName: "a" } })
const said = (run: string, sequence: number, delta: string) =>
  envelope({ sequence, run, thread: "t", type: "text_delta", data: { messageId: "m", delta } })

const idsAfter = (broker: BrokerService, user: ReturnType<typeof newUser>, after: Position.Position) =>
  Effect.map(broker.pull(user, after, plenty), ({ entries, gap }) => ({ gap, ids: entries.map(idOf) }))

describe("SqliteBroker, in the next life of the process", () => {
  it.live("goes on with the same epochs and offsets, and gives what was appended as it was", () =>
    Effect.gen(function*() {
      const file = yield* newFile
      const user = newUser()
      const before = yield* life(file, (broker) =>
        Effect.gen(function*() {
          const last = yield* broker.append(user, numbered(1, 5, { data: { text: "ж\n\u0000" } }))
          return { last, slice: yield* broker.pull(user, { ...last, offset: 2 }, plenty) }
        }))
      yield* life(file, (broker) =>
        Effect.gen(function*() {
          assert.deepStrictEqual(yield* broker.head(user), before.last)
          assert.deepStrictEqual(yield* broker.pull(user, { ...before.last, offset: 2 }, plenty), before.slice)
          assert.deepStrictEqual(yield* broker.append(user, numbered(6)), { ...before.last, offset: 6 })
        }))
    }))

  it.live("takes once what was taken before, whether it is kept still or not, and what came late", () =>
    Effect.gen(function*() {
      const file = yield* newFile
      const user = newUser()
      const last = yield* life(file, (broker) =>
        Effect.gen(function*() {
          yield* broker.append(user, numbered(1, 3, { source: "old" }))
          yield* broker.append(user, [...numbered(1, 4), envelope({ sequence: 6 })])
          return yield* broker.head(user)
        }), { maxEvents: 4 })
      yield* life(file, (broker) =>
        Effect.gen(function*() {
          yield* broker.append(user, numbered(1, 3, { source: "old" }))
          assert.deepStrictEqual(yield* broker.append(user, numbered(2, 4)), { ...last, offset: 7 })
          assert.deepStrictEqual(yield* broker.append(user, numbered(4, 6)), last)
          assert.deepStrictEqual(yield* broker.head(user), { ...last, offset: 9 })
          assert.deepStrictEqual((yield* idsAfter(broker, user, last)).ids, ["s.5"])
        }), { maxEvents: 4 })
    }))

  it.live("ends runs that were active as lost, once, and refuses what still comes of them", () =>
    Effect.gen(function*() {
      const file = yield* newFile
      const user = newUser()
      const events = [startOf("r", 1), said("r", 2, "Hel"), said("r", 3, "lo"), startOf("other", 1, "done")] as const
      const last = yield* life(file, (broker) =>
        Effect.andThen(
          broker.append(user, events),
          broker.append(user, [
            envelope({
              source: "done",
              sequence: 2,
              run: "other",
              type: "agent_completed",
              data: { agentName: "a", durationMs: 1 }
            })
          ])
        ))
      for (let n = 0; n < 2; n++) {
        yield* life(file, (broker) =>
          Effect.gen(function*() {
            const { entries } = yield* broker.pull(user, last, plenty)
            assert.deepStrictEqual(entries.map(({ run, type }) => [run, type]), [["r", "agent_error"]])
            const { snapshot } = yield* broker.snapshot(user, r)
            assert.deepInclude(snapshot?.state, { status: "lost", thread: "t", agentName: "a" })
            assert.deepStrictEqual(snapshot?.state.parts, [
              { type: "text", messageId: "m", text: "Hello", completed: true }
            ])
            const { reason } = yield* Effect.flip(broker.append(user, [said("r", 9, "late")]))
            assert.strictEqual(reason._tag, "RunLost")
            assert.deepStrictEqual(yield* broker.takeOver(user, r), { _tag: "Ended", outcome: "lost" })
          }))
      }
    }))

  it.live("has a run's whole state also when its first events were dropped", () =>
    Effect.gen(function*() {
      const file = yield* newFile
      const user = newUser()
      const pieces = Array.from({ length: 700 }, (_, n) => `<${n}>`)
      yield* life(file, (broker) =>
        Effect.gen(function*() {
          yield* broker.append(user, [startOf("r", 1)])
          for (let from = 0; from < pieces.length; from += 7) {
            const [first = "", ...others] = pieces.slice(from, from + 7)
            yield* broker.append(user, [
              said("r", from + 2, first),
              ...others.map((piece, n) => said("r", from + 3 + n, piece))
            ])
          }
        }), { maxEvents: 40 })
      yield* life(file, (broker) =>
        Effect.gen(function*() {
          const { snapshot } = yield* broker.snapshot(user, r)
          const [part] = snapshot?.state.parts ?? []
          assert.strictEqual(part?.type === "text" ? part.text : undefined, pieces.join(""))
        }), { maxEvents: 40 })
    }))

  it.live("opens a file of the layout before, with all that is in it", () =>
    Effect.gen(function*() {
      const file = yield* newFile
      const user = newUser()
      const done = envelope({
        source: "done",
        sequence: 2,
        run: "other",
        type: "agent_completed",
        data: { agentName: "a", durationMs: 1 }
      })
      const before = yield* life(file, (broker) =>
        Effect.gen(function*() {
          yield* broker.append(user, numbered(1, 300, { data: { text: "x".repeat(1_500) } }))
          yield* broker.append(user, [startOf("other", 1, "done"), done, startOf("r", 301), said("r", 302, "Hello")])
          const last = yield* broker.head(user)
          return { last, slice: yield* broker.pull(user, { ...last, offset: 0 }, plenty) }
        }))
      toLayoutBefore(file)
      for (let n = 0; n < 2; n++) {
        yield* life(file, (broker) =>
          Effect.gen(function*() {
            const { entries, gap } = yield* broker.pull(user, { ...before.last, offset: 0 }, plenty)
            assert.isUndefined(gap)
            // The run that was active has ended as lost.
            assert.deepStrictEqual(entries.slice(0, -1), before.slice.entries)
            assert.deepStrictEqual(entries.at(-1)?.type, "agent_error")
            assert.strictEqual(
              (yield* broker.snapshot(user, Identity.RunId.make("other"))).snapshot?.state.status,
              "completed"
            )
            // What was taken is taken once.
            yield* broker.append(user, numbered(1, 300))
            assert.strictEqual((yield* broker.head(user)).offset, before.last.offset + 1)
          }))
      }
    }))

  it.live("remembers revocations, acknowledgements and what became of commands", () =>
    Effect.gen(function*() {
      const file = yield* newFile
      const user = newUser()
      const [taken, refused] = [command(), command()]
      const before = yield* life(file, (broker) =>
        Effect.gen(function*() {
          const position = yield* broker.append(user, [startOf("r", 1)])
          yield* broker.revoke(user)
          yield* broker.acknowledge(user, position)
          const told: Array<Broker.Signal | undefined> = []
          yield* broker.subscribe(user, (signal) => void told.push(signal))
          yield* receiving(
            broker,
            user,
            (_, number) =>
              Effect.succeed(number === 1 ? Command.accepted : Command.refused("invalid", { path: "data" }))
          )
          const outcomes = yield* Effect.forEach([taken, refused], (one) => send(broker, user, one))
          return { position, told, outcomes }
        }))
      assert.lengthOf(before.told, 1)
      yield* life(file, (broker) =>
        Effect.gen(function*() {
          yield* broker.acknowledged(user, before.position)
          const told: Array<Broker.Signal | undefined> = []
          yield* broker.subscribe(user, (signal) => void told.push(signal))
          assert.deepStrictEqual(told, before.told)
          const asked = yield* receiving(broker, user)
          assert.deepStrictEqual(
            yield* Effect.forEach([taken, refused], (one) => send(broker, user, one)),
            before.outcomes
          )
          assert.strictEqual(yield* wordOf(send(broker, user, { ...taken, name: "another" })), "conflict")
          assert.strictEqual(yield* wordOf(send(broker, user, command())), "ended")
          assert.deepStrictEqual(asked, [])
          assert.isDefined(commandsOf(broker))
        }))
    }))

  it.live("never refuses what a run was given before the process ended, since it may have been done", () =>
    Effect.gen(function*() {
      const file = yield* newFile
      const user = newUser()
      const given = command()
      yield* life(file, (broker) =>
        Effect.gen(function*() {
          yield* broker.append(user, [startOf("r", 1)])
          const asked = yield* Deferred.make<void>()
          yield* receiving(broker, user, () => Effect.andThen(Deferred.succeed(asked, undefined), Effect.never))
          yield* Effect.forkChild(send(broker, user, given), { startImmediately: true })
          yield* Deferred.await(asked)
        }))
      yield* life(file, (broker) =>
        Effect.gen(function*() {
          const asked = yield* receiving(broker, user)
          assert.strictEqual(yield* wordOf(send(broker, user, given)), "accepted")
          assert.strictEqual(yield* wordOf(send(broker, user, { ...given, name: "another" })), "conflict")
          assert.strictEqual(yield* wordOf(send(broker, user, command())), "ended")
          assert.deepStrictEqual(asked, [])
        }))
    }))
})

describe("SqliteBroker, after SIGKILL", () => {
  for (const synchronous of ["normal", "full"] as const) {
    it.live(`has all that was answered, under the same epochs, and ends each run once (${synchronous})`, () =>
      Effect.gen(function*() {
        const file = yield* newFile
        const child = yield* appending(file, synchronous)
        yield* child.until(() => child.answered().length > 300)
        yield* child.kill
        const answered = child.answered()
        yield* life(
          file,
          (broker) =>
            Effect.forEach(Map.groupBy(answered, ({ user }) => user), ([name, all]) =>
              Effect.gen(function*() {
                const user = Identity.UserId.make(name)
                const last = all.at(-1) ?? assert.fail("nothing was answered")
                const { entries } = yield* broker.pull(user, { epoch: last.epoch, offset: 0 }, plenty)
                assert.isAtLeast(entries.length, last.offset)
                assert.deepStrictEqual(entries.map(({ offset }) => offset), entries.map((_, n) => n + 1))
                for (const { offset, sequence } of all) {
                  assert.strictEqual(idOf(entries[offset - 1] ?? assert.fail()), `s.${sequence}`)
                }
                assert.deepStrictEqual(
                  entries.filter(({ type }) => type === "agent_error").map(({ offset }) => offset),
                  [entries.length]
                )
              })),
          { maxEvents: 100_000 }
        )
      }))
  }
})
