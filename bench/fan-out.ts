/**
 * How late do events reach 1,000 readers over WebSocket, and 1,000 over server-sent events, and what does the server hold
 * for each of them?
 *
 * Once they are 1,000 users, each with events of their own; once they are 1,000 devices of one user, who all get the same.
 * The baselines do what the title says and no more: `ws.send`, and a response that server-sent events are written to.
 */
import * as calls from "./contestants/calls.ts"
import { roundsOf } from "./harness/latencies.ts"
import { type Helper, withHelpers } from "./harness/process.ts"
import { check, compare, type Comparison, type Figure, type Question, type Settings } from "./harness/question.ts"
import { type Contestant, interleave } from "./harness/rounds.ts"
import { summarize } from "./harness/statistics.ts"
import { userOf } from "./harness/workload.ts"

interface Crowd {
  readonly name: string
  /** Whose connection the one with this number is. */
  readonly userOf: (index: number) => string
  /** How many events the server emits in a second, to all users together. */
  readonly perSecond: number
}

const crowds: ReadonlyArray<Crowd> = [
  { name: "users", userOf, perSecond: 1_000 },
  { name: "devices of one user", userOf: () => userOf(0), perSecond: 5 }
]

const makeContestant = async (
  start: (file: string, ...args: ReadonlyArray<string>) => Helper,
  name: string,
  server: readonly [file: string, mode: string],
  dialect: calls.Dialect,
  crowd: Crowd,
  settings: Settings
) => {
  const readers = settings.quick ? 200 : 1_000
  const perSecond = crowd.perSecond * (settings.quick ? 0.4 : 1)
  const seconds = settings.quick ? 2 : 4
  const ofReader = Array.from({ length: readers }, (_, index) => crowd.userOf(index))
  const users = [...new Set(ofReader)]
  settings.progress(`opening connections: ${name}`)
  const [sender, receiver] = [start(...server), start("receiver.ts")]
  const { tickets, url } = await sender.ask(calls.listen, { users })
  const ticketOf = new Map(users.map((user, index) => [user, tickets[index] ?? ""]))
  const open = (some: ReadonlyArray<string>) =>
    receiver.ask(calls.connect, { dialect, url, users: some, tickets: some.map((user) => ticketOf.get(user) ?? "") })
  // The first connections make what all later ones share, such as compiled code.
  const warm = readers / 10
  await open(ofReader.slice(0, warm))
  const before = await sender.ask(calls.memory, {})
  await open(ofReader.slice(warm))
  const after = await sender.ask(calls.memory, {})
  check(after.connections === readers, `${readers} connections were opened, the server counts ${after.connections}`)
  const held = (after.heap + after.external - before.heap - before.external) / (readers - warm)

  const count = perSecond * seconds
  const probes = count * readers / users.length
  const { add, figure: latency } = roundsOf(name)
  let from = 0
  const contestant: Contestant = async (round) => {
    await sender.ask(calls.spreadProbes, { users, from, count, perSecond })
    const { probes: took } = await receiver.ask(calls.latencies, { probes, background: 0 })
    from += count
    check(took.length === probes, `${probes} events were to come, ${took.length} came`)
    check(took.every((latency) => latency > 0), "an event came before it was sent")
    return add(round, took)
  }
  const memory = (): Figure => ({ contestant: name, unit: "bytes", value: summarize([held]) })
  return { readers, contestant, latency, memory }
}

const compareFor = (crowd: Crowd, settings: Settings): Promise<ReadonlyArray<Comparison>> =>
  withHelpers(async (start) => {
    const make = (name: string, server: readonly [string, string], dialect: calls.Dialect) =>
      makeContestant(start, name, server, dialect, crowd, settings)
    const socket = await make("effect-emitter", ["emitter-server.ts", "critical"], "emitter")
    const plainSocket = await make("ws.send by hand", ["readers-server.ts", "ws"], "ws")
    const stream = await make("effect-emitter", ["emitter-server.ts", "critical"], "sse")
    const plainStream = await make("SSE by hand", ["readers-server.ts", "sse"], "sse")
    await interleave(
      {
        "WebSocket": socket.contestant,
        "ws.send by hand": plainSocket.contestant,
        "SSE": stream.contestant,
        "SSE by hand": plainStream.contestant
      },
      "seconds",
      settings.quick ? { rounds: 2, warmUps: 1 } : { rounds: 3, warmUps: 1 },
      settings
    )
    const lines = (transport: string, ours: typeof socket, plain: typeof socket) => {
      const whom = `${ours.readers.toLocaleString("en")} ${crowd.name} over ${transport}`
      return [
        compare(`latency, p50, ${whom}`, ours.latency(0.5), plain.latency(0.5)),
        compare(`latency, p99, ${whom}`, ours.latency(0.99), plain.latency(0.99)),
        compare(`heap and buffers, one of ${whom}`, ours.memory(), plain.memory())
      ]
    }
    return [...lines("WebSocket", socket, plainSocket), ...lines("SSE", stream, plainStream)]
  })

export const question: Question = {
  asks: "1,000 readers over WebSocket, and 1,000 over SSE",
  answer: async (settings) => {
    const comparisons: Array<Comparison> = []
    for (const crowd of crowds) comparisons.push(...await compareFor(crowd, settings))
    return {
      comparisons,
      notes: [
        `the rates, in events a second to all readers together: ${
          crowds.map(({ name, perSecond }) => `${perSecond} to ${name}`).join(", ")
        }; less in a quick run`
      ]
    }
  }
}
