/**
 * How long probes are on their way beside other events.
 */
import * as calls from "../contestants/calls.ts"
import type { Helper } from "./process.ts"
import { check, type Figure } from "./question.ts"
import type { Contestant } from "./rounds.ts"
import { quantile, summarize } from "./statistics.ts"

export interface Pace {
  readonly backgroundPerSecond: number
  readonly probesPerSecond: number
  readonly seconds: number
}

/** What a contestant's probes took: `add` notes a round that counts, and gives its 99th percentile. */
export const roundsOf = (name: string) => {
  const rounds: Array<ReadonlyArray<number>> = []
  const add = (round: number, probes: ReadonlyArray<number>): number => {
    const sorted = probes.toSorted((a, b) => a - b)
    if (round >= 0) rounds.push(sorted)
    return quantile(sorted, 0.99)
  }
  const figure = (part: number): Figure => ({
    contestant: name,
    unit: "seconds",
    value: summarize(rounds.map((sorted) => quantile(sorted, part)))
  })
  return { add, figure }
}

/** A contestant whose figure is the 99th percentile, and what share of all its probes took how long. */
export const latenciesOf = (name: string, sender: Helper, receiver: Helper, pace: Pace) => {
  const { add, figure } = roundsOf(name)
  const contestant: Contestant = async (round) => {
    const sent = await sender.ask(calls.pace, pace)
    const { probes } = await receiver.ask(calls.latencies, sent)
    check(probes.length === sent.probes, `${sent.probes} probes were sent, ${probes.length} received`)
    check(probes.every((latency) => latency > 0), "a probe was received before it was sent")
    return add(round, probes)
  }
  return { contestant, figure }
}

/** The same of one server process, started with these arguments, whose users have a connection each. */
export const latenciesOfServer = async (
  start: (file: string, ...args: ReadonlyArray<string>) => Helper,
  name: string,
  [file = "", ...args]: ReadonlyArray<string>,
  dialect: calls.Dialect,
  users: ReadonlyArray<string>,
  pace: Pace
) => {
  const server = start(file, ...args)
  const receiver = start("receiver.ts")
  const { tickets, url } = await server.ask(calls.listen, { users })
  await receiver.ask(calls.connect, { dialect, url, users, tickets })
  return latenciesOf(name, server, receiver, pace)
}
