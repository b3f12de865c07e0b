/**
 * What the client makes of server-sent events, and of answers that are none, read from a stream in pieces of any size.
 */
import { assert, describe, it } from "@effect/vitest"
import type { Entry } from "../../../src/broker/Broker.ts"
import { streamRefusal } from "../../../src/client/transport/Diagnosis.ts"
import { openSse } from "../../../src/client/transport/SseTransport.ts"
import type { Fetch } from "../../../src/client/transport/Platform.ts"
import * as ServerFrames from "../../../src/client/transport/ServerFrames.ts"
import { fromText, toText } from "../../../src/protocol/values/PositionText.ts"
import { codes } from "../../../src/protocol/wire/CloseCode.ts"
import { encoder } from "../../../src/gateway/sse/SseEncoder.ts"
import { ConnectionId, EventId, RunId } from "../../../src/protocol/values/Identity.ts"
import { Dice } from "../ModelServer.ts"

const url = "http://127.0.0.1/events?tenant=1"

interface Request {
  readonly url: string
  readonly init: RequestInit
}

const loaded = { codes, fromText, toText }

/** A server that answers as told, and what a session hears of it. */
const open = (answer: (request: Request) => Response | Promise<Response>, hello: object = {}) => {
  const requests: Array<Request> = []
  const heard: Array<unknown> = []
  const fetch: Fetch = async (url, init) => {
    requests.push({ url, init })
    return await answer({ url, init })
  }
  const closed = Promise.withResolvers<readonly [number, string]>()
  const stream = openSse(fetch, url, {
    opened: () => stream.send({ type: "hello", token: "t", ...hello }),
    message: (data) => heard.push(ServerFrames.decode(data)),
    acknowledged: (confirmed) => heard.push(`acknowledged ${confirmed.join()}`),
    unacknowledged: () => heard.push("unacknowledged"),
    closed: (code, reason) => closed.resolve([code, reason])
  }, loaded)
  return { stream, requests, heard, closed: closed.promise }
}

const inPieces = (text: string, dice: Dice): Response => {
  const bytes = new TextEncoder().encode(text)
  const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
    start: (controller) => {
      for (let at = 0; at < bytes.length;) {
        const size = dice.int(1, 40)
        controller.enqueue(bytes.slice(at, at + size))
        at += size
      }
      controller.close()
    }
  })
  return new Response(body, { headers: { "content-type": "text/event-stream; charset=utf-8" } })
}

const entry = (offset: number, text: string): Entry => {
  const id = EventId.make(`e-${offset}`)
  const data = { name: "n", data: text }
  const body = JSON.stringify({ id, type: "custom", at: 1, data }).slice(1)
  return {
    offset,
    type: "custom",
    delivery: "critical",
    at: 1,
    run: undefined,
    thread: undefined,
    confirm: false,
    body,
    bytes: body.length
  }
}

const eventsOf = (epoch: string, entries: ReadonlyArray<Entry>, upTo?: number): string =>
  encoder.events(epoch, entries, upTo).toString()

const welcome = {
  type: "welcome",
  connection: ConnectionId.make("c"),
  epoch: "E1",
  offset: 3,
  recovered: true,
  snapshots: 0,
  heartbeatMs: 25_000,
  retentionMs: 60_000
} as const

