/**
 * How soon many devices are back after their network was, in virtual time.
 */
import { assert, describe, it } from "@effect/vitest"
import { statusOf, step, wakeAt } from "../../../src/client/session/DeviceSession.ts"
import type { Input } from "../../../src/client/session/SessionIO.ts"
import { defaults, init } from "../../../src/client/session/SessionState.ts"
import { answerOf } from "../../../src/client/transport/Diagnosis.ts"
import { moment } from "../moment.ts"
import { welcome } from "../FakeSocket.ts"
import { Dice } from "../ModelServer.ts"

interface Profile {
  /** How often the network goes, and for how long: what comes before an outage, and the outage. */
  readonly outages: number
  readonly onlineMs: readonly [min: number, max: number]
  readonly offlineMs: number
}

/** A round trip, in milliseconds. */
const rtt = [5, 40] as const

/** One device: how long after each return of its network it was live, and how often it tried while there was none. */
const device = (seed: number, { offlineMs, onlineMs, outages }: Profile) => {
  const dice = new Dice(seed)
  const recoveries: Array<number> = []
  let attempts = 0
  let now = 1_000
  let online = true
  let changeAt = now + dice.int(...onlineMs)
  let returnedAt: number | undefined
  let onItsWay: Array<{ readonly at: number; readonly input: Input }> = []
  let state = init(defaults, seed, moment(now))

  const later = (input: Input) => {
    onItsWay.push({ at: now + dice.int(...rtt), input })
    onItsWay.sort((a, b) => a.at - b.at)
  }
  const tell = (input: Input): void => {
    const result = step(state, input, moment(now))
    state = result.state
    const { connection } = state
    for (const action of result.actions) {
      if (action._tag === "connect") {
        if (!online) attempts += 1
        later(online ? { _tag: "opened", connection } : { _tag: "closed", connection, code: 1006, reason: "" })
      }
      if (action._tag === "check") {
        later({ _tag: "checked", connection, answer: online ? answerOf(426, "") : undefined })
      }
      if (action._tag === "send" && action.frame.type === "hello") {
        later({ _tag: "message", connection, data: JSON.stringify(welcome({ heartbeatMs: 0 })) })
      }
    }
    if (returnedAt !== undefined && statusOf(state).state === "live") {
      recoveries.push(now - returnedAt)
      returnedAt = undefined
    }
  }

  tell({ _tag: "start" })
  while (recoveries.length < outages) {
    const [next] = onItsWay
    const at = Math.min(changeAt, next?.at ?? Infinity, wakeAt(state) ?? Infinity)
    now = Math.max(now, at)
    if (at === changeAt) {
      online = !online
      changeAt = online ? now + dice.int(...onlineMs) : now + offlineMs
      if (online) {
        returnedAt = now
        continue
      }
      onItsWay = []
      tell({ _tag: "closed", connection: state.connection, code: 1006, reason: "" })
    } else if (at === next?.at) {
      onItsWay.shift()
      tell(next.input)
    } else {
      tell({ _tag: "tick" })
    }
  }
  return { recoveries, attempts: attempts / outages }
}

const run = (name: string, profile: Profile) => {
  const all = Array.from({ length: 500 }, (_, index) => device(index + 1, profile))
  const times = all.flatMap(({ recoveries }) => recoveries).toSorted((a, b) => a - b)
  const at = (part: number) => times[Math.min(times.length - 1, Math.floor(times.length * part))] ?? Infinity
  const attempts = all.reduce((sum, one) => sum + one.attempts, 0) / all.length
  const figures = { p50: at(0.5), p95: at(0.95), p99: at(0.99), p999: at(0.999), max: at(1), attempts }
  process.stdout.write(`${name}: ${JSON.stringify(figures)}\n`)
  return figures
}

describe("fault 23a: the return of a device's network", () => {
  it("brings 99 % of devices back within 0.6 s, when it goes for 2 s every 7 to 22 s", () => {
    const figures = run("cut for 2 s", { outages: 20, onlineMs: [7_000, 22_000], offlineMs: 2_000 })
    assert.isAtMost(figures.p99, 600)
    assert.isAtMost(figures.max, 1_000)
  })

  it("does so when it stays for less than a second, and when it was away for nearly 5 s", () => {
    assert.isAtMost(run("often", { outages: 20, onlineMs: [200, 900], offlineMs: 300 }).p99, 600)
    assert.isAtMost(run("cut for 4 s", { outages: 10, onlineMs: [7_000, 22_000], offlineMs: 4_400 }).p99, 600)
  })

  it("spreads devices after a long outage, and spares a network that is not there", () => {
    const figures = run("cut for 2 min", { outages: 2, onlineMs: [7_000, 22_000], offlineMs: 120_000 })
    assert.isAtLeast(figures.p95, 5_000)
    assert.isAtMost(figures.max, 20_100)
    assert.isAtMost(figures.attempts, 40)
  })
})
