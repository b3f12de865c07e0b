/** What was published lately serves readers that keep up, and nobody else. */
import { assert, describe, it } from "@effect/vitest"
import { toPublished } from "../../../src/broker/redis/codec/Publication.ts"
import { LiveTails } from "../../../src/broker/redis/subscriptions/LiveTail.ts"
import { envelope, idOf, plenty } from "../events.ts"
import { eventsOf } from "./redisBlocks.ts"

const published = (from: number, to: number, length = 0) => {
  const events = Array.from(
    { length: to - from + 1 },
    (_, at) => envelope({ sequence: from + at, data: { text: "x".repeat(length) } })
  )
  return toPublished(Buffer.from(eventsOf(events)), from, to)
}

const at = (offset: number, epoch = "one") => ({ epoch, offset })

const idsOf = (tails: LiveTails, offset: number, head: number, limits = plenty) =>
  tails.pull("ada", at(offset), head, limits)?.entries.map(idOf)

describe("what was published lately", () => {
  it("is given to whoever stands in it, from where they stand", () => {
    const tails = new LiveTails()
    tails.add("ada", "one", 4, 5, published(4, 5))
    tails.add("ada", "one", 6, 6, published(6, 6))
    assert.deepStrictEqual(idsOf(tails, 3, 6), ["s.4", "s.5", "s.6"])
    assert.deepStrictEqual(idsOf(tails, 4, 6), ["s.5", "s.6"])
    const slice = tails.pull("ada", at(4), 6, plenty)
    assert.deepStrictEqual({ ...slice, entries: [] }, {
      gap: undefined,
      snapshots: [],
      entries: [],
      next: at(6),
      head: 6
    })
    assert.deepStrictEqual(slice?.entries.map(({ offset }) => offset), [5, 6])
  })

  it("is cut to what was asked for, with one event in any case", () => {
    const tails = new LiveTails()
    tails.add("ada", "one", 1, 3, published(1, 3, 100))
    tails.add("ada", "one", 4, 6, published(4, 6, 100))
    const { bytes } = envelope({ sequence: 1, data: { text: "x".repeat(100) } })
    assert.deepStrictEqual(idsOf(tails, 1, 6, { maxEvents: 3, maxBytes: 10_000 }), ["s.2", "s.3", "s.4"])
    assert.deepStrictEqual(idsOf(tails, 2, 6, { maxEvents: 100, maxBytes: 2 * bytes }), ["s.3", "s.4"])
    assert.deepStrictEqual(idsOf(tails, 2, 6, { maxEvents: 100, maxBytes: 1 }), ["s.3"])
    assert.deepStrictEqual(tails.pull("ada", at(2), 6, { maxEvents: 100, maxBytes: 1 })?.next, at(3))
  })

  it("serves nobody who stands before it, at its end or after it, or in another epoch", () => {
    const tails = new LiveTails()
    tails.add("ada", "one", 4, 6, published(4, 6))
    assert.isUndefined(idsOf(tails, 2, 6))
    assert.isUndefined(idsOf(tails, 6, 6))
    assert.isUndefined(idsOf(tails, 7, 6))
    assert.isUndefined(tails.pull("ada", at(4, "another"), 6, plenty))
    assert.isUndefined(tails.pull("bob", at(4), 6, plenty))
  })

  it("serves nobody while newer events are known of that it does not hold", () => {
    const tails = new LiveTails()
    tails.add("ada", "one", 4, 6, published(4, 6))
    assert.isUndefined(idsOf(tails, 4, 7))
  })

  it("begins anew behind a hole, a new epoch, and a publication that brought no events", () => {
    const tails = new LiveTails()
    tails.add("ada", "one", 1, 2, published(1, 2))
    tails.add("ada", "one", 4, 4, published(4, 4))
    assert.isUndefined(idsOf(tails, 1, 4))
    assert.deepStrictEqual(idsOf(tails, 3, 4), ["s.4"])
    tails.add("ada", "two", 5, 5, published(5, 5))
    assert.isUndefined(idsOf(tails, 4, 5))
    tails.add("ada", "one", 6, 6, published(6, 6))
    tails.add("ada", "one", 7, 9, undefined)
    assert.isUndefined(idsOf(tails, 5, 9))
    tails.add("ada", "one", 10, 10, published(10, 10))
    assert.isUndefined(idsOf(tails, 8, 10))
    assert.deepStrictEqual(idsOf(tails, 9, 10), ["s.10"])
  })

  it("is bounded for each user: the oldest goes first", () => {
    const tails = new LiveTails()
    for (let n = 1; n <= 20; n++) tails.add("ada", "one", n, n, published(n, n, 30_000))
    assert.isUndefined(idsOf(tails, 0, 20))
    assert.isUndefined(idsOf(tails, 11, 20))
    assert.deepStrictEqual(idsOf(tails, 12, 20)?.length, 8)
    tails.add("ada", "one", 21, 21, published(21, 21, 300_000))
    assert.isUndefined(idsOf(tails, 20, 21))
  })

  it("holds no more bytes of a user than the bound, however small what is published, and counts none twice", () => {
    const tails = new LiveTails()
    for (let n = 1; n <= 5_000; n++) {
      const events = Buffer.from(eventsOf([envelope({ sequence: n, data: { text: "x".repeat(n % 400) } })]))
      tails.add("ada", "one", n, n, toPublished(events, n, n, tails.pageOf("ada")))
    }
    const first = Array.from({ length: 5_000 }, (_, n) => n).find((n) => idsOf(tails, n, 5_000) !== undefined) ?? 5_000
    const { entries } = tails.pull("ada", at(first), 5_000, plenty) ?? assert.fail("nothing is kept")
    const pages = new Set(entries.map(({ written }) => written?.page))
    const held = Array.from(pages).reduce((sum, page) => sum + (page?.buffer.byteLength ?? 0), 0)
    assert.isAtMost(held + 160 * entries.length, 256 * 1024)
    assert.isAbove(held + 160 * entries.length, 200 * 1024)
  })

  it("is bounded for all users together: those go first that began first", () => {
    const tails = new LiveTails()
    const quarter = published(1, 1, 250_000)
    for (let n = 0; n < 300; n++) tails.add(`user${n}`, "one", 1, 1, quarter)
    const held = Array.from({ length: 300 }, (_, n) => tails.pull(`user${n}`, at(0), 1, plenty) !== undefined)
    const first = held.indexOf(true)
    assert.deepStrictEqual(held, Array.from({ length: 300 }, (_, n) => n >= first))
    const kept = (300 - first) * quarter.page.bytes.length
    assert.isAtMost(kept, 64 * 1024 * 1024)
    assert.isAbove(kept, 63 * 1024 * 1024)
  })

  it("is forgotten of a user from whom nothing came between two looks", () => {
    const tails = new LiveTails()
    tails.add("ada", "one", 1, 1, published(1, 1))
    tails.sweep()
    assert.deepStrictEqual(idsOf(tails, 0, 1), ["s.1"])
    tails.add("ada", "one", 2, 2, published(2, 2))
    tails.sweep()
    assert.deepStrictEqual(idsOf(tails, 0, 2), ["s.1", "s.2"])
    tails.sweep()
    assert.isUndefined(idsOf(tails, 0, 2))
  })
})
