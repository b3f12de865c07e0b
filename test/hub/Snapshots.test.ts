import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { Broker } from "effect-emitter"
import type { Frame } from "effect-emitter/protocol"
import { TestClock } from "effect/testing"
import type { CloseReason, Message, Transport } from "../../src/hub/Transport.ts"
import { RunId } from "../../src/protocol/values/Identity.ts"
import { settledMemory } from "../support/memory.ts"
import { FakeBroker, FakeTransport } from "./fakes.ts"
import { ada, makeHub, now, offsets, open } from "./hub.ts"
import { RunFold } from "../../src/protocol/run/RunFold.ts"
import { maxText, maxTotalText } from "../../src/protocol/run/RunLimits.ts"
import { textOf } from "../support/runs.ts"

const settle = TestClock.adjust("10 millis")

const isSnapshot = (frame: Frame.ServerFrame): frame is typeof Frame.Snapshot.Type => frame.type === "snapshot"

const types = (transport: FakeTransport) => transport.frames.map(({ type }) => type)

/** A log with runs that have each said so many characters. */
const withRuns = (count: number, characters: number) => {
  const broker = new FakeBroker({ maxEvents: 1000, delay: now })
  for (let n = 1; n <= count; n++) {
    broker.append({ run: `r${n}`, type: "agent_started", data: { agentName: "a" } })
    broker.append({ run: `r${n}`, type: "text_delta", data: { messageId: "m", delta: "x".repeat(characters) } })
  }
  return broker
}

