/**
 * One connection, end to end: from the first event that a server process emits to the last that a client process has
 * read, with as many events between as a round takes.
 */
import * as calls from "../contestants/calls.ts"
import type { Helper } from "./process.ts"
import { check, type Settings } from "./question.ts"
import { type Contestant, interleave, roundsFor } from "./rounds.ts"
import { summarize } from "./statistics.ts"
import { userOf } from "./workload.ts"

/**
 * A server process and a client process, and what they showed besides the rate.
 */
export interface Pair {
  readonly contestant: Contestant
  /** How many events a frame held in the last round. */
  readonly perFrame: () => number
  /** Processor time per event, in microseconds: the median of the rounds. */
  readonly cpu: () => { readonly server: number; readonly receiver: number }
}

export const makePair = async (
  start: (file: string, ...args: ReadonlyArray<string>) => Helper,
  options: {
    readonly server: ReadonlyArray<string>
    readonly dialect: calls.Dialect
    readonly count: number
    readonly perFrame?: () => number
  }
): Promise<Pair> => {
  const { count, dialect } = options
  const [file = "", ...args] = options.server
  const server = start(file, ...args)
  const receiver = start("receiver.ts")
  const users = [userOf(0)]
  const { tickets, url } = await server.ask(calls.listen, { users })
  await receiver.ask(calls.connect, { dialect, url, users, tickets })
  let from = 0
  let perFrame = 1
  const serverCpu: Array<number> = []
  const receiverCpu: Array<number> = []

  const measure = async (): Promise<number> => {
    await receiver.ask(calls.expect, { from, count, users: 1 })
    const [{ startedAt }, { finishedAt, frames }] = await Promise.all([
      server.ask(calls.send, { user: userOf(0), from, count, perFrame: options.perFrame?.() ?? 1 }),
      receiver.ask(calls.received, {})
    ])
    check(finishedAt > startedAt, "the last event was received before the first was sent")
    from += count
    perFrame = count / frames
    return count / (finishedAt - startedAt)
  }

  const usage = () => Promise.all([server.ask(calls.cpu, {}), receiver.ask(calls.cpu, {})])

  return {
    perFrame: () => perFrame,
    cpu: () => ({ server: summarize(serverCpu).median, receiver: summarize(receiverCpu).median }),
    contestant: async (round) => {
      const [serverBefore, receiverBefore] = await usage()
      const rate = await measure()
      const [serverAfter, receiverAfter] = await usage()
      if (round >= 0) {
        serverCpu.push((serverAfter - serverBefore) / count * 1e6)
        receiverCpu.push((receiverAfter - receiverBefore) / count * 1e6)
      }
      return rate
    }
  }
}

/**
 * Runs pairs against each other, and tells what they cost besides time.
 */
export const race = async <Name extends string>(pairs: Record<Name, Pair>, settings: Settings) => {
  const contestants = Object.entries<Pair>(pairs).map(([name, pair]) => [name, pair.contestant] as const)
  const figures = await interleave(
    Object.fromEntries(contestants) as Record<Name, Contestant>,
    "per second",
    roundsFor(settings),
    settings
  )
  const costs = Object.entries<Pair>(pairs).map(([name, pair]) => {
    const { receiver, server } = pair.cpu()
    const frames = pair.perFrame() > 1 ? ` (${pair.perFrame().toFixed(0)} events a frame)` : ""
    return `${name} ${server.toFixed(2)} + ${receiver.toFixed(2)}${frames}`
  })
  return { figures, note: `processor time per event in µs, server + client: ${costs.join("; ")}` }
}
