/**
 * How long does it take, once Redis is back from an outage in which programs went on emitting, until all of it is in
 * the log and every device has everything?
 *
 * Redis is frozen, so that nothing answers while connections stay: the worst of outages. Emitters go on into their
 * spool until it thaws. Beside the time from then on stands the floor: the same events, emitted as fast as can be with
 * no outage at all. The rest is what passes until a broker that is back is tried again.
 */
import * as calls from "./contestants/calls.ts"
import { type Helper, withHelpers } from "./harness/process.ts"
import { check, compare, type Figure, figureAtMost, type Question, type Settings } from "./harness/question.ts"
import { type Redis, withRedis } from "./harness/redis.ts"
import { type Contestant, interleave } from "./harness/rounds.ts"
import { summarize } from "./harness/statistics.ts"
import { userOf } from "./harness/workload.ts"

const users = Array.from({ length: 100 }, (_, index) => userOf(index))
const perSecond = 1_000

const sleep = (seconds: number) => new Promise((resolve) => setTimeout(resolve, seconds * 1000))

const figure = (samples: ReadonlyArray<number>): Figure => ({
  contestant: "effect-emitter",
  unit: "seconds",
  value: summarize(samples)
})

const compareAll = async (
  start: (file: string, ...args: ReadonlyArray<string>) => Helper,
  redis: Redis,
  settings: Settings
) => {
  const outage = settings.quick ? 6 : 10
  const count = perSecond * (outage + 1)
  const sender = start("emitter-server.ts", "batched", redis.url)
  const gateway = start("emitter-server.ts", "idle", redis.url)
  const receiver = start("receiver.ts")
  await sender.ask(calls.listen, { users })
  const { tickets, url } = await gateway.ask(calls.listen, { users })
  await receiver.ask(calls.connect, { dialect: "client", url, users, tickets })
  const drained: Array<number> = []

  const undisturbed: Contestant = async () => {
    await receiver.ask(calls.expect, { from: 0, count, users: users.length })
    const { startedAt } = await sender.ask(calls.spread, { users, from: 0, count })
    const { finishedAt } = await receiver.ask(calls.received, {})
    return finishedAt - startedAt
  }

  const outlived: Contestant = async () => {
    const before = await sender.ask(calls.drained, {})
    await receiver.ask(calls.expect, { from: 0, count, users: users.length })
    const emitting = sender.ask(calls.spread, { users, from: 0, count, perSecond })
    await sleep(1)
    await redis.freeze()
    await Promise.all([sleep(outage), emitting])
    const thawedAt = await redis.thaw()
    const [{ at, lost, spooled }, { finishedAt }] = await Promise.all([
      sender.ask(calls.drained, {}),
      receiver.ask(calls.received, {})
    ])
    check(lost === 0, `${lost} events were lost`)
    // Appends are tried three times, a second each, before the spool takes over.
    const least = perSecond * (outage - 5)
    check(spooled - before.spooled >= least, `only ${spooled - before.spooled} events have been through the spool`)
    drained.push(at - thawedAt)
    return finishedAt - thawedAt
  }

  const figures = await interleave(
    { "effect-emitter": outlived, "without an outage": undisturbed },
    "seconds",
    { rounds: settings.quick ? 1 : 3, warmUps: 0 },
    settings
  )
  const after = `after Redis was frozen for ${outage} s`
  const floor = figures["without an outage"]
  return {
    comparisons: [
      compare(`every device has everything, ${after}`, figures["effect-emitter"], floor, figureAtMost(1)),
      compare(`the spool is drained, ${after}`, figure(drained), floor)
    ],
    notes: [`${perSecond.toLocaleString("en")} events/s to ${users.length} users, ${count.toLocaleString("en")} in all`]
  }
}

export const question: Question = {
  asks: "catching up after an outage of Redis",
  answer: (settings) =>
    withRedis(async (startRedis) => {
      const redis = await startRedis()
      return withHelpers((start) => compareAll(start, redis, settings))
    })
}