describe("The snapshots a device is owed", () => {
  it.effect("fault 16: are written one at a time, as the transport has room, and before what follows in the log", () =>
    Effect.gen(function*() {
      const broker = withRuns(4, 2_000)
      const transport = new FakeTransport()
      transport.room = 1
      const connection = yield* open(yield* makeHub(broker), transport)
      const [welcome] = transport.frames
      assert.strictEqual(welcome?.type === "welcome" ? welcome.snapshots : 0, 4)
      assert.deepStrictEqual(types(transport), ["welcome", "snapshot"])
      assert.isTrue(connection.isBehind)
      broker.append({ run: "r4", type: "text_delta", data: { messageId: "m", delta: "y" } })
      for (const expected of [2, 3, 4]) {
        transport.drain(1)
        yield* settle
        assert.strictEqual(transport.frames.filter(isSnapshot).length, expected)
      }
      assert.deepStrictEqual(offsets(transport), [])
      transport.drain(Infinity)
      yield* settle
      assert.deepStrictEqual(offsets(transport), [9])
      const snapshots = transport.frames.filter(isSnapshot)
      assert.deepStrictEqual<unknown>(snapshots.map(({ run }) => run), ["r1", "r2", "r3", "r4"])
      // The state is that of its turn, so the event that came meanwhile is in it.
      assert.strictEqual(snapshots[3]?.offset, 9)
      assert.strictEqual(textOf(snapshots[3]?.state.parts[0]).at(-1), "y")
      assert.isFalse(connection.isBehind)
    }))

  it.effect("are those it asked for: first when it resumes, and then all that it missed", () =>
    Effect.gen(function*() {
      const broker = withRuns(3, 10)
      for (const run of ["r1", "r2"]) broker.append({ run, type: "agent_completed", data: { agentName: "a" } })
      const { epoch } = broker.log
      const hub = yield* makeHub(broker)
      const opened = (options: Parameters<typeof open>[2], room = Infinity) =>
        Effect.gen(function*() {
          const transport = new FakeTransport()
          transport.room = room
          yield* open(hub, transport, options)
          for (let turn = 0; turn < 10; turn++) {
            transport.drain(room)
            yield* settle
          }
          const [welcome] = transport.frames
          assert.strictEqual(
            welcome?.type === "welcome" ? welcome.snapshots : undefined,
            welcome?.type === "welcome" && welcome.recovered ? transport.frames.filter(isSnapshot).length : 0
          )
          return transport
        })
      const runsOf = (transport: FakeTransport) => transport.frames.filter(isSnapshot).map(({ run }) => run)

      assert.deepStrictEqual<unknown>(runsOf(yield* opened({ snapshots: 0 })), ["r3"])
      assert.deepStrictEqual<unknown>(runsOf(yield* opened({ snapshots: 1 })), ["r2", "r3"])
      assert.deepStrictEqual<unknown>(runsOf(yield* opened({ snapshots: 1, threads: [] })), ["r2", "r3"])
      for (const room of [Infinity, 1]) {
        const resumed = yield* opened({ snapshots: 9, resume: { epoch, offset: 5 } }, room)
        assert.deepStrictEqual(types(resumed).slice(0, 5), ["welcome", "snapshot", "snapshot", "snapshot", "events"])
        assert.deepStrictEqual(offsets(resumed), [6, 7, 8])
      }
      const upToDate = yield* opened({ snapshots: 9, resume: { epoch, offset: 8 } })
      assert.deepStrictEqual(types(upToDate), ["welcome", "snapshot", "snapshot", "snapshot"])
      broker.append()
      yield* settle
      assert.deepStrictEqual(offsets(upToDate), [9])
      assert.deepStrictEqual(types(yield* opened({ resume: { epoch, offset: 9 } })), ["welcome"])
    }))

  it.effect("are those it asked for together with those of a gap, each once, after the gap", () =>
    Effect.gen(function*() {
      const broker = new FakeBroker({ maxEvents: 2, delay: now })
      for (let n = 1; n <= 4; n++) broker.append({ run: `r${n}`, type: "agent_started", data: { agentName: "a" } })
      broker.append({ run: "r1", type: "agent_completed", data: { agentName: "a" } })
      broker.append({ run: "r2", type: "agent_completed", data: { agentName: "a" } })
      broker.append()
      broker.append()
      const { epoch } = broker.log
      const transport = new FakeTransport()
      yield* open(yield* makeHub(broker), transport, { snapshots: 9, resume: { epoch, offset: 5 } })
      yield* settle
      assert.deepStrictEqual(types(transport), [
        "welcome",
        "gap",
        "snapshot",
        "snapshot",
        "snapshot",
        "snapshot",
        "events"
      ])
      const [welcome, gap] = transport.frames
      assert.deepStrictEqual(
        [welcome?.type === "welcome" && welcome.snapshots, gap?.type === "gap" && gap.snapshots],
        [0, 4]
      )
      const runs = transport.frames.filter(isSnapshot).map(({ run }) => run)
      assert.deepStrictEqual<unknown>(runs.toSorted(), ["r1", "r2", "r3", "r4"])
      assert.deepStrictEqual(offsets(transport), [7, 8])
    }))

  it.effect("fault 16: after a gap as well, and what is past the gap comes after them", () =>
    Effect.gen(function*() {
      const broker = withRuns(3, 2_000)
      const transport = new FakeTransport()
      transport.room = 1
      yield* open(yield* makeHub(broker), transport, { resume: { epoch: "earlier", offset: 7 } })
      assert.deepStrictEqual(types(transport), ["welcome", "gap", "snapshot"])
      for (let turn = 0; turn < 20; turn++) {
        transport.drain(1)
        yield* settle
      }
      assert.deepStrictEqual(types(transport).slice(0, 6), [
        "welcome",
        "gap",
        "snapshot",
        "snapshot",
        "snapshot",
        "events"
      ])
      assert.deepStrictEqual(offsets(transport), [1, 2, 3, 4, 5, 6])
    }))

  it.effect("fault 16: are counted anew where the log loses its memory before all are written", () =>
    Effect.gen(function*() {
      const broker = withRuns(4, 2_000)
      const transport = new FakeTransport()
      transport.room = 2
      yield* open(yield* makeHub(broker), transport)
      broker.forget()
      broker.append({ run: "r9", type: "agent_started", data: { agentName: "a" } })
      transport.drain(Infinity)
      yield* settle
      const [, gap, ...rest] = transport.frames.filter((frame) => !isSnapshot(frame) || frame.run === "r9")
      assert.deepStrictEqual(gap, {
        type: "gap",
        epoch: broker.log.epoch,
        from: 1,
        to: 0,
        reason: "epoch",
        snapshots: 1
      })
      assert.deepStrictEqual(rest.map(({ type }) => type), ["snapshot", "events"])
    }))

  it.effect("fault 16: tell of a run that ended and was forgotten meanwhile that it is lost, unless its ending follows", () =>
    Effect.gen(function*() {
      const broker = withRuns(2, 2_000)
      const transport = new FakeTransport()
      transport.room = 1
      yield* open(yield* makeHub(broker), transport)
      broker.append({ run: "r2", type: "agent_completed", data: { agentName: "a" } })
      // Of eight runs the log keeps, the one that ended is the first to go.
      for (let n = 3; n <= 9; n++) broker.append({ run: `r${n}`, type: "agent_started", data: { agentName: "a" } })
      transport.drain(Infinity)
      yield* settle
      const snapshot = transport.frames.filter(isSnapshot)[1]
      assert.deepStrictEqual<unknown>(snapshot, {
        type: "snapshot",
        run: "r2",
        offset: 4,
        state: { status: "lost", parts: [], usage: { inputTokens: 0, outputTokens: 0 } }
      })
      const fold = RunFold.from(snapshot?.state ?? assert.fail("no snapshot"))
      for (const frame of transport.frames) {
        if (frame.type !== "events") continue
        for (const event of frame.events) if (event.run === "r2") fold.apply(event.type, event.data, event.at)
      }
      assert.strictEqual(fold.snapshot().status, "completed")
    }))

  it.effect("fault 16: wait while the log cannot be read, and then go on", () =>
    Effect.gen(function*() {
      const broker = withRuns(3, 2_000)
      const transport = new FakeTransport()
      transport.room = 1
      const hub = yield* makeHub(broker)
      yield* open(hub, transport)
      broker.fail = Effect.fail(
        new Broker.BrokerError({
          reason: new Broker.BrokerUnavailable({ operation: "snapshot", afterMs: 0, cause: new Error("a test") })
        })
      )
      transport.drain(Infinity)
      yield* settle
      assert.deepStrictEqual(types(transport), ["welcome", "snapshot", "status"])
      broker.fail = undefined
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(types(transport), ["welcome", "snapshot", "status", "status", "snapshot", "snapshot"])
    }))

  it.effect("fault 16: cost no memory: 32 runs with full texts, and 20 devices that do not read", () =>
    Effect.gen(function*() {
      const layer = Broker.layerMemory()
      const measured = yield* Effect.gen(function*() {
        const broker = yield* Broker.Broker
        const fake = withRuns(0, 0)
        const text = "x".repeat(maxText)
        let sequence = 0
        for (let n = 0; n < 32; n++) {
          const say = (type: string, data: Record<string, string>) =>
            broker.append(ada, [{ ...fake.envelope({ run: `r${n}`, type, data }), sequence: ++sequence, source: "s" }])
          yield* say("agent_started", { agentName: "a" })
          for (const messageId of ["a", "b", "c", "d"]) yield* say("text_delta", { messageId, delta: text })
        }
        const { snapshots } = yield* broker.snapshots(ada)
        assert.strictEqual(snapshots.length, 32)
        const held = snapshots[31]?.state.parts.reduce((sum, part) => sum + textOf(part).length, 0)
        assert.strictEqual(held, maxTotalText)
        const one = JSON.stringify(snapshots[0]).length

        const hub = yield* makeHub(fake, { maxFrameBytes: 64 * 1024 }, broker)
        const before = yield* Effect.promise(settledMemory)
        const stuck = Array.from({ length: 20 }, () => new StuckTransport())
        for (const transport of stuck) yield* open(hub, transport)
        for (const run of [RunId.make("r1"), RunId.make("r31")]) yield* broker.snapshot(ada, run)
        const grown = (yield* Effect.promise(settledMemory)) - before
        for (const transport of stuck) assert.isAtMost(transport.backlog(), one + 64 * 1024)
        return { grown, most: 20 * (one + 64 * 1024) }
      }).pipe(Effect.provide(layer))
      // A string may take two bytes a character.
      assert.isBelow(measured.grown, 2 * measured.most)
    }))
})

/** Takes what it is given, as a socket does whose device never reads. */
class StuckTransport implements Transport {
  private readonly messages: Array<Buffer> = []

  write(messages: ReadonlyArray<Message>): boolean {
    for (const message of messages) this.messages.push(Buffer.from(message))
    return false
  }

  whenWritable(): void {}

  backlog(): number {
    return this.messages.reduce((sum, message) => sum + message.length, 0)
  }

  close(_: CloseReason): void {}

  destroy(): void {}
}
