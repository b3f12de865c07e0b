/**
 * What the memory broker says that it holds is what the engine holds for it, and is within its bound.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Metric } from "effect"
import { Broker } from "effect-emitter"
import type { Envelope } from "effect-emitter/protocol"
import { MemoryLog } from "../../../src/broker/memory/MemoryLog.ts"
import { settledMemory } from "../../support/memory.ts"
import { envelope, newUser, plenty, start, type Wanted } from "../events.ts"

const used = Effect.promise(settledMemory)

/** An event as an emitter writes it: its body is a text that was put together. */
const written = (wanted: Wanted): Envelope.Envelope => {
  const event = envelope(wanted)
  const json = JSON.stringify(event.data)
  const head = event.body.slice(0, event.body.length - json.length - 1)
  return { ...event, body: `${`${head.slice(0, 20)}${head.slice(20)}`}${json}}` }
}

type Fill = (broker: Broker.Broker["Service"], n: number) => Effect.Effect<void, Broker.BrokerError>

const said = Effect.map(
  Metric.snapshot,
  (metrics) => {
    const gauge = metrics.find(({ id }) => id === "emitter_memory_bytes")
    return gauge?.type === "Gauge" ? Number(gauge.state.value) : assert.fail("no such gauge")
  }
)

/** What the heap grew by, and what the broker says it holds, after so many users did the same. */
const measure = (options: Parameters<typeof Broker.layerMemory>[0], users: number, fill: Fill) =>
  Effect.gen(function*() {
    const broker = yield* Broker.Broker
    // What is made once, and code, is there from the first time on.
    for (let n = 0; n < 3; n++) yield* fill(broker, -1 - n)
    const before = yield* used
    const saidBefore = yield* said
    for (let n = 0; n < users; n++) yield* fill(broker, n)
    const grown = (yield* used) - before
    return { grown, said: (yield* said) - saidBefore, total: yield* said }
  }).pipe(Effect.scoped, Effect.provide(Broker.layerMemory(options)))

const reading = (broker: Broker.Broker["Service"], user: ReturnType<typeof newUser>) =>
  Effect.sync(() => broker.subscribeUnscoped?.add(user, { wake: () => {} }))

const shapes: Record<string, readonly [users: number, fill: Fill]> = {
  "a reader each, and no event": [5_000, (broker) => reading(broker, newUser())],
  "one small event each": [
    5_000,
    (broker) => Effect.asVoid(broker.append(newUser(), [written({ sequence: 1, data: { text: "x".repeat(100) } })]))
  ],
  "events that nobody has read": [20, (broker, n) =>
    Effect.gen(function*() {
      const user = newUser()
      for (let i = 1; i <= 1_000; i++) {
        yield* broker.append(user, [
          written({ sequence: i, source: `s${n}`, data: { text: `${i} ${"ж".repeat(i % 200)}` } })
        ])
      }
    })],
  "events that were read": [40, (broker, n) =>
    Effect.gen(function*() {
      const user = newUser()
      const from = yield* start(broker, user)
      for (let i = 1; i <= 1_000; i++) {
        yield* broker.append(user, [
          written({ sequence: i, source: `s${n}`, data: { text: `${i} ${"x".repeat(i % 200)}` } })
        ])
      }
      yield* broker.pull(user, from, plenty)
    })],
  "many runs and threads of long names": [10, (broker, n) =>
    Effect.gen(function*() {
      const user = newUser()
      const from = yield* start(broker, user)
      for (let i = 1; i <= 1_000; i++) {
        const names: { readonly run: string; readonly thread: string } = JSON.parse(
          JSON.stringify({ run: `run-${n}-${i}-${"r".repeat(100)}`, thread: `thread-${n}-${i}-${"t".repeat(100)}` })
        )
        yield* broker.append(user, [written({ sequence: i, source: `s${n}`, ...names, data: { text: "x" } })])
      }
      yield* broker.pull(user, from, plenty)
    })],
  "many sources": [10, (broker, n) =>
    Effect.gen(function*() {
      const user = newUser()
      for (let i = 1; i <= 1_000; i++) yield* broker.append(user, [written({ sequence: 1, source: `s${n}-${i}` })])
    })],
  "runs with texts, tools and results": [10, (broker, n) =>
    Effect.gen(function*() {
      const user = newUser()
      let sequence = 0
      const put = (run: string, type: string, data: Wanted["data"]) =>
        broker.append(user, [written({ sequence: ++sequence, source: `s${n}`, run, type, data: data ?? {} })])
      for (let r = 0; r < 16; r++) {
        const run = `r${r}`
        yield* put(run, "agent_started", { agentName: "a" })
        for (let i = 0; i < 60; i++) yield* put(run, "text_delta", { messageId: "m", delta: `of the answer ${i} ${r}` })
        for (let i = 0; i < 10; i++) {
          yield* put(run, "tool_completed", {
            toolCallId: `c${i}`,
            toolName: "search",
            output: "",
            isError: false,
            durationMs: 1
          })
        }
        yield* put(run, "agent_completed", { agentName: "a", durationMs: 1, result: `${r}${"y".repeat(10_000)}` })
      }
    })]
}

