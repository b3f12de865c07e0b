/**
 * What do devices get whose network is cut again and again, and how late?
 *
 * Each device is one user's, and reads through a proxy that resets its connection every 15 s on average and lets it in
 * again 2 s later. Every event is numbered: what did not come, came twice, or came after a later one is counted. The
 * baseline is Socket.IO with connection state recovery, and its own client. Both reconnect by their own defaults.
 */
import * as calls from "./contestants/calls.ts"
import { type Helper, withHelpers } from "./harness/process.ts"
import {
  atMost,
  check,
  compare,
  type Figure,
  figureAtLeast,
  figureAtMost,
  type Question,
  type Settings
} from "./harness/question.ts"
import { type Contestant, interleave } from "./harness/rounds.ts"
import { quantile, summarize } from "./harness/statistics.ts"
import { userOf } from "./harness/workload.ts"

const network = { everySeconds: 15, offlineSeconds: 2 }

type Tally = (typeof calls.tally.result)["Type"]

const makeContestant = async (
  start: (file: string, ...args: ReadonlyArray<string>) => Helper,
  name: string,
  [file, mode]: readonly [string, string],
  dialect: calls.Dialect,
  settings: Settings
) => {
  // Two events a second to each device.
  const devices = settings.quick ? 100 : 500
  const seconds = settings.quick ? 10 : 30
  const perSecond = 2 * devices
  const users = Array.from({ length: devices }, (_, index) => userOf(index))
  const [server, proxy, receiver] = [start(file, mode), start("cutting-proxy.ts"), start("receiver.ts")]
  const { tickets, url } = await server.ask(calls.listen, { users })
  const { urls } = await proxy.ask(calls.openLines, { url, count: devices })
  await receiver.ask(calls.connect, { dialect, url, urls, users, tickets })

  const rounds: Array<{ readonly sorted: ReadonlyArray<number>; readonly tally: Tally; readonly cuts: number }> = []
  const count = perSecond * seconds
  let from = 0
  const contestant: Contestant = async (round) => {
    await receiver.ask(calls.beginTally, { from })
    await proxy.ask(calls.cutLines, network)
    await server.ask(calls.spreadProbes, { users, from, count, perSecond })
    const { cuts } = await proxy.ask(calls.mendLines, {})
    const tally = await receiver.ask(calls.tally, { count, withinSeconds: 15 })
    from += count
    check(cuts > 0, "no connection was cut")
    check(tally.latencies.length > 0, "nothing was received")
    const sorted = tally.latencies.toSorted((a, b) => a - b)
    if (round >= 0) rounds.push({ sorted, tally, cuts })
    return quantile(sorted, 0.99)
  }
  const figure = (unit: Figure["unit"], of: (round: typeof rounds[number]) => number): Figure => ({
    contestant: name,
    unit,
    value: summarize(rounds.map(of))
  })
  const sum = (of: (round: typeof rounds[number]) => number): string =>
    rounds.reduce((total, round) => total + of(round), 0).toLocaleString("en")
  return {
    devices,
    contestant,
    latency: (part: number) => figure("seconds", ({ sorted }) => quantile(sorted, part)),
    /** The part of all events that came once and in order. */
    sound: () =>
      figure("share", ({ tally: { delivered, doubled, outOfOrder } }) => (delivered - doubled - outOfOrder) / count),
    note: () =>
      `${name}: ${(count * rounds.length).toLocaleString("en")} events, ${sum(({ cuts }) => cuts)} cuts, ${
        sum(({ tally }) => tally.delivered)
      } delivered, ${sum(({ tally }) => tally.doubled)} doubled, ${sum(({ tally }) => tally.outOfOrder)} out of order`
  }
}

export const question: Question = {
  asks: "devices whose network is cut again and again",
  answer: (settings) =>
    withHelpers(async (start) => {
      const ours = await makeContestant(
        start,
        "effect-emitter",
        ["emitter-server.ts", "critical"],
        "client",
        settings
      )
      const theirs = await makeContestant(
        start,
        "Socket.IO, connection state recovery",
        ["socketio-server.ts", "recovery"],
        "socket.io, reconnecting",
        settings
      )
      await interleave(
        { ours: ours.contestant, theirs: theirs.contestant },
        "seconds",
        { rounds: settings.quick ? 1 : 3, warmUps: 0 },
        settings
      )
      const devices = `${ours.devices} devices, each cut off every 15 s for 2 s`
      return {
        comparisons: [
          compare(`delivered once and in order, ${devices}`, ours.sound(), theirs.sound(), figureAtLeast(1)),
          compare(`latency, p50, ${devices}`, ours.latency(0.5), theirs.latency(0.5)),
          compare(`latency, p99, ${devices}`, ours.latency(0.99), theirs.latency(0.99), atMost(0.5)),
          compare(
            `latency, p99, against its bound, ${devices}`,
            ours.latency(0.99),
            theirs.latency(0.99),
            figureAtMost(2.6)
          )
        ],
        notes: [ours.note(), theirs.note()]
      }
    })
}
