/**
 * Devices in a thread of their own, so that nothing they do counts as work of the server.
 *
 * They read, and answer nothing: an acknowledgement goes by time, one for many events.
 */
import { Worker } from "node:worker_threads"
import { Frame } from "../../../src/protocol/index.ts"
import type { Given, Transport } from "./readerThread.ts"

export interface Reader {
  /** Waits until so many events came. */
  readonly has: (events: number) => Promise<void>
  readonly close: () => Promise<void>
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
  const given: Given = { transport, port, users, came, userHeader, subprotocol: Frame.subprotocol }
  const worker = new Worker(new URL("readerThread.ts", import.meta.url), { workerData: given })
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
