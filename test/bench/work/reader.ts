/**
 * A device in a thread of its own, so that nothing it does counts as work of the server.
 *
 * It reads, and answers nothing: an acknowledgement goes by time, one for many events.
 */
import { get } from "node:http"
import { isMainThread, Worker, workerData } from "node:worker_threads"
import { WebSocket } from "ws"
import { Frame } from "../../../src/protocol/index.ts"

export type Transport = "websocket" | "sse"

export interface Reader {
  /** Waits until so many events came. */
  readonly has: (events: number) => Promise<void>
  readonly close: () => Promise<void>
}

interface Given {
  readonly transport: Transport
  readonly port: number
  /** How many events came, or `notWelcome`. */
  readonly came: Int32Array
}

/** However slow the machine is, by then something is wrong. */
const patienceMs = 300_000

const notWelcome = -1

/** Opens a device at this port, and waits until it is welcome. */
export const openReader = async (transport: Transport, port: number): Promise<Reader> => {
  const came = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT)).fill(notWelcome)
  const worker = new Worker(new URL(import.meta.url), { workerData: { transport, port, came } satisfies Given })
  const has = async (events: number) => {
    while (true) {
      const known = Atomics.load(came, 0)
      if (known >= events) return
      if (await Atomics.waitAsync(came, 0, known, patienceMs).value === "timed-out") {
        throw new Error(known === notWelcome ? "the device was not welcomed" : `${known} of ${events} events came`)
      }
    }
  }
  await has(0)
  return { has, close: async () => void await worker.terminate() }
}

const read = ({ came, port, transport }: Given): void => {
  const add = (events: number) => {
    Atomics.add(came, 0, events)
    Atomics.notify(came, 0)
  }
  const welcomed = () => add(-notWelcome)
  // Every event of the workload has a step.
  const count = (text: string) => add(text.match(/"step":\d+/gu)?.length ?? 0)
  if (transport === "websocket") {
    const socket = new WebSocket(`ws://127.0.0.1:${port}/events`, Frame.subprotocol, { perMessageDeflate: false })
    socket.on("open", () => socket.send(JSON.stringify({ type: "hello" })))
    socket.on("message", (message) => {
      const text = String(message)
      if (text.startsWith("{\"type\":\"welcome\"")) welcomed()
      else count(text)
    })
    return
  }
  get(`http://127.0.0.1:${port}/events`, { headers: { accept: "text/event-stream" } }, (response) => {
    let rest = ""
    response.setEncoding("utf8").on("data", (text: string) => {
      const blocks = (rest + text).split("\n\n")
      rest = blocks.pop() ?? ""
      for (const block of blocks) {
        if (block.includes("event: frame:welcome")) welcomed()
        else count(block)
      }
    })
  })
}

if (!isMainThread) read(workerData)
