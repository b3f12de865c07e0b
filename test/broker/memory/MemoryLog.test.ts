import { assert, describe, it } from "@effect/vitest"
import { Array, Effect } from "effect"
import type { Broker } from "effect-emitter"
import type { Envelope } from "effect-emitter/protocol"
import { maxSpentSources } from "../../../src/broker/memory/SequenceSet.ts"
import { type LogLimits, MemoryLog } from "../../../src/broker/memory/MemoryLog.ts"
import { RunId } from "../../../src/protocol/values/Identity.ts"
import { type Draw, forSeeds } from "../../support/random.ts"
import { entryOf, envelope, idOf, numbered, plain, plenty } from "../events.ts"
import { RunFold } from "../../../src/protocol/run/RunFold.ts"

const unbounded: LogLimits = {
  maxEvents: Number.POSITIVE_INFINITY,
  maxBytes: Number.POSITIVE_INFINITY,
  maxAgeMs: Number.POSITIVE_INFINITY,
  maxRuns: 32
}

const all = { epoch: "e", offset: 0 }

/** The bytes of all pages that the log's entries stand on, once all were asked for. */
const pageBytes = (log: MemoryLog) => {
  const pages = new Set(
    log.pull(all, plenty).entries.flatMap(({ written }) => written === undefined ? [] : [written.page])
  )
  return [...pages].reduce((sum, page) => sum + page.length, 0)
}

const ids = (log: MemoryLog) => log.pull(all, plenty).entries.map(idOf)

