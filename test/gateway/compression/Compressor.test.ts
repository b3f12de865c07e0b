import { assert, describe, it } from "@effect/vitest"
import { constants, gunzipSync, inflateRawSync } from "node:zlib"
import { CompressedSender } from "../../../src/gateway/compression/CompressedSender.ts"
import { contextBytes } from "../../../src/gateway/compression/CompressionContext.ts"
import { Compressor, mostAtOnce, type Settings } from "../../../src/gateway/compression/Compressor.ts"
import { GzipStream, isAccepted } from "../../../src/gateway/compression/GzipStream.ts"
import type { Message } from "../../../src/hub/Transport.ts"

const kibi = 1024

const make = (settings: Partial<Settings> = {}) =>
  new Compressor(
    { threshold: 64, level: 1, contextTakeover: false, memory: 1024 * kibi, ...settings },
    (error) => {
      throw error
    }
  )

/** An event as it travels. */
const event = (offset: number, text = "so it goes") =>
  `{"type":"events","epoch":"Yx81kq0a7Z","events":[{"offset":${offset},"id":"mf8s0q2d-${offset.toString(36)}",`
  + `"type":"text_delta","at":${1_764_370_000_000 + offset * 31},"run":"run-8712-aa41","thread":"t-31",`
  + `"data":{"messageId":"m-1","delta":"${text} ${offset}"}}]}`

/** No text of this kind becomes smaller by much. */
const noise = (bytes: number, seed = 1) => {
  let state = seed
  return Array.from({ length: bytes }, () => {
    state = (state * 1_103_515_245 + 12_345) % 2 ** 31
    return String.fromCharCode(33 + (state >> 8) % 90)
  }).join("")
}

const inflate = (parts: ReadonlyArray<Buffer>, windowBits = 15) =>
  inflateRawSync(Buffer.concat(parts), { windowBits, finishFlush: constants.Z_SYNC_FLUSH }).toString()

interface Sent {
  readonly plain: string
  readonly compressed: Buffer | undefined
}

const device = (compressor: Compressor, windowBits = 15) => {
  const sent: Array<Sent> = []
  const { contextTakeover } = compressor.settings
  const sender = new CompressedSender(
    compressor,
    { windowBits, contextTakeover, isOneStream: false },
    (message: Message, compressed) => sent.push({ plain: message.toString(), compressed })
  )
  return {
    sent,
    sender,
    compressed: () => sent.flatMap(({ compressed }) => compressed === undefined ? [] : [compressed])
  }
}

const idle = (sender: Pick<CompressedSender, "whenIdle">) => new Promise<void>((resolve) => sender.whenIdle(resolve))

