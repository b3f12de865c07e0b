/**
 * How much does one Redis take as batches grow: events per second, and at what cost in its processor time and memory?
 *
 * Many users are appended to at once, each one batch at a time, over one connection. The baseline sends the same events
 * in plain `XADD` commands, as many on their way at once: without offsets, without taking each event once, without
 * bounds and without waking anybody, no program could write them for much less. Beside both stands an append without its
 * short path, which does for each event what only some of them need.
 */
import { Context, Effect, Layer, Scope } from "effect"
import { createClient } from "redis"
import { Broker, Identity } from "../src/index.ts"
import type { Envelope } from "../src/protocol/index.ts"
import { RedisBroker } from "../src/broker/redis/index.ts"
import { AppendScript } from "../src/broker/redis/operations/Appender.ts"
import { append, appendInFull } from "../src/broker/redis/scripts/AppendLua.ts"
import type { Script } from "../src/broker/redis/scripts/Script.ts"
import { type Batch, envelopes, inBatches } from "./harness/batches.ts"
import { seconds } from "./harness/clock.ts"
import { atMost, check, compare, type Figure, type Question, type Settings } from "./harness/question.ts"
import { type Redis, withRedis } from "./harness/redis.ts"
import { type Contestant, interleave } from "./harness/rounds.ts"
import { summarize } from "./harness/statistics.ts"
import { userOf } from "./harness/workload.ts"

const sizes = [1, 16, 64, 256]
const inFull = "effect-emitter, each in full"
const users = Array.from({ length: 128 }, (_, index) => Identity.UserId.make(userOf(index)))

interface Appender {
  /** Appends the batches of one user after each other. */
  readonly append: (user: Identity.UserId, batches: ReadonlyArray<Batch>) => Promise<void>
  /** How many events of all users are in Redis. */
  readonly count: () => Promise<number>
}

/** This package's broker, with its defaults, but in no hurry: what is asked is how much Redis takes, not how soon. */
const oursBy = (script: Script) => async (url: string, scope: Scope.Scope): Promise<Appender> => {
  const slowly = { deadline: "30 seconds", silence: "30 seconds", lease: "2 minutes" } as const
  const built = Layer.build(Layer.fresh(RedisBroker.layer({ url, ...slowly }))).pipe(
    Effect.provideService(AppendScript, script),
    Scope.provide(scope)
  )
  const broker = Context.get(await Effect.runPromise(built), Broker.Broker)
  return {
    append: (user, batches) =>
      Effect.runPromise(Effect.forEach(batches, (batch) => broker.append(user, batch), { discard: true })),
    count: async () => {
      const heads = await Effect.runPromise(Effect.forEach(users, broker.head, { concurrency: 64 }))
      return heads.reduce((sum, { offset }) => sum + offset, 0)
    }
  }
}

const fieldsOf = ({ at, body, bytes, delivery, run, thread, type }: Envelope.Envelope): ReadonlyArray<string> => [
  "h",
  JSON.stringify([type, delivery, at, run, thread, bytes]),
  "b",
  body
]

const plain = async (url: string, scope: Scope.Scope): Promise<Appender> => {
  const client = createClient({ url, RESP: 2, commandOptions: { timeout: 0 } })
  await client.connect()
  await Effect.runPromise(Scope.addFinalizer(scope, Effect.sync(() => client.destroy())))
  const keyOf = (user: string) => `plain:{${user}}`
  return {
    append: async (user, batches) => {
      for (const batch of batches) {
        await Promise.all(batch.map((event) => client.sendCommand(["XADD", keyOf(user), "*", ...fieldsOf(event)])))
      }
    },
    count: async () => {
      const lengths = await Promise.all(users.map((user) => client.xLen(keyOf(user))))
      return lengths.reduce((sum, length) => sum + length, 0)
    }
  }
}

/** Events per second with batches of this size, and what each event cost. */
const makeContestant = (name: string, redis: Redis, appender: Appender, size: number, perUser: number) => {
  const cpu: Array<number> = []
  const memory: Array<number> = []
  let from = 0
  const contestant: Contestant = async (round) => {
    const work = users.map((user) => ({ user, batches: inBatches(envelopes(user, from, perUser), size) }))
    from += perUser
    const count = perUser * users.length
    const had = await appender.count()
    const before = await redis.usage()
    const startedAt = seconds()
    await Promise.all(work.map(({ batches, user }) => appender.append(user, batches)))
    const spent = seconds() - startedAt
    const after = await redis.usage()
    const appended = (await appender.count()) - had
    check(appended === count, `${count} events were appended, ${appended} are there`)
    if (round >= 0) {
      cpu.push((after.cpu - before.cpu) / count)
      memory.push((after.memory - before.memory) / count)
    }
    return count / spent
  }
  const figure = (unit: Figure["unit"], samples: ReadonlyArray<number>): Figure => ({
    contestant: name,
    unit,
    value: summarize(samples)
  })
  return { contestant, cpu: () => figure("seconds", cpu), memory: () => figure("bytes", memory) }
}

const perUserOf = (size: number, quick: boolean) => (size === 1 ? 32 : 256) / (quick && size < 256 ? 2 : 1)

const compareAll = async (start: () => Promise<Redis>, scope: Scope.Scope, settings: Settings) => {
  const comparisons = []
  for (const size of sizes) {
    const perUser = perUserOf(size, settings.quick)
    const make = async (name: string, connect: typeof plain) => {
      const redis = await start()
      return makeContestant(name, redis, await connect(redis.url, scope), size, perUser)
    }
    const [a, full, b] = [
      await make("effect-emitter", oursBy(append)),
      await make(inFull, oursBy(appendInFull)),
      await make("plain XADD", plain)
    ]
    const figures = await interleave(
      { "effect-emitter": a.contestant, [inFull]: full.contestant, "plain XADD": b.contestant },
      "per second",
      settings.quick ? { rounds: 3, warmUps: 1 } : { rounds: 5, warmUps: 1 },
      settings
    )
    const what = size === 1 ? "appended one by one" : `appended in batches of ${size}`
    comparisons.push(
      compare(`events ${what}`, figures["effect-emitter"], figures["plain XADD"]),
      compare(`Redis's processor time for an event ${what}`, a.cpu(), b.cpu(), ...(size === 1 ? [atMost(5)] : [])),
      compare(`Redis's processor time for an event ${what}, each in full`, full.cpu(), b.cpu()),
      compare(`Redis's memory for an event ${what}`, a.memory(), b.memory())
    )
  }
  return { comparisons, notes: [] }
}

export const question: Question = {
  asks: "appends through one Redis, by size of batch",
  answer: (settings) => withRedis((start, scope) => compareAll(start, scope, settings))
}
