/** What a broker over a file does when the file, its disk or the machine fails. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Scope } from "effect"
import { Identity } from "effect-emitter"
import { SqliteBroker } from "effect-emitter/sqlite"
import { execFileSync, spawnSync } from "node:child_process"
import {
  chmodSync,
  closeSync,
  copyFileSync,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync
} from "node:fs"
import { basename, dirname, join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import { fileURLToPath } from "node:url"
import { pageBytes } from "../../../src/broker/sqlite/worker/Layout.ts"
import { seeded } from "../../support/random.ts"
import type { BrokerService } from "../brokerSuite.ts"
import { eventually, idOf, newUser, numbered, plenty } from "../events.ts"
import { type Answered, appending, life, type Line, speaking } from "./lives.ts"
import { asOfAnotherBoot, frameBytes, framesOf } from "./powerLoss.ts"
import { newFile } from "./sqliteFile.ts"

const refusalOf = (file: string) =>
  Effect.gen(function*() {
    const error = yield* Effect.flip(
      Effect.scoped(Layer.build(SqliteBroker.layer({ file, lockTimeout: "200 millis" })))
    )
    if (!(error instanceof SqliteBroker.SqliteOpenError)) throw error
    assert.include(error.message, file)
    return error.reason
  })

const asideOf = (file: string) =>
  readdirSync(dirname(file)).filter((name) =>
    name.startsWith(`${basename(file)}.damaged-`) && !/-(wal|shm)$/.test(name)
  )

const hasSetpriv = process.platform === "linux" && spawnSync("setpriv", ["--version"]).status === 0

/** Root may write whatever it is told not to, unless it gives that up. */
const asNobodySpecial =
  "[ \"$(id -u)\" != 0 ] || exec setpriv --bounding-set=-dac_override,-dac_read_search \"$0\" \"$@\""

describe("SqliteBroker, a file that it cannot use", () => {
  it.live("is held by another broker of this process, or by another process, until that has closed it", () =>
    Effect.gen(function*() {
      const file = yield* newFile
      const scope = yield* Scope.make()
      yield* Layer.buildWithScope(SqliteBroker.layer({ file }), scope)
      assert.strictEqual(yield* refusalOf(file), "locked")
      yield* Scope.close(scope, Exit.void)
      yield* life(file, (broker) => broker.append(newUser(), numbered(1)))

      const child = yield* appending(file, "normal")
      yield* child.until(() => child.answered().length > 0)
      assert.strictEqual(yield* refusalOf(file), "locked")
      // One that waits takes over as soon as the other has gone.
      const next = yield* Effect.forkChild(life(file, (broker) => broker.append(newUser(), numbered(1))))
      yield* child.kill
      assert.strictEqual((yield* Fiber.join(next)).offset, 1)
    }))

  it.live("is another program's, has no directory, is a directory, or has another layout: it is left as it was", () =>
    Effect.gen(function*() {
      const file = yield* newFile
      writeFileSync(file, "a text of somebody's ".repeat(20))
      assert.strictEqual(yield* refusalOf(file), "foreign")
      assert.strictEqual(readFileSync(file, "utf8"), "a text of somebody's ".repeat(20))

      const other = `${file}-other`
      const database = new DatabaseSync(other)
      database.exec("CREATE TABLE mine (x TEXT); INSERT INTO mine VALUES ('kept')")
      database.close()
      assert.strictEqual(yield* refusalOf(other), "foreign")

      assert.strictEqual(yield* refusalOf(join(dirname(file), "no", "events.db")), "unusable")
      assert.strictEqual(yield* refusalOf(dirname(file)), "unusable")

      const later = `${file}-later`
      yield* life(later, (broker) => broker.append(newUser(), numbered(1)))
      const upgraded = new DatabaseSync(later)
      upgraded.exec("PRAGMA user_version = 99")
      upgraded.close()
      assert.strictEqual(yield* refusalOf(later), "version")
      assert.deepStrictEqual(asideOf(later), [])
    }))

  it.live.skipIf(!hasSetpriv)("is read-only: it says so, and leaves it", () =>
    Effect.gen(function*() {
      const file = yield* newFile
      yield* life(file, (broker) => broker.append(newUser(), numbered(1)))
      const before = readFileSync(file)
      chmodSync(file, 0o400)
      const child = yield* appending(file, "normal", asNobodySpecial)
      yield* child.until(() => child.lines().length > 0, "that it cannot use the file")
      const [line = assert.fail("it said nothing")] = child.lines()
      if (!("refused" in line)) return assert.fail(JSON.stringify(line))
      assert.strictEqual(line.refused, "unusable")
      assert.match(line.message, /permission denied/u)
      assert.include(line.message, "belong to this user")
      assert.deepStrictEqual(readFileSync(file), before)
      assert.deepStrictEqual(asideOf(file), [])
    }))

  it.live.skipIf(process.platform !== "linux")(
    "is on a network share: it says so, and makes nothing there",
    () =>
      Effect.gen(function*() {
        const file = yield* newFile
        const child = yield* speaking<Line>("append-child.ts", [file, "normal"], {
          node: ["--import", fileURLToPath(new URL("onShare.ts", import.meta.url))]
        })
        yield* child.until(() => child.lines().length > 0, "that it cannot use the file")
        const [line = assert.fail("it said nothing")] = child.lines()
        if (!("refused" in line)) return assert.fail(JSON.stringify(line))
        assert.strictEqual(line.refused, "networkShare")
        assert.include(line.message, "NFS")
        assert.isFalse(existsSync(file))
      })
  )

  it.live("is its owner's only", () =>
    Effect.gen(function*() {
      const file = yield* newFile
      writeFileSync(file, "", { mode: 0o644 })
      yield* life(file, (broker) =>
        Effect.gen(function*() {
          yield* broker.append(newUser(), numbered(1))
          for (const name of [file, `${file}-wal`]) assert.strictEqual(statSync(name).mode & 0o077, 0, name)
        }))
    }))
})