describe("MemoryLog", () => {
  it("is empty at first", () => {
    const log = new MemoryLog("e", unbounded)
    assert.deepStrictEqual([log.size, log.bytes, log.head], [0, 0, { epoch: "e", offset: 0 }])
    assert.deepStrictEqual(log.pull(all, plenty), { gap: undefined, snapshots: [], entries: [], next: all, head: 0 })
    log.dropOldest()
    log.expire(Number.MAX_SAFE_INTEGER)
    assert.strictEqual(log.size, 0)
  })

  it("keeps every entry in its place while its ring grows, from wherever the ring starts", () => {
    for (let dropped = 0; dropped <= 20; dropped++) {
      const log = new MemoryLog("e", unbounded)
      log.append(numbered(1, dropped + 1))
      for (let n = 0; n < dropped; n++) log.dropOldest()
      log.append(numbered(dropped + 2, dropped + 100))
      const { entries, gap } = log.pull(all, plenty)
      assert.strictEqual(gap?.to, dropped === 0 ? undefined : dropped)
      assert.deepStrictEqual(
        entries.map((entry) => [entry.offset, idOf(entry)]),
        Array.makeBy(100, (n) => [dropped + n + 1, `s.${dropped + n + 1}`])
      )
    }
  })

  it("keeps every entry in its place while a ring of blocks grows, from wherever it starts, and what it drops nowhere", () => {
    for (const dropped of [0, 1_023, 1_500]) {
      const log = new MemoryLog("e", unbounded)
      log.append(numbered(1, dropped + 1))
      for (let n = 0; n < dropped; n++) log.dropOldest()
      let first = dropped + 1
      let last = first
      // More comes than goes, so the ring grows again and again, each time with another first entry.
      while (log.size < 3_000) {
        log.append(numbered(last + 1, last + 700))
        last += 700
        for (let n = 0; n < 200; n++) log.dropOldest()
        first += 200
        const { entries, gap } = log.pull({ epoch: "e", offset: last - 400 }, { ...plenty, maxEvents: 50 })
        assert.isUndefined(gap)
        assert.deepStrictEqual(entries.map(idOf), Array.makeBy(50, (n) => `s.${last - 399 + n}`))
      }
      const { entries, gap } = log.pull(all, plenty)
      assert.strictEqual(gap?.to, first - 1)
      assert.deepStrictEqual(
        entries.map((entry) => [entry.offset, idOf(entry)]),
        Array.makeBy(last - first + 1, (n) => [first + n, `s.${first + n}`])
      )
      while (log.size > 0) log.dropOldest()
      const empty = log.held
      log.append(numbered(last + 1))
      log.dropOldest()
      assert.strictEqual(log.held, empty)
    }
  })

  it("gives back the places of what went, and keeps every entry in its place meanwhile", () =>
    Effect.runPromise(forSeeds({ count: 40 }, (draw) =>
      Effect.sync(() => {
        const log = new MemoryLog("e", unbounded)
        const empty = log.held
        let last = 0
        for (let step = 0; step < 25; step++) {
          const count = draw.pick([1, 5, 60, 900, 2_500])
          if (draw.chance(0.5)) {
            log.append(numbered(last + 1, last + count))
            last += count
          } else {
            for (let n = draw.chance(0.3) ? log.size : Math.min(log.size, count); n > 0; n--) log.dropOldest()
          }
          // An entry takes less than 600 bytes; few have sixteen places each at most, and many three blocks of 1,024 too many.
          const places = log.size <= 64 ? 16 * Math.max(4, log.size) : 2 * log.size + 3 * 1_024
          assert.isAtMost(log.held, empty + 1_024 + 600 * log.size + 72 * places, `${log.size} entries`)
        }
        const { entries } = log.pull(all, plenty)
        assert.lengthOf(entries, log.size)
        const first = last - log.size + 1
        for (const [n, entry] of entries.entries()) {
          assert.deepStrictEqual([entry.offset, idOf(entry)], [first + n, `s.${first + n}`])
        }
      }))))

  it("tells apart entries of many types, runs, threads and sources, whichever came before", () => {
    const log = new MemoryLog("e", unbounded)
    const wanted = Array.makeBy(300, (n) =>
      envelope({
        sequence: n + 1,
        source: `s${n % 3}`,
        type: `type-${n % 11}`,
        ...(n % 5 === 0 ? {} : { run: `run-${n % 7}` }),
        ...(n % 4 === 0 ? {} : { thread: `thread-${n % 2}` }),
        confirm: n % 13 === 0
      }))
    for (const one of wanted) log.append([one])
    const { entries } = log.pull(all, plenty)
    assert.deepStrictEqual(entries.map(plain), wanted.map((one, n) => entryOf(n + 1, one)))
  })

  it("keeps at most so many entries", () => {
    const log = new MemoryLog("e", { ...unbounded, maxEvents: 3 })
    log.append(numbered(1, 2))
    assert.strictEqual(log.size, 2)
    log.append(numbered(3, 5))
    assert.strictEqual(log.size, 3)
    assert.deepStrictEqual(ids(log), ["s.3", "s.4", "s.5"])
  })

  it("takes at most twice the memory of the texts it holds, and three pages, for what readers asked for", () =>
    Effect.runPromise(forSeeds({ count: 60 }, (draw) =>
      Effect.sync(() => {
        const log = new MemoryLog("e", { ...unbounded, maxBytes: 1_000_000 })
        let sequence = 0
        for (let step = 0; step < 200; step++) {
          const size = draw.pick([20, 300, 5_000, 33_000, 70_000])
          log.append([envelope({ sequence: ++sequence, data: { text: "x".repeat(draw.below(size)) } })])
          if (draw.chance(0.1)) { for (let n = draw.below(log.size + 1); n > 0; n--) log.dropOldest() }
          const offset = draw.chance(0.5) ? log.head.offset - log.size : log.head.offset - draw.below(log.size + 1)
          log.pull({ epoch: "e", offset }, { ...plenty, maxEvents: 1 + draw.below(20) })
          assert.isAtMost(pageBytes(log), 2 * log.bytes + 3 * 65_536)
        }
      }))))

  it("holds little for a reader of little, also when it held much before", () => {
    const log = new MemoryLog("e", unbounded)
    log.append([envelope({ sequence: 1 })])
    assert.isAtMost(pageBytes(log), 1_024)
    for (let n = 2; n <= 1_000; n++) log.append([envelope({ sequence: n, data: { text: "x".repeat(1_000) } })])
    assert.isAtLeast(pageBytes(log), 1_000_000)
    while (log.size > 0) log.dropOldest()
    log.append([envelope({ sequence: 1_001 })])
    assert.isAtMost(pageBytes(log), 1_024)
  })

  it("refuses what comes of a bounded number of lost runs: those that were lost last", () => {
    const log = new MemoryLog("e", { ...unbounded, maxRuns: 3 })
    const runs = ["r1", "r2", "r3", "r4"].map((run) => RunId.make(run))
    log.close(runs)
    const late = runs.map((run, index) => envelope({ sequence: index + 1, run, type: "agent_thinking" }))
    assert.deepStrictEqual(log.refusedOf(late), runs.slice(1))
  })

  it("knows a bounded number of sources whose events it has dropped: those it dropped last", () => {
    const log = new MemoryLog("e", { ...unbounded, maxEvents: 1 })
    for (const source of ["oldest", "older", "older"]) log.append([envelope({ source, sequence: 1 })])
    for (let n = 0; n < maxSpentSources; n++) log.append([envelope({ source: `s${n}`, sequence: 1 })])
    const before = log.head.offset
    log.append([envelope({ source: "older", sequence: 1 })])
    assert.strictEqual(log.head.offset, before)
    log.append([envelope({ source: "oldest", sequence: 1 })])
    assert.strictEqual(log.head.offset, before + 1)
  })

  it("fault 45: forgets of the sources without events the one whose last event is the oldest, also if it came first", () => {
    const log = new MemoryLog("e", { ...unbounded, maxEvents: 1 })
    const append = (source: string, sequence: number) => log.append([envelope({ source, sequence })])
    const takes = (source: string, sequence: number) => {
      const before = log.head.offset
      append(source, sequence)
      return log.head.offset > before
    }
    append("first", 1)
    append("second", 1)
    for (let n = 2; n < maxSpentSources; n++) append(`s${n}`, 1)
    // It comes back, so the second is now the oldest.
    append("first", 2)
    append("more", 1)
    append("most", 1)
    assert.deepStrictEqual([takes("first", 1), takes("s2", 1), takes("second", 1)], [false, false, true])
  })

  it("keeps at most so many bytes, and counts them", () => {
    const [small, large] = [envelope({ sequence: 1 }), envelope({ sequence: 2, data: { text: "x".repeat(500) } })]
    const log = new MemoryLog("e", { ...unbounded, maxBytes: small.bytes + large.bytes })
    log.append([small])
    assert.strictEqual(log.bytes, small.bytes)
    log.append([large])
    assert.strictEqual(log.bytes, small.bytes + large.bytes)
    log.append([envelope({ sequence: 3, data: { text: "y".repeat(500) } })])
    assert.deepStrictEqual([log.size, log.bytes], [1, large.bytes])
    assert.deepStrictEqual(ids(log), ["s.3"])
  })

  it("keeps nothing that is too old", () => {
    const log = new MemoryLog("e", { ...unbounded, maxAgeMs: 100 })
    for (let n = 1; n <= 5; n++) log.append(numbered(n, n, { at: n * 30 }), n * 30)
    assert.deepStrictEqual(ids(log), ["s.2", "s.3", "s.4", "s.5"])
    log.expire(190)
    assert.deepStrictEqual(ids(log), ["s.3", "s.4", "s.5"])
    log.expire(1000)
    assert.deepStrictEqual([log.size, log.bytes, log.head.offset], [0, 0, 5])
    assert.deepStrictEqual(log.pull(all, plenty).gap, { epoch: "e", from: 1, to: 5, reason: "retention" })
  })

  it.effect("holds against a plain array, whatever is done to it", () =>
    forSeeds({ count: 150 }, (draw) => Effect.sync(() => assertEqualHistories(draw))))
})