describe("Frames, compressed", () => {
  it("can each be read alone without context takeover, end at an empty block, and small ones go out as they are", async () => {
    const { sender, sent } = device(make({ threshold: 200 }))
    const frames = [
      `{"type":"ping"}`,
      "x".repeat(199),
      "y".repeat(200),
      event(1),
      event(2),
      "ä".repeat(mostAtOnce),
      ...Array.from({ length: 40 }, (_, size) => "z".repeat(300 + 211 * size)),
      event(3).repeat(400)
    ]
    for (const frame of frames) sender.send(frame)
    await idle(sender)
    assert.deepStrictEqual(sent.map(({ plain }) => plain), frames)
    assert.deepStrictEqual(sent.map(({ compressed }) => compressed !== undefined), frames.map((_, at) => at > 1))
    for (const { compressed, plain } of sent) {
      if (compressed === undefined) continue
      assert.strictEqual(inflate([compressed]), plain)
      assert.strictEqual(compressed.subarray(-4).toString("hex"), "0000ffff")
    }
  })

  it("refer to those before with context takeover, so that an event takes less than 0.3 of its bytes", async () => {
    for (const windowBits of [15, 11, 9]) {
      const { compressed, sender, sent } = device(make({ contextTakeover: true }), windowBits)
      const frames = Array.from({ length: 100 }, (_, offset) => event(offset))
      for (const [at, frame] of frames.entries()) {
        sender.send(frame)
        if (at === 50) sender.send(event(50).repeat(100))
        await idle(sender)
      }
      const plain = sent.map((each) => each.plain).join("")
      assert.strictEqual(inflate(compressed(), windowBits), plain)
      const afterTheFirst = sent.slice(1).filter(({ plain }) => plain.length < kibi)
      const ratio = afterTheFirst.reduce((sum, { compressed }) => sum + (compressed?.length ?? Infinity), 0)
        / afterTheFirst.reduce((sum, { plain }) => sum + plain.length, 0)
      assert.isBelow(ratio, 0.3, `window of ${windowBits} bits`)
    }
  })

  it("stay in order around one that another thread compresses, and what waits counts as it is", async () => {
    const compressor = make()
    const { sender, sent } = device(compressor)
    const large = event(1).repeat(300)
    const frames = [event(0), large, `{"type":"ping"}`, event(2), large + large, event(3)]
    for (const frame of frames) sender.send(frame)
    assert.deepStrictEqual(sent.map(({ plain }) => plain), frames.slice(0, 1))
    assert.isTrue(sender.isBusy)
    assert.strictEqual(sender.backlog, frames.slice(1).join("").length)
    assert.strictEqual(compressor.memory, large.length)
    await idle(sender)
    assert.deepStrictEqual(sent.map(({ plain }) => plain), frames)
    assert.deepStrictEqual([sender.backlog, compressor.memory], [0, 0])
    const { after, before, frames: count, passed } = compressor.counts
    assert.deepStrictEqual([count, passed, before], [5, 0, frames.join("").length - `{"type":"ping"}`.length])
    assert.isBelow(after, before / 2)
  })

  it("go out as they are where there is no room, or where they would become larger", async () => {
    const large = event(1).repeat(100)
    const compressor = make({ memory: 3 * large.length })
    const some = Array.from({ length: 5 }, (_, at) => ({ ...device(compressor), large: large + noise(at) }))
    for (const { large, sender } of some) sender.send(large)
    await Promise.all(some.map(({ sender }) => idle(sender)))
    const ways = some.map(({ sent }) => sent[0]?.compressed !== undefined)
    assert.deepStrictEqual([compressor.counts.frames, compressor.counts.passed], [2, 3])
    assert.deepStrictEqual(ways, [true, true, false, false, false])

    const { sender, sent } = device(make())
    sender.send(noise(70))
    assert.deepStrictEqual(sent.map(({ compressed }) => compressed), [undefined])
  })

  it("go out as they are, in order, where zlib fails", async () => {
    const failures: Array<Error> = []
    const settings = { threshold: 64, level: 42, contextTakeover: true, memory: 1024 * kibi }
    // There is no such level, so that zlib refuses each.
    const compressor = new Compressor(settings, (error) => failures.push(error))
    const { sender, sent } = device(compressor)
    const frames = [event(1), event(2).repeat(100), event(3), event(4).repeat(100), event(5)]
    for (const frame of frames) sender.send(frame)
    await idle(sender)
    assert.deepStrictEqual(sent, frames.map((plain) => ({ plain, compressed: undefined })))
    assert.lengthOf(failures, frames.length)
    assert.deepStrictEqual(compressor.counts, { frames: 0, before: 0, after: 0, passed: frames.length, memory: 0 })
  })

  it("take no more memory for contexts than allowed: those that were not used for longest are forgotten", async () => {
    const compressor = make({ contextTakeover: true, memory: 3 * contextBytes })
    const all = Array.from({ length: 6 }, () => device(compressor))
    for (let round = 0; round < 5; round++) {
      for (const [at, { sender }] of all.entries()) sender.send(event(round, `of ${at}`))
      assert.isAtMost(compressor.memory, 3 * contextBytes)
    }
    // Who was written to last has a context.
    const [last] = all.slice(-1)
    last?.sender.send(event(9))
    assert.isBelow(last?.compressed().at(-1)?.length ?? Infinity, event(9).length / 3)
    for (const { compressed, sent } of all) {
      assert.strictEqual(inflate(compressed()), sent.map(({ plain }) => plain).join(""))
    }
    for (const { sender } of all) sender.end()
    assert.strictEqual(compressor.memory, 0)
  })

  it("take the room of contexts where they wait: those not used for longest are forgotten, also a device's own", async () => {
    const large = event(1).repeat(100)
    const compressor = make({ contextTakeover: true, memory: large.length + 2 * contextBytes })
    const all = Array.from({ length: 30 }, () => device(compressor))
    for (const [at, { sender }] of all.entries()) sender.send(event(at))
    const [first, last] = [all[0], all[29]]
    for (const one of [first, last]) {
      one?.sender.send(large)
      assert.isAtMost(compressor.memory, compressor.settings.memory)
      for (const { sender } of all) await idle(sender)
      one?.sender.send(event(7))
    }
    assert.strictEqual(compressor.counts.passed, 0)
    for (const { compressed, sent } of all) {
      assert.strictEqual(inflate(compressed()), sent.map(({ plain }) => plain).join(""))
    }
  })

  it("are compressed once for devices at the same place, and never taken from one at another", async () => {
    for (const contextTakeover of [false, true]) {
      const compressor = make({ contextTakeover })
      const [one, two, late] = [device(compressor), device(compressor), device(compressor)]
      // The late one joins at a small frame.
      const frames = [event(1), event(2), event(3), event(4).repeat(200), event(5)]
      for (const [at, frame] of frames.entries()) {
        for (const { sender } of at < 2 ? [one, two] : [one, two, late]) sender.send(frame)
        await Promise.all([one, two, late].map(({ sender }) => idle(sender)))
      }
      for (const { compressed, sent } of [one, two, late]) {
        assert.strictEqual(
          contextTakeover ? inflate(compressed()) : compressed().map((each) => inflate([each])).join(""),
          sent.map(({ plain }) => plain).join("")
        )
      }
      const shared = one.sent.map(({ compressed }, at) => compressed === two.sent[at]?.compressed)
      assert.deepStrictEqual(shared, [true, true, true, true, true])
    }
  })

  it("are dropped once their device has gone", async () => {
    const compressor = make({ contextTakeover: true })
    const { sender, sent } = device(compressor)
    sender.send(event(1))
    sender.send(event(2).repeat(100))
    sender.end()
    sender.send(event(3))
    const other = device(compressor)
    other.sender.send(event(4).repeat(100))
    await idle(other.sender)
    assert.deepStrictEqual(sent.map(({ plain }) => plain), [event(1)])
    assert.strictEqual(sender.backlog, 0)
    assert.strictEqual(compressor.memory, contextBytes)
  })
})

