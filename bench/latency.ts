/**
 * How long is a critical event on its way, while 10,000 other events per second go out?
 *
 * The others are batched events for 20 users with one connection each; the critical ones go to one of these users, 500
 * in a second. The baseline sends every event with `ws.send`, at the same rates.
 */
import { latenciesOfServer } from "./harness/latencies.ts"
import { withHelpers } from "./harness/process.ts"
import { atMost, compare, type Question } from "./harness/question.ts"
import { interleave } from "./harness/rounds.ts"
import { userOf } from "./harness/workload.ts"

const rates = { backgroundPerSecond: 10_000, probesPerSecond: 500 }
const users = Array.from({ length: 20 }, (_, index) => userOf(index))
const parts = { p50: 0.5, p99: 0.99, "p99.9": 0.999 }

type Part = keyof typeof parts

export const question: Question = {
  asks: "latency of a critical event under load",
  answer: (settings) =>
    withHelpers(async (start) => {
      const pace = { ...rates, seconds: settings.quick ? 2 : 5 }
      const ours = await latenciesOfServer(
        start,
        "effect-emitter",
        ["emitter-server.ts", "critical"],
        "emitter",
        users,
        pace
      )
      const ws = await latenciesOfServer(start, "ws, a message per event", ["ws-server.ts", "plain"], "ws", users, pace)
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