describe("An event stream", () => {
  it("becomes the frames that a WebSocket would bring, wherever it is cut into pieces", async () => {
    for (let seed = 1; seed <= 50; seed++) {
      const dice = new Dice(seed)
      let text = "retry: 1000\n"
      let offset = 3
      const expected: Array<unknown> = []
      const frame = (frame: Parameters<typeof encoder.frame>[0]) => {
        text += encoder.frame(frame)
        expected.push(frame)
      }
      frame(welcome)
      for (let turn = 0; turn < 30; turn++) {
        const kind = dice.next()
        if (kind < 0.6) {
          const entries = Array.from(
            { length: dice.int(1, 4) },
            () => entry(++offset, dice.pick(["a", "line\nbreak", "ä 👩‍💻", "data: x\n\nid: 9", "\u2028\r"]))
          )
          text += eventsOf("E1", entries)
          expected.push(...entries.map(({ offset }) => offset))
        } else if (kind < 0.7) {
          text += ": ping\n\n"
          expected.push({ type: "ping" })
        } else if (kind < 0.85) {
          offset += 2
          frame({ type: "gap", epoch: "E1", from: offset - 1, to: offset, reason: "slow", snapshots: 0 })
        } else {
          const usage = { inputTokens: 0, outputTokens: 0 }
          const state = { status: "active", parts: [], usage } as const
          frame({ type: "snapshot", run: RunId.make("r"), offset, state })
        }
      }
      const { closed, heard } = open(() => inPieces(text, dice))
      assert.deepStrictEqual(await closed, [1006, "the stream ended"])
      const flat = (heard as ReadonlyArray<ServerFrames.ServerFrame>).flatMap((frame): ReadonlyArray<unknown> =>
        frame.type === "events" ? frame.events.map((event) => event.offset) : [frame]
      )
      assert.deepStrictEqual(flat, expected, `seed ${seed}`)
    }
  })

  it("tells a device with a thread filter how far it has come", async () => {
    const text = eventsOf("E1", [entry(4, "a"), entry(6, "b")], 9) + eventsOf("E1", [], 12) +
      encoder.frame({ type: "gap", epoch: "E2", from: 1, to: 0, reason: "epoch", snapshots: 0 })
    const { closed, heard, requests } = open(() => inPieces(text, new Dice(1)), { threads: ["t 1", "t2"] })
    await closed
    const told = (heard as ReadonlyArray<ServerFrames.ServerFrame>).map((frame) =>
      frame.type === "events" ? [frame.epoch, frame.upTo, frame.events.map(({ offset }) => offset)] : frame.type
    )
    assert.deepStrictEqual(told.at(-1), "gap")
    const last = told.slice(0, -1).map((part) => part[1])
    assert.deepStrictEqual(last.at(-1), 12)
    assert.deepStrictEqual(told.slice(0, -1).flatMap((part) => part[2]), [4, 6])
    assert.strictEqual(requests[0]?.url, "http://127.0.0.1/events?tenant=1&thread=t+1&thread=t2")
  })

  it("never puts events of two epochs into one frame", async () => {
    const text = eventsOf("E1", [entry(4, "a")]) + eventsOf("E2", [entry(5, "b")])
    const response = new Response(text, { headers: { "content-type": "text/event-stream" } })
    const { closed, heard } = open(() => response)
    await closed
    const told = (heard as ReadonlyArray<ServerFrames.ServerFrame>).map((frame) =>
      frame.type === "events" ? frame.epoch : ""
    )
    assert.deepStrictEqual(told, ["E1", "E2"])
  })

  it("is asked for with the token and the position in headers, never in the address", async () => {
    const resume = { epoch: "E1", offset: 7 }
    const { closed, requests } = open(() => inPieces("", new Dice(1)), { resume })
    await closed
    assert.deepStrictEqual(requests.map(({ init, url }) => [url, init.headers]), [[
      "http://127.0.0.1/events?tenant=1",
      { accept: "text/event-stream", authorization: "Bearer t", "last-event-id": "E1:7" }
    ]])
  })

  it("fault 3: answers a ping by a request that names its connection", async () => {
    const welcome = {
      type: "welcome",
      epoch: "E",
      offset: 0,
      recovered: true,
      snapshots: 0,
      heartbeatMs: 1,
      retentionMs: 1
    } as const
    const { closed, requests, stream } = open(({ init }) =>
      init.method === "POST"
        ? new Response(null, { status: 204 })
        : inPieces(encoder.frame({ ...welcome, connection: ConnectionId.make("c-1") }), new Dice(1))
    )
    stream.send({ type: "pong" })
    await closed
    stream.send({ type: "pong" })
    assert.deepStrictEqual(requests.slice(1).map(({ init }) => init.body), [`{"type":"pong","connection":"c-1"}`])
  })

  it("ends with the close code that the server names, or as a connection that was lost", async () => {
    const ends = async (text: string) => (await open(() => inPieces(text, new Dice(1))).closed)[0]
    assert.strictEqual(await ends(encoder.frame({ type: "error", code: "tooSlow", message: "m" })), 4502)
    assert.strictEqual(await ends(encoder.frame({ type: "error", code: "unauthenticated", message: "m" })), 4401)
    assert.strictEqual(await ends(encoder.frame({ type: "error", code: "new", message: "m" })), 1006)
    assert.strictEqual(await ends(encoder.frame({ type: "goodbye", reason: "r", reconnectAfterMs: 5 })), 4500)
    assert.strictEqual(await ends(""), 1006)
  })

  it("knows a gateway's refusals by their names, and tells the status of what a proxy answers", async () => {
    const refused = async (status: number, body: string, headers: Record<string, string> = {}) => {
      const { closed, heard } = open(() => new Response(body, { status, headers }))
      return [...await closed, ...heard]
    }
    const json = (code: string) => JSON.stringify({ code, message: "m" })
    assert.deepStrictEqual(await refused(401, json("unauthenticated")), [4401, "m"])
    assert.deepStrictEqual(await refused(401, "<html>"), [4401, "HTTP status 401"])
    assert.deepStrictEqual(await refused(403, json("originRefused")), [4403, "m"])
    assert.deepStrictEqual(await refused(403, "<html>"), [403, streamRefusal(403, undefined)])
    assert.deepStrictEqual(await refused(429, json("tooManyConnections")), [4409, "m"])
    assert.deepStrictEqual(await refused(429, json("tooManyConnections"), { "retry-after": "30" }), [
      4409,
      "m",
      { type: "goodbye", reason: "m", reconnectAfterMs: 30_000 }
    ])
    assert.deepStrictEqual(await refused(426, json("upgradeRequired")), [426, streamRefusal(426, "m")])
    assert.deepStrictEqual(await refused(502, ""), [502, "HTTP status 502"])
    assert.deepStrictEqual(await refused(200, "hello"), [200, "HTTP status 200"])
    assert.deepStrictEqual(await refused(503, json("full"), { "retry-after": "3" }), [
      4500,
      "m",
      { type: "goodbye", reason: "m", reconnectAfterMs: 3_000 }
    ])
    assert.deepStrictEqual(await refused(503, json("brokerUnavailable"), { "retry-after": "0" }), [4503, "m"])
    assert.deepStrictEqual(await refused(503, "", { "retry-after": "9" }), [503, "HTTP status 503"])
  })

  it("that cannot be had is a lost network, and one that was closed is heard of no more", async () => {
    const failed = open(() => Promise.reject(new TypeError("fetch failed")))
    assert.deepStrictEqual(await failed.closed, [1006, "TypeError: fetch failed"])

    const late = Promise.withResolvers<Response>()
    const { closed, heard, requests, stream } = open(() => late.promise)
    await Promise.resolve()
    stream.close(1000, "")
    assert.isTrue(requests[0]?.init.signal?.aborted)
    late.resolve(inPieces(encoder.frame(welcome), new Dice(1)))
    const nothing = await Promise.race([closed, new Promise((resolve) => setTimeout(() => resolve("nothing"), 20))])
    assert.deepStrictEqual([nothing, heard], ["nothing", []])
  })

  it("fault 19: takes a fetch that throws for a lost network, of the stream and of what is posted", async () => {
    const closed = Promise.withResolvers<readonly [number, string]>()
    const unacknowledged = Promise.withResolvers<void>()
    const fetch: Fetch = () => {
      throw new TypeError("nothing is fetched here")
    }
    const stream = openSse(fetch, url, {
      opened: () => stream.send({ type: "ack", offset: 1, epoch: "E1", confirmed: [1] }),
      message: () => assert.fail("nothing was sent"),
      acknowledged: () => assert.fail("nothing has arrived"),
      unacknowledged: unacknowledged.resolve,
      closed: (...reason) => closed.resolve(reason)
    }, loaded)
    await unacknowledged.promise
    stream.send({ type: "hello", token: "t" })
    assert.deepStrictEqual(await closed.promise, [1006, "TypeError: nothing is fetched here"])
  })

  it("acknowledges by POST, one at a time and the newest, and tells what did not arrive", async () => {
    const answers: Array<PromiseWithResolvers<Response>> = []
    const { heard, requests, stream } = open(({ init }) => {
      if (init.method !== "POST") return new Promise(() => {})
      const answer = Promise.withResolvers<Response>()
      answers.push(answer)
      return answer.promise
    })
    await Promise.resolve()
    const settled = () => new Promise((resolve) => setTimeout(resolve, 5))
    for (const offset of [1, 2, 3]) stream.send({ type: "ack", offset, epoch: "E1", confirmed: [offset] })
    assert.lengthOf(answers, 1)
    answers[0]?.resolve(new Response(null, { status: 204 }))
    await settled()
    assert.deepStrictEqual(requests.slice(1).map(({ init }) => init.body), [
      `{"type":"ack","offset":1,"epoch":"E1","confirmed":[1]}`,
      `{"type":"ack","offset":3,"epoch":"E1","confirmed":[3]}`
    ])
    answers[1]?.reject(new TypeError("fetch failed"))
    await settled()
    assert.deepStrictEqual(heard, ["acknowledged 1", "unacknowledged"])
    // A server that takes none is not asked again.
    stream.send({ type: "ack", offset: 4, epoch: "E1" })
    answers[2]?.resolve(new Response(null, { status: 405 }))
    await settled()
    assert.deepStrictEqual(heard, ["acknowledged 1", "unacknowledged", "acknowledged "])
    stream.send({ type: "pong" })
    stream.close(1000, "")
    assert.lengthOf(requests, 4)
  })

  it("takes a page of somebody else, in answer to a command, for no answer", async () => {
    const answer = `{"type":"command","id":"c1","outcome":"accepted"}`
    const answers = ["<html>Are you human?</html>", `{"type":"welcome"}`, "[]", "", answer]
    const { heard, stream } = open(({ init }) =>
      init.method === "POST" ? new Response(answers.shift()) : new Promise(() => {})
    )
    for (let left = answers.length; left > 0; left--) {
      stream.send({ type: "command", id: "c1", run: "r1", name: "cancel" })
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    assert.deepStrictEqual(heard, [JSON.parse(answer)])
  })
})
