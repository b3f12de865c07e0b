/** The events of a publication are read from its bytes as they were written, and keep nothing else alive. */
import { assert, describe, it } from "@effect/vitest"
import type { Broker } from "effect-emitter"
import { frames } from "../../../src/hub/connection/FrameEncoder.ts"
import { type Page, toPublished } from "../../../src/broker/redis/codec/Publication.ts"
import { seeded } from "../../support/random.ts"
import { entryOf, envelope, plain } from "../events.ts"
import { eventsOf } from "./redisBlocks.ts"

const texts = ["", "a", "é", "ж", "👩‍🔬", "a\u2028b\u2029c\u0085d", "\ud801", "line\nbreak", "日本語", "x".repeat(1_000)]

const drawEvents = (seed: number) => {
  const draw = seeded(seed)
  return Array.from({ length: 1 + draw.below(12) }, (_, n) =>
    envelope({
      sequence: n + 1,
      source: draw.pick(["s", "another"]),
      type: draw.pick(["custom", "text_delta", "größe"]),
      delivery: draw.pick(["critical", "batched", "volatile"]),
      at: draw.below(2 ** 41),
      run: draw.chance(0.3) ? undefined : draw.pick(["r", "Lauf-ü"]),
      thread: draw.chance(0.3) ? undefined : draw.pick(["t", "日本"]),
      confirm: draw.chance(0.3),
      data: { text: draw.pick(texts), more: draw.pick(texts) }
    }))
}

/** The text as a part of something larger, as it comes from a socket. */
const within = (text: string): Buffer => {
  const bytes = Buffer.from(text)
  const chunk = Buffer.alloc(bytes.length + 65_536, "\n")
  bytes.copy(chunk, 32_768)
  return chunk.subarray(32_768, 32_768 + bytes.length)
}

describe("the events of a publication", () => {
  it("are read as they were written, whatever characters they are of and however long", () => {
    for (let seed = 1; seed <= 100; seed++) {
      const events = drawEvents(seed)
      const first = seed % 3 === 0 ? 9_007_199_254_740_000 : seed
      const { entries } = toPublished(within(eventsOf(events)), first, first + events.length - 1)
      const wanted = events.map((event, n) => entryOf(first + n, event))
      assert.deepStrictEqual(entries.map(plain), wanted, `seed ${seed}`)
      // A device gets the same frame as if each text were encoded for it, from whichever event on.
      const from = seed % events.length
      assert.deepStrictEqual(
        frames.events("e", entries.slice(from), undefined).toString(),
        frames.events("e", wanted.slice(from), undefined).toString(),
        `seed ${seed}`
      )
    }
  })

  it("are read where there is one, as long as it may be", () => {
    const event = envelope({ sequence: 1, data: { text: "\u2028ж👩‍🔬".repeat(100_000) } })
    const { entries } = toPublished(within(eventsOf([event])), 1, 1)
    assert.deepStrictEqual(entries.map(plain), [entryOf(1, event)])
  })

  it("stand one behind the other, so that a frame copies them together", () => {
    const events = drawEvents(7)
    const written = toPublished(within(eventsOf(events)), 1, events.length).entries.map((entry) => entry.written)
    for (const [n, one] of written.entries()) {
      assert.strictEqual(one?.page, written[0]?.page)
      assert.strictEqual(one?.start, n === 0 ? 0 : written[n - 1]?.end)
      assert.strictEqual(one?.page[one.end - 1], ",".charCodeAt(0))
    }
  })

  it("keep nothing alive of what they came in", () => {
    const events = drawEvents(3)
    const text = within(eventsOf(events))
    const { entries, page } = toPublished(text, 1, events.length)
    for (const { written } of entries) assert.strictEqual(written?.page, page.bytes)
    assert.notStrictEqual(page.bytes.buffer, text.buffer)
    assert.strictEqual(page.bytes.buffer.byteLength, page.bytes.length)
    const before = entries.map(plain)
    text.fill(0)
    assert.deepStrictEqual(entries.map(plain), before)
  })

  it("share pages, which double in size up to 16 KiB, and stay as they were when more is written", () => {
    const sizes: Array<number> = []
    const all: Array<Broker.Entry> = []
    const wanted: Array<Broker.Entry> = []
    let page: Page | undefined
    for (let n = 1; n <= 300; n++) {
      const event = envelope({ sequence: n, data: { text: `${n} é`.repeat(1 + n % 50) } })
      const published = toPublished(within(eventsOf([event])), n, n, page)
      if (published.page !== page) sizes.push(published.page.bytes.length)
      page = published.page
      all.push(...published.entries)
      wanted.push(entryOf(n, event))
    }
    assert.deepStrictEqual(sizes.slice(0, 7), [1_024, 2_048, 4_096, 8_192, 16_384, 16_384, 16_384])
    assert.deepStrictEqual(all.map(plain), wanted)
    assert.strictEqual(frames.events("e", all, undefined).toString(), frames.events("e", wanted, undefined).toString())
    // What cannot be read takes no room.
    const used = page?.used
    assert.throws(() => toPublished(within("not an\nevent"), 1, 1, page))
    assert.strictEqual(page?.used, used)
  })

  it("are refused where they are none, cut off, or more or fewer than was said", () => {
    const events = drawEvents(11)
    const text = eventsOf(events)
    const last = events.length
    assert.lengthOf(toPublished(within(text), 1, last).entries, last)
    const wrong: ReadonlyArray<readonly [string, number]> = [
      ["", 1],
      ["not an event", 1],
      ["not an\nevent", 1],
      ["1 2 [\"custom\",\"critical\",null,null,false]\n{}x", 1],
      [text.slice(0, -1), last],
      [`${text}x`, last],
      [text, last - 1],
      [text, last + 1]
    ]
    for (const [bytes, to] of wrong) assert.throws(() => toPublished(within(bytes), 1, to))
  })
})
