/** Server-sent events say the same whether a broker holds the texts of its events as strings or as bytes, and copy bytes. */
import { assert, describe, it } from "@effect/vitest"
import type { Broker } from "effect-emitter"
import type { Envelope } from "effect-emitter/protocol"
import { MemoryLog } from "../../../src/broker/memory/MemoryLog.ts"
import { toPublished } from "../../../src/broker/redis/codec/Publication.ts"
import { encoder } from "../../../src/gateway/sse/SseEncoder.ts"
import { entryOf, envelope, plenty } from "../../broker/events.ts"
import { eventsOf } from "../../broker/redis/redisBlocks.ts"
import { seeded } from "../../support/random.ts"

const texts = ["", "plain", "Größe", "日本語", "👩‍🚀", "\u2028\u2029", "\ud801", "\u0000\r\n\"\\", "x".repeat(3_000)]

const drawEvents = (seed: number): ReadonlyArray<Envelope.Envelope> => {
  const draw = seeded(seed)
  return Array.from({ length: 1 + draw.below(12) }, (_, n) =>
    envelope({
      sequence: n + 1,
      type: draw.pick(["custom", "text_delta", "größe", "日本"]),
      data: { text: draw.pick(texts), more: draw.pick(texts) }
    }))
}

/** The entries as each kind of broker gives them: the last two hold their texts as bytes. */
const brokers: Record<string, (events: ReadonlyArray<Envelope.Envelope>) => ReadonlyArray<Broker.Entry>> = {
  strings: (events) => events.map((event, n) => entryOf(n + 1, event)),
  memory: (events) => {
    const log = new MemoryLog("e", { maxEvents: 100, maxBytes: Infinity, maxAgeMs: Infinity, maxRuns: 8 })
    for (const event of events) log.append([event])
    return log.pull({ epoch: "e", offset: 0 }, plenty).entries
  },
  redis: (events) => toPublished(Buffer.from(eventsOf(events)), 1, events.length).entries
}

/** The form of the protocol, from strings alone. */
const wanted = (entries: ReadonlyArray<Broker.Entry>, upTo: number | undefined): string => {
  const events = entries.map(({ body, offset, type }) =>
    `id: e:${offset}\nevent: ${type}\ndata: {"offset":${offset},${body}\n\n`
  )
  const isTold = upTo === undefined || entries.at(-1)?.offset === upTo
  return events.join("") + (isTold ? "" : `id: e:${upTo}\n\n`)
}

/** The same entry, whose text may be had as bytes alone. */
const undecodable = (entry: Broker.Entry): Broker.Entry => ({
  offset: entry.offset,
  type: entry.type,
  delivery: entry.delivery,
  at: entry.at,
  run: entry.run,
  thread: entry.thread,
  confirm: entry.confirm,
  bytes: entry.bytes,
  written: entry.written,
  get body(): string {
    return assert.fail("its text was decoded")
  }
})

describe("Server-sent events", () => {
  for (const [name, entriesOf] of Object.entries(brokers)) {
    it(`are the same bytes from entries of ${name}, from whichever on and with whichever left out`, () => {
      for (let seed = 1; seed <= 100; seed++) {
        const events = drawEvents(seed)
        const draw = seeded(seed)
        const entries = entriesOf(events).filter(() => draw.chance(0.8))
        const strings = brokers["strings"]?.(events).filter(({ offset }) =>
          entries.some((one) => one.offset === offset)
        )
        for (const upTo of [undefined, events.length, events.length + 5]) {
          assert.strictEqual(
            encoder.events("e", entries, upTo).toString(),
            wanted(strings ?? [], upTo),
            `seed ${seed}`
          )
        }
      }
    })
  }

  for (const name of ["memory", "redis"]) {
    it(`decode no text that ${name} holds as bytes`, () => {
      const entries = brokers[name]?.(drawEvents(5)) ?? []
      assert.isNotEmpty(entries)
      const copied = encoder.events("e", entries.map(undecodable), undefined)
      assert.deepStrictEqual(copied, encoder.events("e", entries, undefined))
    })
  }

  it("have room for the longest names and the highest offsets", () => {
    const far = Number.MAX_SAFE_INTEGER - 1
    const entries = brokers["strings"]?.([envelope({ sequence: 1, type: "日".repeat(64), data: {} })]) ?? []
    const high = entries.map((entry) => ({ ...entry, offset: far }))
    assert.strictEqual(encoder.events("e", high, far + 1).toString(), wanted(high, far + 1))
  })
})