describe("SqliteBroker, a damaged file", () => {
  const overwrite = (file: string, from: number, bytes: number) => {
    const descriptor = openSync(file, "r+")
    writeSync(descriptor, Buffer.alloc(bytes, 0xa5), 0, bytes, from)
    closeSync(descriptor)
  }

  it.live("is set aside when it is opened, and logs begin anew", () =>
    Effect.gen(function*() {
      const file = yield* newFile
      const user = newUser()
      const before = yield* life(file, (broker) => broker.append(user, numbered(1, 50)))
      overwrite(file, 100, pageBytes)
      yield* life(file, (broker) =>
        Effect.gen(function*() {
          assert.lengthOf(asideOf(file), 1)
          const { gap } = yield* broker.pull(user, before, plenty)
          assert.strictEqual(gap?.reason, "epoch")
          assert.strictEqual((yield* broker.append(user, numbered(51))).offset, 1)
        }))
      yield* life(file, (broker) => Effect.map(broker.head(user), ({ offset }) => assert.strictEqual(offset, 1)))
    }))

  it.live("is set aside when it is found out, also while it is in use: readers are woken and get a gap", () =>
    Effect.gen(function*() {
      const file = yield* newFile
      const users = Array.from({ length: 20 }, () => newUser())
      const data = { text: "x".repeat(1_000) }
      yield* life(file, (broker) => Effect.forEach(users, (user) => broker.append(user, numbered(1, 40, { data }))))
      const size = statSync(file).size
      // Behind the first page of each table and index.
      for (let from = 18 * pageBytes; from < size; from += pageBytes) overwrite(file, from, pageBytes)
      yield* life(file, (broker) =>
        Effect.gen(function*() {
          let wakes = 0
          const [reader = assert.fail()] = users
          yield* broker.subscribe(reader, () => void wakes++)
          const exits = yield* Effect.forEach(users, (user) =>
            Effect.exit(broker.pull(user, { epoch: "e", offset: 0 }, plenty)))
          assert.isTrue(exits.some(Exit.isFailure))
          yield* eventually(
            Effect.sync(() =>
              wakes
            ),
            (count) => count > 0,
            "a wake-up"
          )
          assert.lengthOf(asideOf(file), 1)
          assert.strictEqual((yield* broker.append(reader, numbered(41))).offset, 1)
        }))
    }))
})

const isLinux = process.platform === "linux" && spawnSync("prlimit", ["--version"]).status === 0

describe.skipIf(!isLinux)("SqliteBroker, a disk that takes no more", () => {
  it.live("fails what it cannot write, says that it is down, and goes on once there is room", () =>
    Effect.gen(function*() {
      const file = yield* newFile
      const child = yield* appending(file, "normal", "ulimit -S -f 3000")
      const failures = () => child.lines().filter((line) => "failed" in line)
      yield* child.until(() => failures().length > 8)
      const taken = child.answered().length
      const [failure] = failures()
      assert.strictEqual(failure?.blame, "broker")
      assert.include(failure?.failed, file)
      execFileSync("prlimit", ["--pid", String(child.pid), "--fsize=unlimited"])
      yield* child.until(() => child.answered().length > taken + 40)
      assert.deepStrictEqual(child.lines().filter((line) => "signal" in line).slice(0, 2), [{ signal: "down" }, {
        signal: "up"
      }])
      yield* child.kill
      const answered = child.answered()
      yield* life(file, (broker) => holds(broker, answered), { maxEvents: 100_000 })
    }))
})

