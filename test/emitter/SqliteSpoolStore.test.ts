import { afterEach, assert, beforeEach, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs"
import { DatabaseSync } from "node:sqlite"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { SpoolStore } from "../../src/emitter/SpoolStore.ts"
import * as SqliteSpoolStore from "../../src/emitter/SqliteSpoolStore.ts"
import { spoolUntilKilled } from "./support/spoolUntilKilled.ts"
import { envelopes, sequences, userId } from "./support/envelopes.ts"

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

  it.effect("counts what it found against its limits", () =>
    Effect.gen(function*() {
      yield* Effect.scoped(
        Effect.flatMap(SqliteSpoolStore.make({ file }), (store) => store.put(ada, envelopes("a", 1, 5)))
      )
      const store = yield* SqliteSpoolStore.make({ file, maxEvents: 6 })
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
    }), 30_000)

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
      assert.deepInclude(yield* Effect.flip(SqliteSpoolStore.make({ file: text })), { reason: "unusable" })
      assert.deepInclude(yield* Effect.flip(SqliteSpoolStore.make({ file: join(directory, "no", "where.db") })), {
        reason: "unusable"
      })
    }))

  it.effect("sets aside what it cannot read, says so, and goes on behind it", () =>
    Effect.gen(function*() {
      yield* Effect.scoped(Effect.gen(function*() {
        const store = yield* SqliteSpoolStore.make({ file })
        for (const sequence of [1, 2, 3]) yield* store.put(ada, envelopes("a", sequence))
      }))
      const database = new DatabaseSync(file)
      database.exec(`UPDATE spool SET batch = '[{"id":"broken"}]' WHERE seq IN (1, 2)`)
      database.close()

      yield* Effect.scoped(Effect.gen(function*() {
        const store = yield* SqliteSpoolStore.make({ file })
        assert.deepStrictEqual(sequences((yield* store.peek(ada, { ...plenty, maxBatches: 2 }))?.envelopes ?? []), [3])
        assert.deepInclude(store.depth(), { batches: 1, events: 1, unreadable: 2 })
      }))
      const store = yield* SqliteSpoolStore.make({ file })
      assert.deepInclude(store.depth(), { batches: 1, events: 1, unreadable: 2 })
    }))

  it.effect("is readable by its owner only, with the files beside it", () =>
    Effect.gen(function*() {
      const store = yield* SqliteSpoolStore.make({ file })
      yield* store.put(ada, envelopes("a", 1))
      assert.strictEqual(statSync(file).mode & 0o777, 0o600)
      assert.strictEqual(statSync(`${file}-wal`).mode & 0o777, 0o600)
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
