import { afterEach, assert, beforeEach, describe, it } from "@effect/vitest"
import { Cause, Effect, Fiber, Schema } from "effect"
import { TestClock } from "effect/testing"
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { DatabaseSync } from "node:sqlite"
import { tmpdir } from "node:os"
import { basename, join } from "node:path"
import { DeadLetterStore } from "../../../src/emitter/fallback/DeadLetterStore.ts"
import { UserId } from "../../../src/protocol/values/Identity.ts"
import * as Spool from "../../../src/emitter/fallback/Spool.ts"
import type { SpoolStore } from "../../../src/emitter/fallback/SpoolStore.ts"
import * as SqliteSpoolStore from "../../../src/emitter/fallback/SqliteSpoolStore.ts"
import { DeliveryBench } from "../support/DeliveryBench.ts"
import { openElsewhere, spoolUntilKilled } from "../support/spoolUntilKilled.ts"
import { envelopes, sequences, userId } from "../support/envelopes.ts"

const ada = userId("ada")
const plenty = { maxBatches: 1_000_000, maxEvents: 1_000_000, maxBytes: 1_000_000_000 }

const peekAll = (store: SpoolStore, user = ada) =>
  Effect.map(store.peek(user, plenty), (chunk) => sequences(chunk?.envelopes ?? []))

