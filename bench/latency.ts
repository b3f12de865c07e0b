/**
 * How long is a critical event on its way, while 10,000 other events per second go out?
 *
 * The others are batched events for 20 users with one connection each; the critical ones go to one of these users, 500
 * in a second. The baseline sends every event with `ws.send`, at the same rates.
 */
import * as calls from "./contestants/calls.ts"
import { type Helper, withHelpers } from "./harness/process.ts"
import { atMost, check, compare, type Figure, type Question } from "./harness/question.ts"
import { type Contestant, interleave } from "./harness/rounds.ts"
import { quantile, summarize } from "./harness/statistics.ts"
import { userOf } from "./harness/workload.ts"

const rates = { backgroundPerSecond: 10_000, probesPerSecond: 500 }
const users = Array.from({ length: 20 }, (_, index) => userOf(index))
const parts = { p50: 0.5, p99: 0.99, "p99.9": 0.999 }

type Part = keyof typeof parts

const makeContestant = async (
  start: (file: string, ...args: ReadonlyArray<string>) => Helper,
  [file, mode]: readonly [string, string],
  dialect: calls.Dialect,
  seconds: number
) => {
  const server = start(file, mode)
  const receiver = start("receiver.ts")
  const { tickets, url } = await server.ask(calls.listen, { users })
  await receiver.ask(calls.connect, { dialect, url, users, tickets })
  const rounds: Array<ReadonlyArray<number>> = []
  const contestant: Contestant = async (round) => {
    const sent = await server.ask(calls.pace, { ...rates, seconds })
    const { probes } = await receiver.ask(calls.latencies, sent)
    check(probes.length === sent.probes, `${sent.probes} probes were sent, ${probes.length} received`)
    check(probes.every((latency) => latency > 0), "a probe was received before it was sent")
    const sorted = probes.toSorted((a, b) => a - b)
    if (round >= 0) rounds.push(sorted)
    return quantile(sorted, parts.p99)
  }
  const figure = (name: string, part: Part): Figure => ({
    contestant: name,
    unit: "seconds",
    value: summarize(rounds.map((sorted) => quantile(sorted, parts[part])))
  })
  return { contestant, figure }
}

export const question: Question = {
  asks: "latency of a critical event under load",
  answer: (settings) =>
    withHelpers(async (start) => {
      const seconds = settings.quick ? 2 : 5
      const ours = await makeContestant(start, ["emitter-server.ts", "critical"], "emitter", seconds)
      const ws = await makeContestant(start, ["ws-server.ts", "plain"], "ws", seconds)
      await interleave(
        { "effect-emitter": ours.contestant, "ws, a message per event": ws.contestant },
        "seconds",
        settings.quick ? { rounds: 3, warmUps: 1 } : { rounds: 5, warmUps: 1 },
        settings
      )
      const row = (part: Part) =>
        compare(
          `latency, ${part}, beside 10,000 events/s`,
          ours.figure("effect-emitter", part),
          ws.figure("ws, a message per event", part),
          part === "p99" ? atMost(1.25) : undefined
        )
      return { comparisons: [row("p50"), row("p99"), row("p99.9")], notes: [] }
    })
}
