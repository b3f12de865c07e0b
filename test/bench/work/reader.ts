/**
 * Devices in a thread of their own, so that nothing they do counts as work of the server.
 *
 * They read, and answer nothing: an acknowledgement goes by time, one for many events.
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
  /** Whose devices they are: one for each of these users. */
  readonly users: ReadonlyArray<string>
  /** How many events came; below 0, how many devices are not welcome yet. */
  readonly came: Int32Array
}

/** However slow the machine is, by then something is wrong. */
const patienceMs = 300_000

/** The header that names the user of a device. */
export const userHeader = "x-user"

/** Opens a device of each of these users at this port, and waits until all are welcome. */
export const openReader = async (
  transport: Transport,
  port: number,
  users: ReadonlyArray<string>
): Promise<Reader> => {
  const came = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT)).fill(-users.length)
  const worker = new Worker(new URL(import.meta.url), { workerData: { transport, port, users, came } satisfies Given })
  const has = async (events: number) => {
    while (true) {
      const known = Atomics.load(came, 0)
      if (known >= events) return
      if (await Atomics.waitAsync(came, 0, known, patienceMs).value === "timed-out") {
        throw new Error(known < 0 ? `${-known} devices were not welcomed` : `${known} of ${events} events came`)
      }
    }
  }
  await has(0)
  return { has, close: async () => void await worker.terminate() }
}

const read = ({ came, port, transport }: Given, user: string): void => {
  const add = (events: number) => {
    Atomics.add(came, 0, events)
    Atomics.notify(came, 0)
  }
  const welcomed = () => add(1)
  const headers = { [userHeader]: user }
  // Every event of the workload has a step.
  const count = (text: string) => add(text.match(/"step":\d+/gu)?.length ?? 0)
  if (transport === "websocket") {
    const socket = new WebSocket(`ws://127.0.0.1:${port}/events`, Frame.subprotocol, {
      perMessageDeflate: false,
      headers
    })
    socket.on("open", () => socket.send(JSON.stringify({ type: "hello" })))
    socket.on("message", (message) => {
      const text = String(message)
      if (text.startsWith("{\"type\":\"welcome\"")) welcomed()
      else count(text)
    })
    return
  }
  get(`http://127.0.0.1:${port}/events`, { headers: { ...headers, accept: "text/event-stream" } }, (response) => {
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

if (!isMainThread) {
  const given: Given = workerData
  for (const user of given.users) read(given, user)
}
