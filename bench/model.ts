/**
 * A model on paper: what a million connected users would need, from the figures of a run.
 *
 * It multiplies; it measures nothing. Each line shows its formula, so that other assumptions can be put in by hand, or
 * below.
 */
import type { Figures } from "./harness/figures.ts"

/** What is supposed, not measured. */
const assumed = {
  users: 1_000_000,
  connectionsPerUser: 1.2,
  /** Of all users, how many watch a run at one moment. */
  shareActive: 0.02,
  eventsPerActiveUserAndSecond: 10,
  /** What a batch window of 20 ms gathers of one user, about. */
  eventsPerAppend: 4,
  /** Events of a user that the log still holds, on average over all users. */
  keptEventsPerUser: 100,
  pollSeconds: 30,
  /** Memory of one gateway process that may be used for connections. */
  gatewayBytes: 4 * 1024 ** 3,
  /** Memory of one Redis that may be used for logs. */
  redisBytes: 16 * 1024 ** 3,
  /** How busy a core may be, so that there is room for peaks. */
  utilisation: 0.5
}

const count = (value: number): string => Math.ceil(value).toLocaleString("en")
const micros = (seconds: number): string => `${(seconds * 1e6).toPrecision(3)} µs`
const gib = (bytes: number): string => `${(bytes / 1024 ** 3).toPrecision(3)} GiB`

/**
 * The model for the figures of a run.
 */
export const renderModel = ({ questions, quick }: Figures): string => {
  const measured = (question: string, what: string): number => {
    const comparisons = questions.find(({ name }) => name === question)?.comparisons
    const found = comparisons?.find((comparison) => comparison.what.startsWith(what))
    if (found === undefined) throw new Error(`the figures lack ${JSON.stringify(what)} of ${question}`)
    return found.subject.value.median
  }
  const idleConnection = measured("idle-memory", "resident memory, one of")
  const idleUserInProcess = measured("redis-idle", "a process's heap for an idle user")
  const idleUserInRedis = measured("redis-idle", "Redis's memory for an idle user")
  const poll = measured("redis-idle", "Redis's processor time for a poll of an idle user")
  const appendOfOne = measured("redis-append", "Redis's processor time for an event appended one by one")
  const eventOfMany = measured("redis-append", "Redis's processor time for an event appended in batches of 64")
  const eventInRedis = measured("redis-append", "Redis's memory for an event appended in batches of 16")
  const gateway = measured(
    "redis-cluster",
    "the gateway's processor time for an event, batched, over Redis, 1,000 users"
  )
  const sender = measured("redis-cluster", "the sender's processor time for an event, batched, over Redis, 1,000 users")
  const traffic = measured("redis-cluster", "Redis's traffic for an event, batched, over Redis, 1,000 users")

  const { connectionsPerUser, eventsPerAppend, keptEventsPerUser, pollSeconds, users, utilisation } = assumed
  const connections = users * connectionsPerUser
  const active = users * assumed.shareActive
  const events = active * assumed.eventsPerActiveUserAndSecond
  const appends = events / eventsPerAppend
  const connectionBytes = idleConnection + idleUserInProcess
  const redisEvent = (appendOfOne - eventOfMany) / eventsPerAppend + eventOfMany
  const redisBusy = events * redisEvent + (users / pollSeconds + active * connectionsPerUser) * poll
  const redisMemory = users * (idleUserInRedis + keptEventsPerUser * eventInRedis)
  const redisCores = redisBusy / utilisation
  const redises = Math.max(redisCores, redisMemory / assumed.redisBytes)
  const gatewaysByMemory = connections * connectionBytes / assumed.gatewayBytes
  const gatewaysByCpu = events * connectionsPerUser * gateway / utilisation
  const gateways = Math.max(gatewaysByMemory, gatewaysByCpu)
  const senders = events * sender / utilisation

  const lines: ReadonlyArray<readonly [string, string, string]> = [
    ["connections", `${count(users)} users × ${connectionsPerUser}`, count(connections)],
    [
      "events per second",
      `${count(active)} active users × ${assumed.eventsPerActiveUserAndSecond}`,
      count(events)
    ],
    ["appends per second", `events ÷ ${eventsPerAppend} in a batch`, count(appends)],
    [
      "gateways, by memory",
      `connections × (${count(idleConnection)} + ${count(idleUserInProcess)} B) ÷ ${gib(assumed.gatewayBytes)}`,
      count(gatewaysByMemory)
    ],
    [
      "gateways, by processor (one core each)",
      `events × ${connectionsPerUser} × ${micros(gateway)} ÷ ${utilisation}`,
      count(gatewaysByCpu)
    ],
    ["gateways", "the larger of the two", count(gateways)],
    ["cores that emit, without the programs' own work", `events × ${micros(sender)} ÷ ${utilisation}`, count(senders)],
    [
      "Redis's processor time for an event",
      `(${micros(appendOfOne)} − ${micros(eventOfMany)}) ÷ ${eventsPerAppend} + ${micros(eventOfMany)}`,
      micros(redisEvent)
    ],
    [
      "Redis servers, by processor (one core each)",
      `(events × ${micros(redisEvent)} + (users ÷ ${pollSeconds} s + active connections) × ${
        micros(poll)
      }) ÷ ${utilisation}`,
      count(redisCores)
    ],
    [
      "Redis servers, by memory",
      `users × (${count(idleUserInRedis)} + ${keptEventsPerUser} × ${count(eventInRedis)} B) ÷ ${
        gib(assumed.redisBytes)
      }`,
      `${count(redisMemory / assumed.redisBytes)} (${gib(redisMemory)})`
    ],
    ["Redis servers", "the larger of the two; users are spread over them", count(redises)],
    [
      "traffic of all Redis servers",
      `events × ${count(traffic)} B × 8`,
      `${(events * traffic * 8 / 1e9).toPrecision(3)} Gbit/s`
    ]
  ]
  const rows = [["what", "formula", "needed"], ["---", "---", "---"], ...lines]
  return [
    ...(quick ? ["From a quick run: a first impression, not a result.", ""] : []),
    ...rows.map((row) => `| ${row.join(" | ")} |`),
    ""
  ].join("\n")
}