describe("the memory broker's account of bytes", { tags: ["storm"] }, () => {
  for (const [name, [users, fill]] of Object.entries(shapes)) {
    it.live(`fault 15: is what the heap holds, for ${name}`, () =>
      Effect.gen(function*() {
        const { grown, said } = yield* measure({}, users, fill)
        assert.isAbove(grown, 1_000_000)
        assert.closeTo(said / grown, 1, 0.25, `said ${said}, grown ${grown}`)
      }))
  }

  it.live("fault 15: is of numbers and pages for what was read, without an object for each event", () =>
    Effect.gen(function*() {
      const events = 1_024
      const limits = { maxEvents: events, maxBytes: Infinity, maxAgeMs: Infinity, maxRuns: 1 }
      const make = (name: string) => {
        const log = new MemoryLog(name, limits)
        for (let sequence = 1; sequence <= events; sequence++) {
          log.append([written({ sequence, source: name, data: { text: "x".repeat(sequence % 200) } })], sequence)
        }
        log.pull({ epoch: name, offset: 0 }, plenty)
        return log
      }
      for (let n = 0; n < 3; n++) make(`warm-up-${n}`)
      const before = yield* used
      const logs = Array.from({ length: 50 }, (_, n) => make(`log-${n}`))
      const grown = (yield* used) - before
      const pages = new Set(
        logs.flatMap((log) =>
          log.pull({ epoch: log.epoch, offset: 0 }, plenty).entries.flatMap(({ written: text }) =>
            text === undefined ? [] : [text.page]
          )
        )
      )
      const inPages = [...pages].reduce((sum, page) => sum + page.length, 0)
      const each = (grown - inPages) / (events * logs.length)
      // Nine words: an object with as many fields takes twice as much.
      assert.isAbove(each, 60)
      assert.isBelow(each, 120)
    }))

  for (const isEnded of [true, false]) {
    it.live(
      `fault 15: holds the bound with answers of 256k characters of ${isEnded ? "ended" : "active"} runs`,
      () =>
        Effect.gen(function*() {
          const bound = 16 * 1024 * 1024
          const { grown, total } = yield* measure({ maxTotalBytes: bound }, 12, (broker, n) =>
            Effect.gen(function*() {
              const user = newUser()
              yield* reading(broker, user)
              let sequence = 0
              for (let r = 0; r < 16; r++) {
                const run = `r${r}`
                for (let m = 0; m < 4; m++) {
                  const delta = `${n}${r}${"x".repeat(65_000)}`
                  yield* broker.append(user, [
                    written({ sequence: ++sequence, run, type: "text_delta", data: { messageId: `m${m}`, delta } })
                  ])
                }
                if (!isEnded) continue
                const data = { agentName: "a", durationMs: 1 }
                yield* broker.append(user, [written({ sequence: ++sequence, run, type: "agent_completed", data })])
              }
              if (isEnded) return
              const { snapshots } = yield* broker.snapshots(user)
              assert.strictEqual(snapshots.length, 16)
            }))
          assert.isAtMost(total, bound)
          assert.isAbove(total, bound / 8)
          assert.isBelow(grown, 1.25 * bound)
        }),
      120_000
    )
  }
})