describe("SqliteSpoolStore", () => {
  let directory: string
  let file: string
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "effect-emitter-spool-"))
    file = join(directory, "spool.db")
  })
  afterEach(() => rmSync(directory, { recursive: true }))

  it.effect("finds in the file what an earlier process put there, and no more than that", () =>
    Effect.gen(function*() {
      yield* Effect.scoped(Effect.gen(function*() {
        const store = yield* SqliteSpoolStore.make({ file })
        yield* store.put(ada, envelopes("a", 1, 2))
        yield* store.put(ada, envelopes("a", 3))
        yield* store.put(userId("bob"), envelopes("b", 1))
        const first = yield* store.peek(ada, { ...plenty, maxBatches: 1 })
        if (first !== undefined) yield* store.remove(ada, first)
      }))
      const store = yield* SqliteSpoolStore.make({ file })
      assert.deepInclude(store.depth(), { users: 2, batches: 2, events: 2, unreadable: 0 })
      assert.deepStrictEqual(store.users(5), [ada, userId("bob")])
      assert.deepStrictEqual(yield* peekAll(store), [3])
      yield* store.put(ada, envelopes("a", 4))
      assert.deepStrictEqual(yield* peekAll(store), [3, 4])
    }))

  it.effect("fault 8: keeps apart users whose ids differ, and takes none that would be written as another's", () =>
    Effect.gen(function*() {
      for (const id of ["x\ud801", "x\ud802", "x\udc01"]) assert.throws(() => userId(id))
      const alike = ["x", "X", "x\ufffd", "xé", "xe\u0301", "x😀", "x😁", "x'", "x%"].filter(Schema.is(UserId))
      assert.isAbove(alike.length, 4)
      yield* Effect.scoped(Effect.gen(function*() {
        const store = yield* SqliteSpoolStore.make({ file })
        for (const [n, user] of alike.entries()) yield* store.put(user, envelopes("a", n + 1))
      }))
      const store = yield* SqliteSpoolStore.make({ file })
      assert.deepStrictEqual(store.users(100), alike)
      for (const [n, user] of alike.entries()) assert.deepStrictEqual(yield* peekAll(store, user), [n + 1])
    }))

  it.effect("counts what it found against its limits", () =>
    Effect.gen(function*() {
      yield* Effect.scoped(
        Effect.flatMap(SqliteSpoolStore.make({ file }), (store) => store.put(ada, envelopes("a", 1, 5)))
      )
      const store = yield* SqliteSpoolStore.make({ file, maxEvents: 6, userShare: 1 })
      const error = yield* Effect.flip(store.put(ada, envelopes("a", 6, 7)))
      assert.deepInclude(error, { _tag: "SpoolFull", held: 5, asked: 2 })
    }))

  it.live("loses nothing that was put, nor any order, when its process is killed", () =>
    Effect.gen(function*() {
      const users = 20
      const put = yield* Effect.promise(() => spoolUntilKilled({ file, users, lines: 1_000 }))
      const store = yield* SqliteSpoolStore.make({ file })
      assert.strictEqual(put.size, users)
      for (const [user, last] of put) {
        const found = yield* peekAll(store, userId(user))
        assert.isTrue(found.length >= last, `${user}: ${last} were put, ${found.length} found`)
        assert.deepStrictEqual(found, Array.from(found, (_, i) => i + 1))
      }
    }), 120_000)

  it.effect("writes what is put at the same time in one go", () =>
    Effect.gen(function*() {
      const store = yield* SqliteSpoolStore.make({ file })
      const before = statSync(`${file}-wal`).size
      yield* Effect.forEach(
        Array.from({ length: 100 }, (_, i) => userId(`u${i}`)),
        (user) => store.put(user, envelopes("s", 1)),
        { concurrency: "unbounded", discard: true }
      )
      // Each transaction writes each page that it changed: a hundred of them would have written 200 pages and more.
      assert.isBelow((statSync(`${file}-wal`).size - before) / 4_096, 60)
    }))

  it.effect("is written even if who put it is interrupted", () =>
    Effect.gen(function*() {
      const store = yield* SqliteSpoolStore.make({ file })
      const fiber = yield* Effect.forkChild(store.put(ada, envelopes("a", 1)), { startImmediately: true })
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(yield* peekAll(store), [1])
    }))

  it.effect("refuses a file that another holds, and waits for it as long as told", () =>
    Effect.gen(function*() {
      const holder = yield* Effect.forkChild(Effect.scoped(
        Effect.andThen(SqliteSpoolStore.make({ file }), Effect.sleep("3 seconds"))
      ))
      yield* Effect.promise(() => import("node:sqlite"))
      yield* TestClock.adjust(0)
      const impatient = yield* Effect.flip(SqliteSpoolStore.make({ file, lockTimeout: 0 }))
      assert.deepInclude(impatient, { _tag: "SpoolOpenError", reason: "locked", file })

      const patient = yield* Effect.forkChild(SqliteSpoolStore.make({ file, lockTimeout: "5 seconds" }))
      yield* TestClock.adjust("4 seconds")
      yield* Fiber.join(holder)
      assert.deepInclude((yield* Fiber.join(patient)).depth(), { events: 0 })
    }))

  it.effect("refuses a file of a newer version, and one that is no database", () =>
    Effect.gen(function*() {
      const database = new DatabaseSync(file)
      database.exec("PRAGMA user_version = 99")
      database.close()
      assert.deepInclude(yield* Effect.flip(SqliteSpoolStore.make({ file })), { reason: "version" })

      const text = join(directory, "text.db")
      writeFileSync(text, "this is no database, however long one looks at it".repeat(100))
      assert.deepInclude(yield* Effect.flip(SqliteSpoolStore.make({ file: text })), { reason: "damaged" })
      assert.deepInclude(yield* Effect.flip(SqliteSpoolStore.make({ file: join(directory, "no", "where.db") })), {
        reason: "unusable"
      })
    }))

  /** Changes the file while no store has it open. */
  const tamper = (sql: string) => {
    const database = new DatabaseSync(file)
    database.exec(sql)
    database.close()
  }

  it.effect("fault 42: makes a dead letter of an event in which a byte has changed, and gives its neighbours", () =>
    Effect.gen(function*() {
      yield* Effect.scoped(Effect.gen(function*() {
        const store = yield* SqliteSpoolStore.make({ file })
        yield* store.put(ada, envelopes("a", 1, 3))
        yield* store.put(ada, envelopes("a", 4))
      }))
      // Still JSON, and an envelope like any other.
      tamper(`UPDATE spool SET batch = replace(batch, '"at":2,', '"at":7,') WHERE seq = 1`)
      tamper(`UPDATE spool SET batch = replace(batch, '"name":"n"', '"name":n"') WHERE seq = 2`)

      const found: Array<string> = []
      yield* Effect.scoped(Effect.gen(function*() {
        const store = yield* SqliteSpoolStore.make({ file })
        store.letters?.onFound((letters) => found.push(...letters.map(({ trigger }) => trigger)))
        assert.deepStrictEqual(yield* peekAll(store), [1, 3])
        const first = yield* store.peek(ada, plenty)
        if (first !== undefined) yield* store.remove(ada, first)
        assert.deepStrictEqual(yield* peekAll(store), [])
        assert.isFalse(store.holds(ada))
        assert.deepInclude(store.depth(), { batches: 0, events: 0, bytes: 0, unreadable: 2 })
      }))
      assert.deepStrictEqual(found, ["damaged", "damaged"])

      const letters = new DeadLetterStore()
      const store = yield* SqliteSpoolStore.make({ file })
      if (store.letters !== undefined) letters.attach(store.letters)
      assert.deepStrictEqual(letters.list().map(({ event, trigger, user }) => [user, event.type, trigger]), [
        [ada, "damaged", "damaged"],
        [ada, "damaged", "damaged"]
      ])
      assert.include(JSON.stringify(letters.list()[0]?.event.data), "a-2")
    }))

  it.effect("fault 42: never gives a damaged event to the broker, also not by a replay", () =>
    Effect.gen(function*() {
      yield* Effect.scoped(
        Effect.flatMap(SqliteSpoolStore.make({ file }), (store) => store.put(ada, envelopes("a", 1, 2)))
      )
      tamper(`UPDATE spool SET batch = replace(batch, '"at":1,', '"at":9,')`)
      const bench = yield* DeliveryBench.make({ channels: [Spool.make(yield* SqliteSpoolStore.make({ file }))] })
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(sequences(bench.broker.log(ada)), [2])
      assert.deepInclude((yield* bench.delivery.stats).deadLettered, { damaged: 1 })
      const { list, replay } = bench.delivery.deadLetters
      assert.deepStrictEqual(yield* replay(), { appended: 0, handedOver: 0, deadLettered: 0 })
      assert.deepStrictEqual((yield* list()).map(({ trigger }) => trigger), ["damaged"])
      assert.deepStrictEqual(sequences(bench.broker.log(ada)), [2])
    }))

  it.effect("fault 42: refuses a damaged file, and one of another version, typed, with what to do, and leaves it as it was", () =>
    Effect.gen(function*() {
      yield* Effect.scoped(Effect.gen(function*() {
        const store = yield* SqliteSpoolStore.make({ file })
        for (let n = 1; n <= 200; n++) yield* store.put(ada, envelopes("a", n))
      }))
      const whole = readFileSync(file)
      const pages = Buffer.from(whole)
      for (let page = 2; page * 4_096 < pages.length; page++) pages.fill(0xa5, page * 4_096, page * 4_096 + 512)
      writeFileSync(file, pages)
      const damaged = yield* Effect.flip(SqliteSpoolStore.make({ file }))
      assert.deepInclude(damaged, { _tag: "SpoolOpenError", reason: "damaged" })
      assert.include(damaged.message, "move it and the files beside it (-wal, -shm) away")
      assert.isTrue(readFileSync(file).equals(pages))

      rmSync(file)
      tamper(
        "CREATE TABLE spool (seq INTEGER PRIMARY KEY, user TEXT NOT NULL, batch TEXT NOT NULL); PRAGMA user_version = 1"
      )
      assert.deepInclude(yield* Effect.flip(SqliteSpoolStore.make({ file })), { reason: "version" })
      rmSync(file)
      tamper("CREATE TABLE spool (seq INTEGER PRIMARY KEY, user TEXT NOT NULL, batch TEXT NOT NULL)")
      assert.deepInclude(yield* Effect.flip(SqliteSpoolStore.make({ file })), { reason: "version" })

      rmSync(file)
      yield* Effect.scoped(
        Effect.flatMap(SqliteSpoolStore.make({ file }), (store) => store.put(ada, envelopes("a", 1)))
      )
      tamper(`UPDATE spool SET user = 'a b'`)
      assert.deepInclude(yield* Effect.flip(SqliteSpoolStore.make({ file })), { reason: "damaged" })
    }))

  it.effect("fault 40: forgets what the broker has though the file does not, and erases it when it can", () =>
    Effect.gen(function*() {
      yield* Effect.scoped(SqliteSpoolStore.make({ file }))
      tamper(`
        CREATE TRIGGER full BEFORE DELETE ON spool WHEN NOT EXISTS (SELECT 1 FROM spool WHERE user = 'bob')
        BEGIN SELECT RAISE(ABORT, 'the disk is full'); END
      `)
      yield* Effect.scoped(Effect.gen(function*() {
        const store = yield* SqliteSpoolStore.make({ file })
        const bench = yield* DeliveryBench.make({ channels: [Spool.make(store)] })
        bench.broker.behaviour = "die"
        for (const n of [1, 2, 3]) yield* bench.deliver(ada, envelopes("a", n))
        bench.broker.behaviour = "ok"
        yield* TestClock.adjust("1 minute")
        assert.deepStrictEqual(sequences(bench.broker.log(ada)), [1, 2, 3])
        const calls = bench.broker.calls.length
        yield* TestClock.adjust("1 minute")
        assert.strictEqual(bench.broker.calls.length, calls)
        // The broker is healthy, so the user's new events go there.
        assert.deepInclude(yield* bench.deliver(ada, envelopes("a", 4)), { _tag: "Appended" })
        assert.deepInclude(store.depth(), { users: 0, events: 0, bytes: 0 })
        assert.isFalse(store.holds(ada))
        assert.deepStrictEqual(yield* bench.delivery.deadLetters.list(), [])
        // With something of bob's in the file the trigger lets go.
        yield* store.put(userId("bob"), envelopes("b", 1))
        yield* TestClock.adjust("2 seconds")
      }))
      assert.deepStrictEqual(yield* peekAll(yield* SqliteSpoolStore.make({ file })), [])
    }))

  it.effect("fault 45: has its room back for others when a batch could not be written", () =>
    Effect.gen(function*() {
      yield* Effect.scoped(SqliteSpoolStore.make({ file }))
      tamper(`
        CREATE TRIGGER full BEFORE INSERT ON spool WHEN NEW.user = 'bob'
        BEGIN SELECT RAISE(ABORT, 'the disk is full'); END
      `)
      const store = yield* SqliteSpoolStore.make({ file, maxEvents: 2, userShare: 1 })
      const error = yield* Effect.flip(store.put(userId("bob"), envelopes("b", 1, 2)))
      assert.deepInclude(error, { _tag: "SpoolFailure", operation: "put" })
      assert.deepInclude(store.depth(), { users: 0, events: 0, bytes: 0 })
      yield* store.put(ada, envelopes("a", 1, 2))
      assert.deepStrictEqual(yield* peekAll(store), [1, 2])
    }))

  it.effect(
    "fault 41: keeps its lock against other processes when a second spool of its own process is refused",
    () =>
      Effect.gen(function*() {
        const store = yield* SqliteSpoolStore.make({ file })
        yield* store.put(ada, envelopes("a", 1))
        for (const path of [file, `${directory}/../${basename(directory)}/spool.db`]) {
          const second = yield* Effect.flip(SqliteSpoolStore.make({ file: path, lockTimeout: 0 }))
          assert.deepInclude(second, { reason: "locked" })
        }
        const other = yield* Effect.promise(() => openElsewhere(file))
        assert.strictEqual(other, "locked")
        // Nor does the other's attempt take it away from the first.
        assert.strictEqual(yield* Effect.promise(() => openElsewhere(file)), "locked")
        assert.deepStrictEqual(yield* peekAll(store), [1])
      }),
    120_000
  )

  it.live(
    "fault 43: has each dead letter of what it held in the file or in the spool, when its process is killed",
    () =>
      Effect.gen(function*() {
        const told = yield* Effect.promise(() => spoolUntilKilled({ file, users: 3, lines: 300, letters: true }))
        const store = yield* SqliteSpoolStore.make({ file })
        const letters = new DeadLetterStore()
        if (store.letters !== undefined) letters.attach(store.letters)
        assert.strictEqual(told.size, 3)
        for (const [user, last] of told) {
          const dead = letters.list({ user: userId(user) }).map(({ event }) => event.sequence)
          const found = new Set([...dead, ...yield* peekAll(store, userId(user))])
          for (let n = 1; n <= last; n++) assert.isTrue(found.has(n), `${user}: ${n} of ${last} is nowhere`)
          assert.strictEqual(new Set(dead).size, dead.length)
        }
      }),
    120_000
  )

  it.effect("fault 43: forgets a dead letter in the file once it is delivered or cleared, and keeps what fails again", () =>
    Effect.gen(function*() {
      const left = () =>
        Effect.scoped(
          Effect.map(SqliteSpoolStore.make({ file }), ({ letters }) =>
            (letters?.load() ?? []).map(({ event }) => event.sequence))
        )
      const withLetters = <A, E>(use: (bench: DeliveryBench) => Effect.Effect<A, E>) =>
        Effect.scoped(Effect.gen(function*() {
          const store = yield* SqliteSpoolStore.make({ file })
          return yield* use(yield* DeliveryBench.make({ channels: [Spool.make(store)] }))
        }))
      yield* withLetters((bench) =>
        Effect.gen(function*() {
          bench.broker.behaviour = "die"
          for (const n of [1, 2, 3]) yield* bench.deliver(ada, envelopes("a", n))
          yield* TestClock.adjust("10 minutes")
          assert.deepStrictEqual(
            (yield* bench.delivery.deadLetters.list()).map(({ event }) => event.sequence),
            [1, 2, 3]
          )
        })
      )
      assert.deepStrictEqual(yield* left(), [1, 2, 3])
      yield* withLetters((bench) =>
        Effect.gen(function*() {
          const { clear, list, replay } = bench.delivery.deadLetters
          const [first, second] = yield* list()
          assert.deepInclude(first, { trigger: "defect", user: ada })
          assert.include(String(Cause.squash(first?.reasons[0]?.cause ?? Cause.empty)), "Error")
          bench.broker.behaviour = "ok"
          assert.deepInclude(yield* replay({ upTo: first?.sequence ?? 0 }), { appended: 1 })
          assert.strictEqual(yield* clear({ upTo: second?.sequence ?? 0 }), 1)
        })
      )
      assert.deepStrictEqual(yield* left(), [3])
    }))

  it.effect("is readable by its owner only, with the files beside it", () =>
    Effect.gen(function*() {
      const store = yield* SqliteSpoolStore.make({ file })
      yield* store.put(ada, envelopes("a", 1))
      assert.strictEqual(statSync(file).mode & 0o777, 0o600)
      assert.strictEqual(statSync(`${file}-wal`).mode & 0o777, 0o600)
    }))

  it.effect("fault 34: takes from others the right to read a file that was there, and those beside it", () =>
    Effect.gen(function*() {
      yield* Effect.scoped(
        Effect.flatMap(SqliteSpoolStore.make({ file }), (store) => store.put(ada, envelopes("a", 1)))
      )
      writeFileSync(`${file}-wal`, "")
      for (const name of [file, `${file}-wal`]) chmodSync(name, 0o666)
      const store = yield* SqliteSpoolStore.make({ file })
      yield* store.put(ada, envelopes("a", 2))
      for (const name of [file, `${file}-wal`]) assert.strictEqual(statSync(name).mode & 0o777, 0o600, name)
      assert.deepStrictEqual(yield* peekAll(store), [1, 2])
    }))

  it.effect("refuses what is put after its scope closed", () =>
    Effect.gen(function*() {
      const store = yield* Effect.scoped(SqliteSpoolStore.make({ file }))
      const error = yield* Effect.flip(store.put(ada, envelopes("a", 1)))
      assert.deepInclude(error, { _tag: "SpoolFailure", operation: "put" })
      assert.deepInclude(yield* Effect.flip(store.peek(ada, plenty)), { _tag: "SpoolFailure", operation: "peek" })
    }))

  it.effect("writes on closing what was put just before", () =>
    Effect.gen(function*() {
      yield* Effect.scoped(Effect.gen(function*() {
        const store = yield* SqliteSpoolStore.make({ file })
        yield* Effect.forkDetach(store.put(ada, envelopes("a", 1)), { startImmediately: true })
      }))
      assert.deepStrictEqual(yield* peekAll(yield* SqliteSpoolStore.make({ file })), [1])
    }))
})
