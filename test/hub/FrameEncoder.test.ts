import { assert, describe, it } from "@effect/vitest"
import type { Broker } from "effect-emitter"
import { Frame } from "effect-emitter/protocol"
import { MemoryLog } from "../../src/broker/memory/MemoryLog.ts"
import { envelopeBytes, frames, overheadBytes } from "../../src/hub/connection/FrameEncoder.ts"
import { envelope, plain, plenty } from "../broker/events.ts"

const start = { epoch: "e", offset: 0 }

const texts = ["plain", "Größe", "— “quoted” —", "日本語", "👩‍🚀", "\u0000\n\"\\", "x".repeat(3_000)]

/** A log whose first `read` entries a reader has seen. */
const logOf = (count: number, read: number): MemoryLog => {
  const log = new MemoryLog("e", { maxEvents: 1_000, maxBytes: Infinity, maxAgeMs: Infinity, maxRuns: 8 })
  for (let sequence = 1; sequence <= count; sequence++) {
    log.append([envelope({ sequence, data: { text: texts[sequence % texts.length] ?? "" } })])
  }
  if (read > 0) log.pull(start, { ...plenty, maxEvents: read })
  return log
}

const bodiesOf = (entries: ReadonlyArray<Broker.Entry>) => entries.map(({ body, offset }) => ({ body, offset }))

const eventsOf = (message: string | Buffer) => {
  const frame = Frame.decodeServer(message.toString())
  assert(frame._tag === "Success" && frame.success.type === "events")
  return frame.success
}

describe("An events frame", () => {
  it("says the same whether the texts of its events are strings, bytes, or bytes in several places", () => {
    for (const read of [0, 1, 7, 40]) {
      const log = logOf(40, read)
      // A reader in the middle comes first, so that texts are not in the order of their offsets.
      log.pull({ epoch: "e", offset: 20 }, { ...plenty, maxEvents: 10 })
      const { entries } = log.pull(start, plenty)
      const wanted = logOf(40, 0).pull(start, plenty).entries.map(plain)
      assert.deepStrictEqual(bodiesOf(entries), bodiesOf(wanted))
      for (
        const chosen of [[0, 40], [5, 6], [18, 33], [39, 40]].map(([from, to]) => ({
          bytes: entries.slice(from, to),
          strings: wanted.slice(from, to)
        }))
      ) {
        assert.deepStrictEqual(
          frames.events("e", chosen.bytes, undefined),
          frames.events("e", chosen.strings, undefined)
        )
      }
      const mixed = entries.map((entry, index) => index % 3 === 0 ? plain(entry) : entry).filter((_, n) => n % 5 !== 0)
      const { events } = eventsOf(frames.events("e", mixed, 40))
      assert.deepStrictEqual(
        events,
        wanted.filter((_, n) => n % 5 !== 0).map(({ body, offset }) => JSON.parse(`{"offset":${offset},${body}`))
      )
    }
  })

  it("may hold no event, and tells then how far the device has come", () => {
    assert.deepStrictEqual(eventsOf(frames.events("e", [], 7)), { type: "events", epoch: "e", upTo: 7, events: [] })
  })

  it("adds no more to the bodies than is allowed for", () => {
    const far = Number.MAX_SAFE_INTEGER - 1
    const { entries } = logOf(40, 0).pull(start, plenty)
    const high = entries.map((entry, index) => ({ ...plain(entry), offset: far - 40 + index }))
    const bodies = high.reduce((sum, { bytes }) => sum + bytes, 0)
    const { length } = frames.events("x".repeat(32), high, far)
    assert.isAtMost(length, bodies + high.length * overheadBytes + envelopeBytes)
    assert.isAbove(length, bodies)
  })
})
