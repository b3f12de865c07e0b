/** What a broker over a file lets go, by age and for want of room, and what its file becomes. Time is a test's own. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import { statSync } from "node:fs"
import { DatabaseSync } from "node:sqlite"
import { pageBytes } from "../../../src/broker/sqlite/worker/Layout.ts"
import type { BrokerService } from "../brokerSuite.ts"
import { idOf, newUser, numbered, plenty, start } from "../events.ts"
import { life } from "./lives.ts"
import { newFile } from "./sqliteFile.ts"

/** A call may take as long as it takes while the test's clock leaps. */
const patient = { deadline: "3000 days" } as const

const data = { text: "x".repeat(800) }

/** Lets the sweep of the next second come and be done: the file does one thing after another. */
const sweep = (broker: BrokerService) =>
  Effect.andThen(TestClock.adjust("1 second"), Effect.orDie(broker.canary?.(newUser()) ?? Effect.die("it has none")))

/** A fact about a file that is closed. */
const factOf = (file: string, sql: string): number => {
  const database = new DatabaseSync(file, { readOnly: true })
  try {
    return Number(Object.values(database.prepare(sql).get() ?? {})[0])
  } finally {
    database.close()
  }
}

const pagesOf = (file: string) => factOf(file, "PRAGMA page_count")

describe("SqliteBroker, what it keeps", () => {
  it.effect("drops what is older than maxAge, and tells a reader who needed it; the epoch goes on", () =>
    Effect.gen(function*() {
      const file = yield* newFile
      const user = newUser()
      yield* life(file, (broker) =>
        Effect.gen(function*() {
          const from = yield* start(broker, user)
          yield* broker.append(user, numbered(1, 3))
          yield* TestClock.adjust("59 minutes")
          yield* broker.append(user, numbered(4))
          assert.isUndefined((yield* broker.pull(user, from, plenty)).gap)
          yield* TestClock.adjust("2 minutes")
          const later = yield* broker.pull(user, from, plenty)
          assert.deepStrictEqual(later.gap, { epoch: from.epoch, from: 1, to: 3, reason: "retention" })
          assert.deepStrictEqual(later.entries.map(idOf), ["s.4"])
          yield* TestClock.adjust("59 minutes")
          const last = yield* broker.pull(user, from, plenty)
          assert.deepStrictEqual(last.gap, { epoch: from.epoch, from: 1, to: 4, reason: "retention" })
          assert.deepStrictEqual([last.entries, last.next], [[], { epoch: from.epoch, offset: 4 }])
        }), patient)
    }))

  it.effect("lets old events of users go whom nobody asks for, and in the end all that it knew of them", () =>
    Effect.gen(function*() {
      const file = yield* newFile
      yield* life(file, (broker) =>
        Effect.gen(function*() {
          yield* Effect.forEach(Array.from({ length: 12 }), () => broker.append(newUser(), numbered(1, 5)))
          yield* TestClock.adjust("61 minutes")
          for (let n = 0; n < 3; n++) yield* sweep(broker)
        }), patient)
      assert.deepStrictEqual(["event", "user"].map((table) => factOf(file, `SELECT count(*) FROM ${table}`)), [0, 12])
      yield* life(file, (broker) =>
        Effect.gen(function*() {
          yield* TestClock.adjust("61 minutes")
          for (let n = 0; n < 3; n++) yield* sweep(broker)
        }), patient)
      assert.strictEqual(factOf(file, "SELECT count(*) FROM user"), 0)
    }))

  it.effect("past maxTotalBytes the oldest events of all go, and no more than there is no room for", () =>
    Effect.gen(function*() {
      const file = yield* newFile
      const maxTotalBytes = 2 * 1024 * 1024
      const users = Array.from({ length: 4 }, () => newUser())
      const held = yield* life(file, (broker) =>
        Effect.gen(function*() {
          const from = yield* start(broker, users[0] ?? assert.fail())
          for (const user of users) {
            yield* broker.append(user, numbered(1, 640, { data }))
            yield* TestClock.adjust("1 second")
          }
          for (let n = 0; n < 8; n++) yield* sweep(broker)
          const slices = yield* Effect.forEach(users, (user) => broker.pull(user, { ...from, offset: 0 }, plenty))
          // Each goes on where it was.
          const last = users.at(-1) ?? assert.fail()
          assert.strictEqual((yield* broker.append(last, numbered(641))).offset, 641)
          return slices.map(({ entries }) => entries.length)
        }), { ...patient, maxBytes: maxTotalBytes, maxTotalBytes })
      // About three in four fit: the first user's are all gone but some, the last user's are all there.
      assert.isAbove(held.reduce((sum, one) => sum + one, 0), 1_280)
      assert.isBelow(held[0] ?? 0, 200)
      assert.deepStrictEqual(held.slice(2), [640, 640])
      const used = factOf(file, "PRAGMA page_count") - factOf(file, "PRAGMA freelist_count")
      assert.isAtMost(used * pageBytes, maxTotalBytes + 64 * 1_024)
    }))

  it.effect("gives the disk back some pages at a time, and takes appends between", () =>
    Effect.gen(function*() {
      const file = yield* newFile
      const user = newUser()
      yield* life(file, (broker) => Effect.asVoid(broker.append(user, numbered(1, 4_096, { data }))), patient)
      const before = pagesOf(file)
      const atOnce = 512 * 1_024 / pageBytes
      assert.isAbove(before * pageBytes, 4_096 * 800)
      const vacuum = (sweeps: number, from: number) =>
        life(file, (broker) =>
          Effect.gen(function*() {
            yield* TestClock.adjust("2 hours")
            for (let n = 0; n < sweeps; n++) {
              yield* sweep(broker)
              assert.strictEqual((yield* broker.append(user, numbered(from + n))).offset, from + n)
            }
          }), patient)
      // Some sweeps let events go, 1,024 at a time, and each gives half a MiB back at most.
      yield* vacuum(8, 4_097)
      const between = pagesOf(file)
      assert.isBelow(between, before)
      assert.isAtLeast(between, before - 10 * atOnce)
      yield* vacuum(16, 4_105)
      assert.isBelow(pagesOf(file), before / 2)
      assert.isBelow(statSync(file).size, before * pageBytes / 2)
    }))

  it.effect("takes about the text of an event on the disk, however long it is, and never more than twice", () =>
    Effect.gen(function*() {
      // Such as stand to a page as badly as they can are among them.
      const most = [[200, 1.6], [900, 1.3], [1_100, 1.3], [2_100, 1.4], [3_900, 1.2], [4_300, 2.05], [
        20_000,
        1.4
      ]] as const
      for (const [length, times] of most) {
        const file = yield* newFile
        const users = Array.from({ length: 4 }, () => newUser())
        const count = Math.ceil(400_000 / length)
        const text = numbered(1, count, { data: { text: "x".repeat(length) } })
        yield* life(
          file,
          (broker) => Effect.forEach(users, (user) => broker.append(user, text), { discard: true }),
          patient
        )
        const of = text.reduce((sum, { bytes }) => sum + bytes, 0) * users.length
        assert.isBelow(statSync(file).size / of, times, `${length} characters`)
      }
    }))
})
