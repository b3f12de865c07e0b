/**
 * How long is a critical event on its way, while 10,000 other events per second go out?
 *
 * The others are batched events for 20 users with one connection each; the critical ones go to one of these users, 500
 * in a second. The baseline sends every event with `ws.send`, at the same rates.
 */
import * as calls from "./contestants/calls.ts"
import { latenciesOf } from "./harness/latencies.ts"
import { type Helper, withHelpers } from "./harness/process.ts"
import { atMost, compare, type Question } from "./harness/question.ts"
import { interleave } from "./harness/rounds.ts"
import { userOf } from "./harness/workload.ts"

const rates = { backgroundPerSecond: 10_000, probesPerSecond: 500 }
const users = Array.from({ length: 20 }, (_, index) => userOf(index))
const parts = { p50: 0.5, p99: 0.99, "p99.9": 0.999 }

type Part = keyof typeof parts

const makeContestant = async (
  start: (file: string, ...args: ReadonlyArray<string>) => Helper,
  name: string,
  [file, mode]: readonly [string, string],
  dialect: calls.Dialect,
  seconds: number
) => {
  const server = start(file, mode)
  const receiver = start("receiver.ts")
  const { tickets, url } = await server.ask(calls.listen, { users })
  await receiver.ask(calls.connect, { dialect, url, users, tickets })
  return latenciesOf(name, server, receiver, { ...rates, seconds })
}

export const question: Question = {
  asks: "latency of a critical event under load",
  answer: (settings) =>
    withHelpers(async (start) => {
      const seconds = settings.quick ? 2 : 5
      const ours = await makeContestant(start, "effect-emitter", ["emitter-server.ts", "critical"], "emitter", seconds)
      const ws = await makeContestant(start, "ws, a message per event", ["ws-server.ts", "plain"], "ws", seconds)
      await interleave(
        { "effect-emitter": ours.contestant, "ws, a message per event": ws.contestant },
        "seconds",
        settings.quick ? { rounds: 3, warmUps: 1 } : { rounds: 5, warmUps: 1 },
        settings
      )
      const row = (part: Part) =>
        compare(
          `latency, ${part}, beside 10,000 events/s`,
          ours.figure(parts[part]),
          ws.figure(parts[part]),
          part === "p99" ? atMost(1.25) : undefined
        )
      return { comparisons: [row("p50"), row("p99"), row("p99.9")], notes: [] }
    })
}
