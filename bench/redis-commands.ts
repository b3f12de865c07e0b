/**
 * How many commands does one Redis take from devices to runs and back, at what cost in its processor time, and how long is
 * one on its way?
 *
 * One broker sends, another has the runs, over one Redis. Many users send at once, each its next command when it knows
 * what became of the last. The baseline publishes each command to the process that has the run, and what became of it
 * back: it remembers nothing, refuses nothing, and loses what is published while somebody is not there.
 */
import { Context, Duration, Effect, Layer, Scope } from "effect"
import { createClient } from "redis"
import { Broker, Identity } from "../src/index.ts"
import * as Command from "../src/protocol/command/Command.ts"
import { RedisBroker } from "../src/broker/redis/index.ts"
import { seconds } from "./harness/clock.ts"
import { check, compare, type Figure, type Question, type Settings } from "./harness/question.ts"
import { type Redis, withRedis } from "./harness/redis.ts"
import { type Contestant, interleave } from "./harness/rounds.ts"
import { summarize } from "./harness/statistics.ts"
import { toEnvelope } from "../test/support/envelopes.ts"
import { userOf } from "./harness/workload.ts"

const users = Array.from({ length: 64 }, (_, index) => Identity.UserId.make(userOf(index)))
const run = Identity.RunId.make("r")
const data = { text: "shorter, please" }

interface Commander {
  /** Sends a command, and waits for its outcome. */
  readonly send: (user: Identity.UserId) => Promise<void>
  /** How many commands have come to their runs. */
  readonly count: () => number
}

/** This package's brokers, in no hurry: what is asked is how much Redis takes. */
const ours = async (url: string, scope: Scope.Scope): Promise<Commander> => {
  const slowly = { deadline: "30 seconds", silence: "30 seconds", lease: "2 minutes" } as const
  const build = Layer.build(Layer.fresh(RedisBroker.layer({ url, ...slowly }))).pipe(Scope.provide(scope))
  const [gateway, holder] = await Effect.runPromise(
    Effect.map(Effect.all([build, build]), (built) => built.map((one) => Context.get(one, Broker.Broker)))
  )
  check(gateway?.commands !== undefined && holder?.commands !== undefined, "the broker takes no commands")
  const { send } = gateway.commands
  let taken = 0
  await Effect.runPromise(Scope.provide(
    holder.commands.receive(() =>
      Effect.sync(() => {
        taken++
        return Command.accepted
      })
    ),
    scope
  ))
  const start = { id: "s.1", source: "s.", sequence: 1, at: 0, run, type: "agent_started", data: { agentName: "a" } }
  await Effect.runPromise(
    Effect.forEach(users, (user) => holder.append(user, [toEnvelope(start)]), { discard: true })
  )
  let sent = 0
  return {
    send: async (user) => {
      const id = Command.CommandId.make(`c${sent++}`)
      const outcome = await Effect.runPromise(send(user, { id, run, name: "steer", data }, Duration.seconds(60)))
      check(outcome.outcome === "accepted", `a command was refused: ${JSON.stringify(outcome)}`)
    },
    count: () => taken
  }
}

const plain = async (url: string, scope: Scope.Scope): Promise<Commander> => {
  const connect = async () => {
    const client = createClient({ url, RESP: 2, commandOptions: { timeout: 0 } })
    await client.connect()
    await Effect.runPromise(Scope.addFinalizer(scope, Effect.sync(() => client.destroy())))
    return client
  }
  const [gateway, gatewayHears, holder, holderHears] = [
    await connect(),
    await connect(),
    await connect(),
    await connect()
  ]
  const waiting = new Map<string, () => void>()
  let taken = 0
  await gatewayHears.subscribe("gateway", (message) => {
    const { id } = JSON.parse(message)
    waiting.get(id)?.()
    waiting.delete(id)
  })
  await holderHears.subscribe("holder", (message) => {
    taken++
    const { id } = JSON.parse(message)
    void holder.publish("gateway", JSON.stringify({ id, outcome: "accepted" }))
  })
  let sent = 0
  return {
    send: (user) =>
      new Promise((resolve, reject) => {
        const id = `c${sent++}`
        waiting.set(id, resolve)
        gateway.publish("holder", JSON.stringify({ id, user, run, name: "steer", data })).catch(reject)
      }),
    count: () => taken
  }
}

/** Commands per second from all users at once, what each cost Redis, and how long one alone is on its way. */
const makeContestant = (name: string, redis: Redis, { count, send }: Commander, perUser: number) => {
  const cpu: Array<number> = []
  const latencies: Array<number> = []
  const contestant: Contestant = async (round) => {
    const had = count()
    const before = await redis.usage()
    const startedAt = seconds()
    await Promise.all(users.map(async (user) => {
      for (let n = 0; n < perUser; n++) await send(user)
    }))
    const spent = seconds() - startedAt
    const after = await redis.usage()
    const sent = perUser * users.length
    check(count() - had === sent, `${sent} commands were sent, ${count() - had} have come`)
    const alone: Array<number> = []
    for (const user of users) {
      const sentAt = seconds()
      await send(user)
      alone.push(seconds() - sentAt)
    }
    if (round >= 0) {
      cpu.push((after.cpu - before.cpu) / sent)
      latencies.push(alone.toSorted((a, b) => a - b)[alone.length >> 1] ?? 0)
    }
    return sent / spent
  }
  const figure = (samples: ReadonlyArray<number>): Figure => ({
    contestant: name,
    unit: "seconds",
    value: summarize(samples)
  })
  return { contestant, cpu: () => figure(cpu), latency: () => figure(latencies) }
}

const compareAll = async (start: () => Promise<Redis>, scope: Scope.Scope, settings: Settings) => {
  const perUser = settings.quick ? 32 : 96
  const make = async (name: string, connect: typeof ours) => {
    const redis = await start()
    return makeContestant(name, redis, await connect(redis.url, scope), perUser)
  }
  const [a, b] = [await make("effect-emitter", ours), await make("plain PUBLISH", plain)]
  const figures = await interleave(
    { "effect-emitter": a.contestant, "plain PUBLISH": b.contestant },
    "per second",
    settings.quick ? { rounds: 3, warmUps: 1 } : { rounds: 5, warmUps: 1 },
    settings
  )
  return {
    comparisons: [
      compare("commands through one Redis, decided and answered", figures["effect-emitter"], figures["plain PUBLISH"]),
      compare("Redis's processor time for a command", a.cpu(), b.cpu()),
      compare("from sending a command to its outcome, median", a.latency(), b.latency())
    ],
    notes: []
  }
}

export const question: Question = {
  asks: "commands through one Redis, to their runs and back",
  answer: (settings) => withRedis((start, scope) => compareAll(start, scope, settings))
}