/** The same log as an array of everything, and the number of entries dropped from its front. */
class Model {
  readonly entries: Array<{ readonly envelope: Envelope.Envelope; readonly since: number }> = []
  readonly limits: LogLimits
  dropped = 0

  constructor(limits: LogLimits) {
    this.limits = limits
  }

  get kept() {
    return this.entries.slice(this.dropped)
  }

  get bytes() {
    return this.kept.reduce((sum, { envelope: { bytes } }) => sum + bytes, 0)
  }

  append(batch: ReadonlyArray<Envelope.Envelope>, now: number): void {
    for (const one of batch) {
      this.entries.push({ envelope: one, since: now })
      while (this.kept.length > this.limits.maxEvents) this.dropped++
    }
    this.expire(now)
  }

  expire(now: number): void {
    while (this.kept.length > 1 && this.bytes > this.limits.maxBytes) this.dropped++
    while ((this.kept[0]?.since ?? Infinity) < now - this.limits.maxAgeMs) this.dropped++
  }

  pull(after: Broker.Slice["next"], limits: Broker.PullLimits): Broker.Slice {
    const head = this.entries.length
    const gap: Broker.Gap | undefined = after.epoch !== "e" || after.offset > head
      ? { epoch: "e", from: 1, to: this.dropped, reason: "epoch" }
      : after.offset < this.dropped
      ? { epoch: "e", from: after.offset + 1, to: this.dropped, reason: "retention" }
      : undefined
    const entries: Array<Broker.Entry> = []
    let offset = gap?.to ?? after.offset
    let bytes = 0
    for (const { envelope: next } of this.entries.slice(offset)) {
      bytes += next.bytes
      if (entries.length === limits.maxEvents || (entries.length > 0 && bytes > limits.maxBytes)) break
      entries.push(entryOf(++offset, next))
    }
    return {
      gap,
      snapshots: gap === undefined ? [] : this.snapshots(gap.from),
      entries,
      next: { epoch: "e", offset },
      head
    }
  }

