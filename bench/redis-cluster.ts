/**
 * What do two processes deliver over one Redis: how many events per second, how soon, and at what cost?
 *
 * One process emits, the connections are at the other, a third holds all the clients. Beside it stands Socket.IO with
 * its Redis Streams adapter, each over a Redis of its own.
 */
import * as calls from "./contestants/calls.ts"
import { latenciesOf } from "./harness/latencies.ts"
import { type Helper, withHelpers } from "./harness/process.ts"
import { atLeast, check, compare, type Figure, type Question, type Settings } from "./harness/question.ts"
import { type Redis, withRedis } from "./harness/redis.ts"
import { type Contestant, interleave } from "./harness/rounds.ts"
import { summarize } from "./harness/statistics.ts"
import { type Processes as TwoProcesses, spread, startProcesses } from "./harness/two-processes.ts"
import { userOf } from "./harness/workload.ts"

const rates = { backgroundPerSecond: 2_000, probesPerSecond: 200 }
const parts = { p50: 0.5, p99: 0.99 }

interface Processes extends TwoProcesses {
  readonly redis: Redis
}

type Start = (file: string, ...args: ReadonlyArray<string>) => Helper

const costs = [
  "Redis's processor time",
  "the sender's processor time",
  "the gateway's processor time",
  "the receiver's processor time",
  "the processor time of all four",
  "Redis's traffic"
] as const
type Cost = typeof costs[number]

const used = async ({ gateway, receiver, redis, sender }: Processes): Promise<Record<Cost, number>> => {
  const { cpu, network } = await redis.usage()
  const [sending, serving, receiving] = await Promise.all(
    [sender, gateway, receiver].map((helper) => helper.ask(calls.cpu, {}))
  )
  check(sending !== undefined && serving !== undefined && receiving !== undefined, "a process tells no processor time")
  return {
    "Redis's processor time": cpu,
    "the sender's processor time": sending,
    "the gateway's processor time": serving,
    "the receiver's processor time": receiving,
    "the processor time of all four": cpu + sending + serving + receiving,
    "Redis's traffic": network
  }
}

/** Events per second to the first so many users, and what each of them cost. */
const throughput = (name: string, processes: Processes, among: number, count: number) => {
  const samples: Record<Cost, Array<number>> = {
    "Redis's processor time": [],
    "the sender's processor time": [],
    "the gateway's processor time": [],
    "the receiver's processor time": [],
    "the processor time of all four": [],
    "Redis's traffic": []
  }
  const users = processes.users.slice(0, among)
  const contestant: Contestant = async (round) => {
    const before = await used(processes)
    const perSecond = await spread(processes, users, count)
    const after = await used(processes)
    if (round >= 0) { for (const cost of costs) samples[cost].push((after[cost] - before[cost]) / count) }
    return perSecond
  }
  const cost = (of: Cost): Figure => ({
    contestant: name,
    unit: of === "Redis's traffic" ? "bytes" : "seconds",
    value: summarize(samples[of])
  })
  return { contestant, cost }
}

const latency = (name: string, { receiver, sender }: Processes, seconds: number) =>
  latenciesOf(name, sender, receiver, { ...rates, seconds })

const adapter = "Socket.IO, Redis Streams adapter"

const compareAll = async (start: Start, startRedis: () => Promise<Redis>, settings: Settings) => {
  const [few, many] = [100, 1_000]
  const users = Array.from({ length: many }, (_, index) => userOf(index))
  const count = settings.quick ? 10_000 : 60_000
  const rounds = settings.quick ? { rounds: 3, warmUps: 2 } : { rounds: 5, warmUps: 2 }

  const ours = async (mode: "batched" | "critical") => {
    const redis = await startRedis()
    const roles = { sender: ["emitter-server.ts", mode, redis.url], gateway: ["emitter-server.ts", "idle", redis.url] }
    return { ...await startProcesses(start, users, (role) => roles[role], "emitter"), redis }
  }
  const batched = await ours("batched")
  const critical = await ours("critical")
  const redis = await startRedis()
  const server = () => ["socketio-node.ts", redis.url]
  const socketIo = { ...await startProcesses(start, users, server, "socket.io"), redis }

  const comparisons = []
  for (const among of [few, many]) {
    const contestants = {
      "effect-emitter": throughput("effect-emitter", batched, among, count),
      "effect-emitter, critical": throughput("effect-emitter", critical, among, count),
      [adapter]: throughput(adapter, socketIo, among, count)
    }
    const figures = await interleave(
      {
        "effect-emitter": contestants["effect-emitter"].contestant,
        "effect-emitter, critical": contestants["effect-emitter, critical"].contestant,
        [adapter]: contestants[adapter].contestant
      },
      "per second",
      rounds,
      settings
    )
    const suffix = `over Redis, ${among.toLocaleString("en")} users`
    const theirs = contestants[adapter]
    comparisons.push(
      compare(`batched, ${suffix}`, figures["effect-emitter"], figures[adapter], atLeast(5)),
      compare(`critical, ${suffix}`, figures["effect-emitter, critical"], figures[adapter])
    )
    for (const cost of costs) {
      comparisons.push(
        compare(
          `${cost} for an event, batched, ${suffix}`,
          contestants["effect-emitter"].cost(cost),
          theirs.cost(cost)
        ),
        compare(
          `${cost} for an event, critical, ${suffix}`,
          contestants["effect-emitter, critical"].cost(cost),
          theirs.cost(cost)
        )
      )
    }
  }

  const seconds = settings.quick ? 2 : 4
  const ourLatency = latency("effect-emitter", critical, seconds)
  const theirLatency = latency(adapter, socketIo, seconds)
  await interleave(
    { "effect-emitter": ourLatency.contestant, [adapter]: theirLatency.contestant },
    "seconds",
    { rounds: 3, warmUps: 1 },
    settings
  )
  const row = (part: keyof typeof parts) =>
    compare(
      `latency over Redis, ${part}, beside 2,000 events/s to 1,000 users`,
      ourLatency.figure(parts[part]),
      theirLatency.figure(parts[part])
    )
  return { comparisons: [...comparisons, row("p50"), row("p99")], notes: [] }
}

export const question: Question = {
  asks: "two processes over one Redis",
  answer: (settings) => withRedis((redis) => withHelpers((start) => compareAll(start, redis, settings)))
}
