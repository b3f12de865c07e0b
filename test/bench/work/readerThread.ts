/**
 * The thread of the devices that `reader.ts` opens. It loads nothing of the package: each reader is a thread that would.
 */
import { get } from "node:http"
import { workerData } from "node:worker_threads"
import { WebSocket } from "ws"

export type Transport = "websocket" | "sse"

export interface Given {
  readonly transport: Transport
  readonly port: number
  /** Whose devices they are: one for each of these users. */
  readonly users: ReadonlyArray<string>
  /** How many events came; below 0, how many devices are not welcome yet. */
  readonly came: Int32Array
  /** The header that names the user of a device. */
  readonly userHeader: string
  readonly subprotocol: string
}

const read = ({ came, port, subprotocol, transport, userHeader }: Given, user: string): void => {
  const add = (events: number) => {
    Atomics.add(came, 0, events)
    Atomics.notify(came, 0)
  }
  const welcomed = () => add(1)
  const headers = { [userHeader]: user }
  // Every event of the workload has a step.
  const count = (text: string) => add(text.match(/"step":\d+/gu)?.length ?? 0)
  if (transport === "websocket") {
    const socket = new WebSocket(`ws://127.0.0.1:${port}/events`, subprotocol, {
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

const given: Given = workerData
for (const user of given.users) read(given, user)
