/**
 * How long does one turn of the server's event loop work, and how long does collecting garbage stop it?
 *
 * Asked twice: while 10,000 batched events per second go to 20 connections, and when each of 10,000 connected users gets
 * one event within one window. Whatever else the server is to do waits for the turn that is under way. The baseline sends
 * every event with `ws.send`, at the same times.
 */
import * as calls from "./contestants/calls.ts"
import { type Helper, withHelpers } from "./harness/process.ts"
import { compare, type Figure, figureAtMost, type Question, type Settings } from "./harness/question.ts"
import { type Contestant, interleave } from "./harness/rounds.ts"
import { summarize } from "./harness/statistics.ts"
import { userOf } from "./harness/workload.ts"

type Start = (file: string, ...args: ReadonlyArray<string>) => Helper
type Turns = (typeof calls.turns.result)["Type"]
type Work = (server: Helper) => Promise<{ readonly background: number }>

const ours = "effect-emitter"
const ws = "ws, a message per event"

/** A contestant whose figure is the longest turn of a round, and the rest of what its rounds showed. */
const makeContestant = async (
  start: Start,
  name: string,
  server: Helper,
  dialect: calls.Dialect,
  count: number,
  work: Work
) => {
  const users = Array.from({ length: count }, (_, index) => userOf(index))
  const receiver = start("receiver.ts")
  const { tickets, url } = await server.ask(calls.listen, { users })
  await receiver.ask(calls.connect, { dialect, url, users, tickets })
  const rounds: Array<Turns> = []
  const contestant: Contestant = async (round) => {
    await server.ask(calls.turns, {})
    const { background } = await work(server)
    await receiver.ask(calls.latencies, { probes: 0, background })
    const turns = await server.ask(calls.turns, {})
    if (round >= 0) rounds.push(turns)
    return turns.longest
  }
  const figure = (part: keyof Turns): Figure => ({
    contestant: name,
    unit: "seconds",
    value: summarize(rounds.map((turns) => Math.max(turns[part], shortest)))
  })
  return { contestant, figure }
}

/** In seconds. What is shorter, or did not happen at all, counts as this, so that there is a ratio. */
const shortest = 0.000_01

const compareAt = (what: string, users: number, aim: number, work: Work, settings: Settings) =>
  withHelpers(async (start) => {
    const a = await makeContestant(start, ours, start("emitter-server.ts", "batched"), "emitter", users, work)
    const b = await makeContestant(start, ws, start("ws-server.ts", "plain"), "ws", users, work)
    await interleave(
      { [ours]: a.contestant, [ws]: b.contestant },
      "seconds",
      settings.quick ? { rounds: 3, warmUps: 1 } : { rounds: 5, warmUps: 1 },
      settings
    )
    const both = (name: string, part: keyof Turns, target?: number) =>
      compare(
        `${name}, ${what}`,
        a.figure(part),
        b.figure(part),
        target === undefined ? undefined : figureAtMost(target)
      )
    return [
      both("99 of 100 turns", "p99"),
      both("longest turn", "longest"),
      both("longest turn without its garbage", "longestWorking", aim),
      both("longest pause for garbage", "longestCollection", 0.002)
    ]
  })

export const question: Question = {
  asks: "the longest turn of the event loop, and the longest pause for garbage",
  answer: async (settings) => {
    const seconds = settings.quick ? 2 : 5
    const users = settings.quick ? 2_000 : 10_000
    const steadily: Work = (server) =>
      server.ask(calls.pace, { backgroundPerSecond: 10_000, probesPerSecond: 0, seconds })
    const atOnce: Work = (server) => server.ask(calls.window, { inTurn: 50 })
    return {
      comparisons: [
        ...await compareAt("10,000 events/s to 20 connections", 20, 0.001, steadily, settings),
        ...await compareAt(`${users.toLocaleString("en")} users in one window`, users, 0.005, atOnce, settings)
      ],
      notes: [
        "A turn is as long as the processor time it used. Pauses for garbage are by the clock: on a busy machine they are longer."
      ]
    }
  }
}