describe("A stream in gzip", () => {
  it("can be read after each write, whatever is written, and is whole at its end", async () => {
    for (const contextTakeover of [false, true]) {
      const compressor = make({ contextTakeover })
      const written: Array<Buffer> = []
      const gzip = new GzipStream(compressor, (bytes) => written.push(bytes))
      const texts = [
        "retry: 1000\n\n",
        event(1),
        ": ping\n\n",
        event(2),
        noise(70_000),
        "",
        event(3).repeat(200),
        "é".repeat(70),
        event(4)
      ]
      let so = ""
      for (const text of texts) {
        gzip.send(text)
        await idle(gzip)
        so += text
        assert.strictEqual(
          gunzipSync(Buffer.concat(written), { finishFlush: constants.Z_SYNC_FLUSH }).toString(),
          so
        )
      }
      await new Promise<void>((resolve) => gzip.finish(resolve))
      assert.strictEqual(gunzipSync(Buffer.concat(written)).toString(), so)
      assert.strictEqual(compressor.memory, 0)
    }
  })

  it("is whole without a message", async () => {
    const written: Array<Buffer> = []
    const gzip = new GzipStream(make(), (bytes) => written.push(bytes))
    await new Promise<void>((resolve) => gzip.finish(resolve))
    assert.strictEqual(gunzipSync(Buffer.concat(written)).length, 0)
  })

  it("is taken by whoever says so", () => {
    for (
      const taken of ["gzip", "gzip, deflate, br, zstd", "br;q=1, GZIP ; q=0.1", "*", "x-gzip", "identity;q=0, *;q=0.5"]
    ) {
      assert.isTrue(isAccepted(taken), taken)
    }
    for (const refused of [undefined, "", "identity", "br", "gzip;q=0", "gzip; q=0.000, *", "*;q=0", "notgzip"]) {
      assert.isFalse(isAccepted(refused), refused ?? "without the header")
    }
  })
})
