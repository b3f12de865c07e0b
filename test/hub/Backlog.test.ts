import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { CloseCode } from "effect-emitter/events"
import { TestClock } from "effect/testing"
import { Backlog, type Holder } from "../../src/hub/capacity/Backlog.ts"
import type { CloseReason, Message, Transport } from "../../src/hub/Transport.ts"
import { settledMemory } from "../support/memory.ts"
import { FakeBroker, FakeTransport } from "./fakes.ts"
import { seeded } from "../support/random.ts"
import { makeHub, now, open } from "./hub.ts"

const kibi = 1024

describe("The bytes that wait for the network", () => {
  const holder = (backlog: () => Backlog) => {
    const held: Holder & { state: "open" | "closing" | "gone" } = {
      state: "open",
      closeAsSlow: () => {
        assert.strictEqual(held.state, "open")
        held.state = "closing"
        backlog().end(held)
      },
      cut: () => {
        assert.strictEqual(held.state, "closing")
        held.state = "gone"
      }
    }
    return held
  }

  it("P5: never are more than a node may hold, whatever devices read, close and leave", () => {
    for (let seed = 1; seed <= 50; seed++) {
      const dice = seeded(seed).next
      const backlog: Backlog = new Backlog({ perConnection: 100, perNode: 1_000 })
      const holders: Array<ReturnType<typeof holder>> = []
      const bytes = new Map<Holder, number>()
      for (let step = 0; step < 200; step++) {
        const choice = dice()
        const one = holders[Math.floor(dice() * holders.length)]
        if (choice < 0.2 || one === undefined) holders.push(holder(() => backlog))
        else if (choice < 0.8 && one.state === "open") {
          const count = Math.floor(dice() * 120)
          bytes.set(one, count)
          backlog.set(one, count)
        } else if (choice < 0.85 && one.state === "open") {
          one.state = "closing"
          backlog.end(one)
        } else if (choice < 0.9) {
          one.state = "gone"
          backlog.free(one)
        }
        const of = (state: string) =>
          holders.reduce((sum, held) => held.state === state ? sum + (bytes.get(held) ?? 0) : sum, 0)
        assert.strictEqual(backlog.total, of("open") + of("closing"), `seed ${seed}`)
        assert.isAtMost(of("open"), 750)
        assert.isAtMost(backlog.total, 1_000)
        const large = holders.filter((held) => held.state === "open" && (bytes.get(held) ?? 0) > 100)
        assert.deepStrictEqual(large, [])
      }
    }
  })

  it.effect("P5: close with 4502 those for whom most waits, and let go of all when their sockets are gone", () =>
    Effect.gen(function*() {
      const broker = new FakeBroker({ maxEvents: 1000, delay: now })
      const hub = yield* makeHub(broker, { backlog: { perConnection: 4_000, perNode: 10_000 } })
      const stuck = Array.from({ length: 8 }, () => new FakeTransport())
      const connections = yield* Effect.forEach(stuck, (transport) => {
        transport.room = 2
        return open(hub, transport)
      })
      const large = new FakeTransport()
      large.room = 2
      const larger = yield* open(hub, large)
      for (let n = 0; n < 8; n++) broker.append({ data: { text: "x".repeat(50) } })
      for (let turn = 0; turn < 3; turn++) yield* Effect.yieldNow
      const codes = () => [...stuck, large].flatMap(({ closeReasons }) => closeReasons.map(({ code }) => code))
      const closed = codes().length
      assert.isAbove(closed, 0)
      assert.deepStrictEqual([...new Set(codes())], [CloseCode.closeCodes.tooSlow])
      const { backlog, overfull } = yield* hub.stats
      assert.deepStrictEqual([overfull, backlog <= 10_000, backlog > 5_000], [closed, true, true])
      for (const connection of [...connections, larger]) {
        yield* hub.release(connection)
        connection.gone()
      }
      assert.strictEqual((yield* hub.stats).backlog, 0)
    }))

  it.effect("P5: close one for which too much waits, and no other", () =>
    Effect.gen(function*() {
      const broker = new FakeBroker({ maxEvents: 1000, delay: now })
      const hub = yield* makeHub(broker, { backlog: { perConnection: 4_000, perNode: 1_000_000 } })
      const [stuck, reads] = [new FakeTransport(), new FakeTransport()]
      stuck.room = 2
      yield* open(hub, stuck)
      yield* open(hub, reads)
      broker.append({ data: { text: "x".repeat(4_000) } })
      reads.drain(Infinity)
      yield* TestClock.adjust("10 millis")
      assert.deepStrictEqual(stuck.closeReasons.map(({ code }) => code), [CloseCode.closeCodes.tooSlow])
      assert.strictEqual((yield* hub.stats).overfull, 1 + reads.closeReasons.length)
    }))

  it.effect(
    "P5: cost no more memory than they may, however many devices come and never read",
    () =>
      Effect.gen(function*() {
        const perNode = 4 * kibi * kibi
        const broker = new FakeBroker({ maxEvents: 16, delay: now })
        const hub = yield* makeHub(broker, {
          perUser: 2_000,
          perNode: 2_000,
          maxFrameBytes: 64 * kibi,
          backlog: { perConnection: 256 * kibi, perNode }
        })
        const text = "x".repeat(128 * kibi)
        // A log that is full is none of it.
        for (let n = 0; n < 40; n++) broker.append({ data: { text } })
        const before = yield* Effect.promise(settledMemory)
        const holding: Array<HoldingTransport> = []
        for (let n = 0; n < 400; n++) {
          const transport = new HoldingTransport()
          holding.push(transport)
          yield* open(hub, transport)
          broker.append({ data: { text } })
          yield* TestClock.adjust(1)
          assert.isAtMost((yield* hub.stats).backlog, perNode)
        }
        const held = holding.reduce((sum, transport) => sum + transport.backlog(), 0)
        assert.isAtMost(held, perNode)
        assert.isAbove(held, perNode / 2)
        // Without a limit it would be 50 MiB.
        assert.isBelow((yield* Effect.promise(settledMemory)) - before, perNode + 8 * kibi * kibi)
        assert.isAbove((yield* hub.stats).overfull, 100)
      }),
    { tags: ["storm"] }
  )
})

/** Holds what it is given, as a socket does whose device never reads, until it is destroyed. */
class HoldingTransport implements Transport {
  private messages: Array<Buffer> = []
  private isClosed = false

  write(messages: ReadonlyArray<Message>): boolean {
    if (this.isClosed) return true
    // Buffers that stand in a pool would be kept by each other.
    for (const message of messages) this.messages.push(Buffer.from(message.toString()))
    return this.backlog() < 16 * kibi
  }

  whenWritable(): void {}

  backlog(): number {
    return this.messages.reduce((sum, message) => sum + message.length, 0)
  }

  close(_: CloseReason): void {
    this.isClosed = true
  }

  destroy(): void {
    this.isClosed = true
    this.messages = []
  }
}
