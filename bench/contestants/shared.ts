/**
 * What all sending processes have in common.
 */
import { once } from "node:events"
import type { AddressInfo } from "node:net"
import type { Server } from "node:http"
import { collectGarbage } from "../harness/rounds.ts"
import { seconds } from "../harness/clock.ts"
import { on } from "../harness/process.ts"
import { type Payload, payloadOf } from "../harness/workload.ts"
import { cpu, spreadProbes } from "./calls.ts"

/**
 * Listens on a free port of the loopback and returns it.
 */
export const listenOnLoopback = async (server: Server): Promise<number> => {
  server.listen(0, "127.0.0.1", 1024)
  await once(server, "listening")
  const address: AddressInfo | string | null = server.address()
  if (address === null || typeof address === "string") throw new Error("the server has no port")
  return address.port
}

/**
 * Answers how much processor time this process has used.
 */
export const onCpu = on(cpu, async () => {
  const { system, user } = process.cpuUsage()
  return (system + user) / 1e6
})

/**
 * What the process holds once its garbage is gone. `external` holds array buffers too.
 */
export const settledMemory = async () => {
  for (let turn = 0; turn < 5; turn++) {
    collectGarbage()
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  const { external, heapUsed, rss } = process.memoryUsage()
  return { heap: heapUsed, external, resident: rss }
}

/**
 * Calls `background` and `probe` at their rates, evenly, as far as timers of a millisecond allow.
 */
export const atRates = async (
  options: { readonly backgroundPerSecond: number; readonly probesPerSecond: number; readonly seconds: number },
  background: (count: number) => void | Promise<void>,
  probe: (sequence: number) => void | Promise<void>
): Promise<{ readonly background: number; readonly probes: number }> => {
  const started = seconds()
  const backgroundTotal = Math.round(options.backgroundPerSecond * options.seconds)
  const probeTotal = Math.round(options.probesPerSecond * options.seconds)
  let sent = 0
  let probes = 0
  while (sent < backgroundTotal || probes < probeTotal) {
    const elapsed = seconds() - started
    const due = Math.min(backgroundTotal, Math.floor(elapsed * options.backgroundPerSecond)) - sent
    const probeDue = probes < probeTotal && elapsed * options.probesPerSecond >= probes
    // The probe goes after half of what is due, so that it is neither the first nor the last of its turn.
    const before = probeDue ? due >> 1 : due
    if (before > 0) await background(before)
    if (probeDue) await probe(probes++)
    if (due > before) await background(due - before)
    sent += Math.max(0, due)
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
  return { background: sent, probes }
}

/**
 * Does something with all of these, so many in a turn of the event loop.
 */
export const inTurns = async <A>(
  all: ReadonlyArray<A>,
  inTurn: number,
  use: (some: ReadonlyArray<A>) => void | Promise<void>
): Promise<void> => {
  for (let at = 0; at < all.length; at += inTurn) {
    await use(all.slice(at, at + inTurn))
    await new Promise((resolve) => setImmediate(resolve))
  }
}

/**
 * Answers that probes are sent, by what sends one to a user.
 */
export const onSpreadProbes = (
  send: (user: string, probe: Payload & { readonly sentAt: number }) => void | Promise<void>
) =>
  on(spreadProbes, async ({ count, from, perSecond, users }) => {
    let sent = 0
    const sendMore = async (more: number) => {
      for (const end = sent + more; sent < end; sent++) {
        await send(users[sent % users.length] ?? "", { ...payloadOf(from + sent), sentAt: seconds() })
      }
    }
    const rates = { backgroundPerSecond: perSecond, probesPerSecond: 0, seconds: count / perSecond }
    await atRates(rates, sendMore, () => undefined)
    return {}
  })
