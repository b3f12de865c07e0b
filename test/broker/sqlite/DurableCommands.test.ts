/** What is written down of a command, and how often. */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Duration, Effect } from "effect"
import type { Broker } from "effect-emitter"
import { Command } from "effect-emitter/events"
import * as MemoryCommands from "../../../src/broker/memory/MemoryCommands.ts"
import * as DurableCommands from "../../../src/broker/sqlite/DurableCommands.ts"
import { unavailable } from "../../../src/broker/sqlite/SqliteFailure.ts"
import { newUser } from "../events.ts"
import { command } from "../suite/commanding.ts"

const within = Duration.seconds(1)

/** Commands over a memory that keeps what it was told, in order; it cannot be written while `isFull`. */
const withMemory = Effect.gen(function*() {
  const written: Array<string> = []
  const state = { isFull: false }
  const known = new Map<string, DurableCommands.Remembered>()
  const memory: DurableCommands.Memory = {
    life: "1",
    recall: (_, id) => Effect.sync(() => known.get(id)),
    remember: (_, id, remembered) =>
      Effect.suspend(() => {
        if (state.isFull) return Effect.fail(unavailable("remember", 0, "the disk is full"))
        written.push(remembered.outcome)
        known.set(id, remembered)
        return Effect.void
      })
  }
  const { commands } = yield* MemoryCommands.make({
    clock: yield* Clock.Clock,
    maxTotalBytes: 1_000_000,
    standing: () => "active",
    count: () => {},
    taking: DurableCommands.taking(memory)
  })
  return { ...yield* DurableCommands.make(commands, memory), written, state }
})

describe("DurableCommands", () => {
  it.effect("writes once that a command is taken, however many receivers are asked, and then what became of it", () =>
    Effect.gen(function*() {
      const { receive, send, written } = yield* withMemory
      const user = newUser()
      const asked: Array<string> = []
      const receiver = (name: string, outcome?: Command.Outcome): Broker.CommandReceiver => () =>
        Effect.sync(() => {
          assert.deepStrictEqual(written, ["taken 1"])
          asked.push(name)
          return outcome
        })
      yield* receive(receiver("first"))
      yield* receive(receiver("second"))
      yield* receive(receiver("third", Command.accepted))
      const sent = command()
      assert.deepStrictEqual(yield* send(user, sent, within), Command.accepted)
      assert.deepStrictEqual(asked, ["first", "second", "third"])
      assert.deepStrictEqual(written, ["taken 1", "{\"outcome\":\"accepted\"}"])
      assert.deepStrictEqual(yield* send(user, sent, within), Command.accepted)
      assert.lengthOf(written, 2)
    }))

  it.effect("asks nobody where it cannot be written down", () =>
    Effect.gen(function*() {
      const { receive, send, state } = yield* withMemory
      const asked: Array<string> = []
      yield* receive((_, { id }) => Effect.as(Effect.sync(() => asked.push(id)), Command.accepted))
      state.isFull = true
      yield* Effect.ignore(send(newUser(), command(), within))
      assert.deepStrictEqual(asked, [])
    }))
})