  snapshots(from: number): Broker.Slice["snapshots"] {
    const runs = [...new Set(this.entries.flatMap(({ envelope: { run } }) => run === undefined ? [] : [run]))]
    return runs.flatMap((run) => {
      const fold = new RunFold()
      let offset = 0
      this.entries.forEach(({ envelope: one }, n) => {
        if (one.run !== run) return
        offset = n + 1
        fold.apply(one.type, one.data, one.at)
      })
      return fold.ended && offset < from ? [] : [{ run, offset, state: fold.snapshot() }]
    })
  }
}

const assertEqualHistories = (draw: Draw) => {
  const limits: LogLimits = {
    maxEvents: draw.pick([1, 3, 8, 20, Infinity]),
    maxBytes: draw.pick([200, 1000, 3000, Infinity]),
    maxAgeMs: draw.pick([0, 20, 200, Infinity]),
    maxRuns: 32
  }
  const log = new MemoryLog("e", limits)
  const model = new Model(limits)
  let now = 0
  let sequence = 0
  const next = () => {
    const type = draw.pick(["custom", "agent_started", "text_delta", "agent_completed"])
    return envelope({
      sequence: ++sequence,
      type,
      at: draw.chance(0.8) ? now : draw.below(now + 1),
      ...(draw.chance(0.7) ? { run: draw.pick(["a", "b", "c"]) } : {}),
      data: { messageId: "m", delta: "d".repeat(draw.below(120)) }
    })
  }
  for (let step = 0; step < 40; step++) {
    now += draw.below(15)
    if (draw.chance(0.6)) {
      const batch = Array.makeBy(1 + draw.below(6), next)
      log.append(batch, now)
      model.append(batch, now)
    } else if (draw.chance(0.3)) {
      log.expire(now)
      model.expire(now)
    }
    const after = { epoch: draw.chance(0.9) ? "e" : "f", offset: draw.below(sequence + 3) }
    const asked = { maxEvents: 1 + draw.below(10), maxBytes: draw.below(1000) }
    const slice = log.pull(after, asked)
    assert.deepStrictEqual({ ...slice, entries: slice.entries.map(plain) }, model.pull(after, asked))
    assert.deepStrictEqual([log.size, log.bytes], [model.kept.length, model.bytes])
    assert.deepStrictEqual(log.snapshots(Infinity), model.snapshots(Infinity))
  }
}
