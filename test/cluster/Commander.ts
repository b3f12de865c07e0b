/**
 * Asks things of runs, from any of their user's devices, while faults strike; and remembers what it was told.
 */
import { Effect, Schema } from "effect"
import { Command } from "../../src/index.ts"
import { type Draw, seeded } from "../support/random.ts"
import type { Device, Devices, Log } from "./Devices.ts"

/** A command of the agents' own. */
export const Steer = Command.make("steer", { payload: { n: Schema.Finite } })

/** The one request that an agent has, where it asks at all. */
export const requestId = "request-1"

/**
 * A command, by its number, and what its device was told: nothing where nobody knows. `heardAt` is how far devices had come in
 * their log by then.
 */
export interface Sent {
  readonly n: number
  readonly run: string
  readonly user: string
  readonly name: "cancel" | "answer" | "steer"
  outcome: Command.Outcome | "unknown"
  heardAt: number
}

const giveUpMs = 40_000

const pick = (devices: Devices, draw: Draw): { readonly user: string; readonly run: string } | undefined => {
  const logs = [...devices.logs.values()].filter(({ open }) => open.size > 0)
  if (logs.length === 0) return undefined
  const { open, user } = draw.pick(logs)
  return { user, run: draw.pick([...open]) }
}

const lastOffset = (log: Log | undefined): number =>
  Math.max(0, ...Array.from(log?.events.keys() ?? [], (key) => Number(key.slice(key.lastIndexOf(":") + 1))))

const ask = async (device: Device, sent: Sent, log: Log | undefined): Promise<void> => {
  const { n, name, run } = sent
  const commands = device.commands(run)
  const options = { timeoutMs: giveUpMs }
  try {
    sent.outcome = name === "cancel"
      ? await commands.cancel(options)
      : name === "answer"
      ? await commands.answer(requestId, String(n), options)
      : await commands.send(Steer, { n }, options)
    sent.heardAt = lastOffset(log)
  } catch {
    // Nobody knows what became of it: its device gave up, or was reloaded.
  }
}

/** Sends so many commands, spread over this time, and waits for what becomes of the last. */
export const command = (
  devices: Devices,
  { count, ms, seed }: { readonly count: number; readonly ms: number; readonly seed: number }
): Effect.Effect<ReadonlyArray<Sent>> =>
  Effect.gen(function*() {
    const draw = seeded(seed ^ 0x2545f491)
    const all: Array<Sent> = []
    const under: Array<Promise<void>> = []
    for (let n = 1; n <= count; n++) {
      yield* Effect.sleep(ms / count)
      const target = pick(devices, draw)
      if (target === undefined) continue
      const { run, user } = target
      const device = draw.pick(devices.all.filter((device) => device.user === user))
      const name = draw.pick(["cancel", "answer", "answer", "steer", "steer", "steer"] as const)
      const sent: Sent = { n, run, user, name, outcome: "unknown", heardAt: 0 }
      all.push(sent)
      under.push(ask(device, sent, devices.logs.get(user)))
    }
    yield* Effect.promise(() => Promise.all(under))
    return all
  })