/** Every event that was answered is there, where it was said to be, once; gives the epochs of before. */
const holds = (broker: BrokerService, answered: ReadonlyArray<Answered>) =>
  Effect.forEach(Map.groupBy(answered, ({ user }) => user), ([name, all]) =>
    Effect.gen(function*() {
      const user = Identity.UserId.make(name)
      const { entries } = yield* broker.pull(user, { epoch: all[0]?.epoch ?? "", offset: 0 }, plenty)
      for (const { offset, sequence } of all) {
        assert.strictEqual(idOf(entries[offset - 1] ?? assert.fail(`${name} has no offset ${offset}`)), `s.${sequence}`)
      }
    }))

describe("SqliteBroker, a machine that ends", () => {
  it.live("an offset never means two events: where last commits are gone, logs go on under new epochs", () =>
    Effect.gen(function*() {
      const file = yield* newFile
      const child = yield* appending(file, "normal")
      const copies: Array<string> = []
      const random = seeded(1)
      // What was on the disk at some moment: the file, and the log of writes up to some byte of it.
      while (copies.length < 3) {
        const before = child.answered().length
        const next = before + 20 + random.below(100)
        yield* child.until(() => child.answered().length > next)
        process.kill(child.pid, "SIGSTOP")
        const frames = framesOf(readFileSync(`${file}-wal`))
        // Past so many it may be in the file already, and so is on the disk.
        if (frames > 0 && frames < 900) {
          const copy = `${file}-copy${copies.length}`
          copyFileSync(file, copy)
          copyFileSync(`${file}-wal`, `${copy}-wal`)
          truncateSync(`${copy}-wal`, 32 + Math.floor(frames * frameBytes * random.next()))
          copies.push(copy)
        }
        process.kill(child.pid, "SIGCONT")
      }
      yield* child.kill
      const answered = child.answered()
      for (const copy of copies) {
        asOfAnotherBoot(copy)
        yield* life(
          copy,
          (broker) =>
            Effect.forEach(Map.groupBy(answered, ({ user }) => user), ([name, all]) =>
              Effect.gen(function*() {
                const user = Identity.UserId.make(name)
                const [first = assert.fail()] = all
                const { entries, gap, next } = yield* broker.pull(user, { epoch: first.epoch, offset: 3 }, plenty)
                assert.strictEqual(gap?.reason, "epoch")
                assert.notStrictEqual(next.epoch, first.epoch)
                // No hole in what is left: what an emitter still has is taken where it is missing.
                const kept = entries.flatMap((entry) => entry.type === "custom" ? [idOf(entry)] : [])
                assert.deepStrictEqual(kept, kept.map((_, n) => `s.${n + 1}`))
                yield* broker.append(user, numbered(1, kept.length + 5, {}))
                const after = yield* broker.pull(user, { epoch: next.epoch, offset: 0 }, plenty)
                assert.lengthOf(after.entries.filter(({ type }) => type === "custom"), kept.length + 5)
              })),
          { maxEvents: 100_000 }
        )
        // In its next life it stays in the epoch.
        const heads = yield* life(copy, (broker) => broker.head(Identity.UserId.make("user-0")), { maxEvents: 100_000 })
        assert.deepStrictEqual(yield* life(copy, (broker) => broker.head(Identity.UserId.make("user-0"))), heads)
      }
    }))

  it.live("that a file is open is on the disk before anything else is", () =>
    Effect.gen(function*() {
      const file = yield* newFile
      const user = newUser()
      const closed = yield* life(file, (broker) => broker.append(user, numbered(1)))
      yield* life(file, (broker) =>
        Effect.gen(function*() {
          yield* broker.append(user, numbered(2))
          copyFileSync(file, `${file}-copy`)
        }))
      const database = new DatabaseSync(`${file}-copy`)
      database.exec("UPDATE meta SET value = 'another' WHERE key = 'boot'")
      database.close()
      yield* life(`${file}-copy`, (broker) =>
        Effect.gen(function*() {
          const { epoch, offset } = yield* broker.append(user, numbered(3))
          assert.strictEqual(offset, 2)
          assert.notStrictEqual(epoch, closed.epoch)
        }))
    }))

  it.live("a file that was closed, or that waited for the disk, stays in its epochs", () =>
    Effect.gen(function*() {
      for (const synchronous of ["normal", "full"] as const) {
        const file = yield* newFile
        const user = newUser()
        const position = yield* life(file, (broker) => broker.append(user, numbered(1)), { synchronous })
        const database = new DatabaseSync(file)
        database.exec("UPDATE meta SET value = 'another' WHERE key = 'boot'")
        database.close()
        yield* life(file, (broker) => Effect.map(broker.head(user), (head) => assert.deepStrictEqual(head, position)))
      }
    }))
})
