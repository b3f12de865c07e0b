/** A disk that is slow, or does not answer: the event loop goes on, and so do emitters that have a spool. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { Identity } from "effect-emitter"
import { rmSync, writeFileSync } from "node:fs"
import { monitorEventLoopDelay } from "node:perf_hooks"
import { fileURLToPath } from "node:url"
import type { BrokerService } from "../brokerSuite.ts"
import { newUser, numbered, plenty } from "../events.ts"
import { life, speaking } from "./lives.ts"
import { newFile } from "./sqliteFile.ts"

type Said =
  | { readonly n: number; readonly receipt: string }
  | { readonly signal: "down" | "up" }
  | { readonly rested: number; readonly drained: number }

describe("SqliteBroker, a disk that stalls", () => {
  it.live("lets emitters spool, says that it is down, and has each event once when it goes on", () =>
    Effect.gen(function*() {
      const file = yield* newFile
      const flag = `${file}-stalled`
      const child = yield* speaking<Said>("emit-child.ts", [file, `${file}-spool`], {
        node: ["--import", fileURLToPath(new URL("stalling.ts", import.meta.url))],
        environment: { STALLED_WHILE: flag }
      })
      const of = (receipt: string) => child.lines().filter((line) => "receipt" in line && line.receipt === receipt)
      const signals = () => child.lines().flatMap((line) => "signal" in line ? [line.signal] : [])
      yield* child.until(() => of("Appended").length >= 10, "that it appended")

      writeFileSync(flag, "")
      yield* child.until(() => signals().includes("down"), "that the broker is down")
      const spooled = of("HandedOver").length
      yield* child.until(() => of("HandedOver").length >= spooled + 20, "that emitters go on by the spool")

      rmSync(flag)
      const appended = of("Appended").length
      yield* child.until(() => of("Appended").length >= appended + 10, "that it appends again")
      assert.deepStrictEqual(signals().slice(0, 2), ["down", "up"])
      yield* child.tell("SIGUSR2")
      yield* child.until(() => child.lines().some((line) => "rested" in line), "that the spool is empty")
      yield* child.kill

      const rested = child.lines().find((line) => "rested" in line) ?? assert.fail("it did not rest")
      assert.isAtLeast(rested.drained, 20)
      yield* life(file, (broker) =>
        Effect.gen(function*() {
          const user = Identity.UserId.make("u")
          const { epoch } = yield* broker.head(user)
          const { entries } = yield* broker.pull(user, { epoch, offset: 0 }, plenty)
          const numbers = entries.map(({ body }) => Number(/"n":(\d+)/u.exec(body)?.[1]))
          assert.deepStrictEqual(numbers, Array.from({ length: rested.rested }, (_, index) => index + 1))
        }))
    }))
})

const allowedMs = 5
const rounds = 40
const roundMs = 200

/** The longest time that the event loop was kept from its timers while this went on, in milliseconds. */
const longestDelay = <E>(work: Effect.Effect<void, E>) =>
  Effect.gen(function*() {
    const delay = monitorEventLoopDelay({ resolution: 1 })
    delay.enable()
    yield* Effect.timeoutOption(Effect.forever(work), roundMs)
    delay.disable()
    return delay.max / 1e6
  })

/** What many users' emitters and devices ask at once: batches, which push older ones out, and pages of the log. */
const asking = (broker: BrokerService) => {
  const users = Array.from({ length: 32 }, () => newUser())
  const data = { text: "x".repeat(400) }
  let from = 1
  return Effect.suspend(() => {
    const batch = numbered(from, from + 15, { data })
    from += 16
    return Effect.forEach(
      users,
      (user) =>
        Effect.flatMap(
          broker.append(user, batch),
          (head) =>
            broker.pull(user, { ...head, offset: Math.max(0, head.offset - 64) }, { maxEvents: 64, maxBytes: 65_536 })
        ),
      {
        concurrency: "unbounded",
        discard: true
      }
    )
  })
}

describe("SqliteBroker, the event loop", () => {
  // Whatever else runs on the machine delays it as well: what is promised must show in one of many rounds, and a disk that
  // blocks would show in all.
  it.live(`is not blocked for longer than ${allowedMs} ms beyond what the machine does by itself`, () =>
    Effect.gen(function*() {
      const file = yield* newFile
      yield* life(file, (broker) =>
        Effect.gen(function*() {
          const work = asking(broker)
          const measured: Array<readonly [idle: number, busy: number]> = []
          for (let round = 0; round < rounds; round++) {
            const idle = yield* longestDelay(Effect.sleep("1 millis"))
            const busy = yield* longestDelay(work)
            measured.push([idle, busy])
            if (busy <= idle + allowedMs) return
          }
          assert.fail(`milliseconds without and with it: ${JSON.stringify(measured)}`)
        }), { synchronous: "full", maxEvents: 256 })
    }))
})
