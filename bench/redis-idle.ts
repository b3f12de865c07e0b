/**
 * What does Redis hold and do for a user who is connected and to whom nothing happens?
 *
 * One process follows all users and polls each every few seconds, in place of every 30. Beside it stands a process that
 * subscribes to as many channels and does nothing else.
 */
import { Context, Effect, Layer, Scope } from "effect"
import { createClient } from "redis"
import { Broker, Identity } from "../src/index.ts"
import { RedisBroker } from "../src/broker/redis/index.ts"
import { settledMemory } from "./contestants/shared.ts"
import { check, compare, type Figure, type Question, type Settings } from "./harness/question.ts"
import { type Redis, withRedis } from "./harness/redis.ts"
import { summarize } from "./harness/statistics.ts"
import { userOf } from "./harness/workload.ts"

const pollSeconds = 4

const sleep = (seconds: number) => new Promise((resolve) => setTimeout(resolve, seconds * 1000))

/** What following one user costs: memory of Redis and of this process, and Redis's processor time for one poll. */
interface Cost {
  readonly memory: number
  readonly heap: number
  readonly poll: number
}

const measure = async (redis: Redis, count: number, follow: () => Promise<void>): Promise<Cost> => {
  const before = await redis.usage()
  const { heap: heapBefore } = await settledMemory()
  await follow()
  const { heap: heapAfter } = await settledMemory()
  const followed = await redis.usage()
  await sleep(2 * pollSeconds)
  const polled = await redis.usage()
  return {
    memory: (followed.memory - before.memory) / count,
    heap: (heapAfter - heapBefore) / count,
    poll: (polled.cpu - followed.cpu) / count / 2
  }
}

const ours = async (redis: Redis, count: number, scope: Scope.Scope): Promise<Cost> => {
  const layer = RedisBroker.layer({ url: redis.url, poll: `${pollSeconds} seconds` })
  const broker = Context.get(await Effect.runPromise(Layer.build(layer).pipe(Scope.provide(scope))), Broker.Broker)
  const users = Array.from({ length: count }, (_, index) => Identity.UserId.make(userOf(index)))
  const cost = await measure(redis, count, () =>
    Effect.runPromise(
      Effect.forEach(users, (user) => broker.subscribe(user, () => undefined), { concurrency: 64, discard: true }).pipe(
        Scope.provide(scope)
      )
    ))
  const readers = await Effect.runPromise(Effect.forEach(users, broker.readers, { concurrency: 64 }))
  check(readers.every((number) => number === 1), "not every user has one reader")
  return cost
}

const plain = async (redis: Redis, count: number, scope: Scope.Scope): Promise<Cost> => {
  const client = createClient({ url: redis.url, RESP: 2 })
  await client.connect()
  await Effect.runPromise(Scope.addFinalizer(scope, Effect.sync(() => client.destroy())))
  const channels = Array.from({ length: count }, (_, index) => `plain:{${userOf(index)}}`)
  return measure(redis, count, () => client.subscribe(channels, () => undefined))
}

const figure = (contestant: string, unit: Figure["unit"], value: number): Figure => ({
  contestant,
  unit,
  value: summarize([value])
})

const compareAll = async (start: () => Promise<Redis>, scope: Scope.Scope, settings: Settings) => {
  const count = settings.quick ? 2_000 : 10_000
  settings.progress("effect-emitter")
  const [a, b] = [await ours(await start(), count, scope), await plain(await start(), count, scope)]
  const [subject, baseline] = ["effect-emitter", "plain SUBSCRIBE"]
  const row = (what: string, unit: Figure["unit"], of: keyof Cost) =>
    compare(
      `${what}, one of ${count.toLocaleString("en")}`,
      figure(subject, unit, a[of]),
      figure(baseline, unit, b[of])
    )
  return {
    comparisons: [
      row("Redis's memory for an idle user", "bytes", "memory"),
      row("a process's heap for an idle user", "bytes", "heap"),
      row("Redis's processor time for a poll of an idle user", "seconds", "poll")
    ],
    notes: []
  }
}

export const question: Question = {
  asks: "an idle user over Redis",
  answer: (settings) => withRedis((start, scope) => compareAll(start, scope, settings))
}
