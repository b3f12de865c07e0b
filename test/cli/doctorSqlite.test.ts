/** `doctor` and the file of the SQLite broker: it finds what was planted, says what to do, and leaves the file as it was. */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Context, Effect } from "effect"
import { spawnSync } from "node:child_process"
import {
  chmodSync,
  closeSync,
  openSync,
  readdirSync,
  readFileSync,
  truncateSync,
  writeFileSync,
  writeSync
} from "node:fs"
import { basename, dirname, join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import { fileURLToPath } from "node:url"
import { pageBytes } from "../../src/broker/sqlite/worker/Layout.ts"
import * as SqliteChecks from "../../src/cli/backend/sqlite/SqliteChecks.ts"
import type { Finding } from "../../src/cli/output/Finding.ts"
import { newUser, numbered } from "../broker/events.ts"
import { life } from "../broker/sqlite/lives.ts"
import { newFile, toLayoutBefore } from "../broker/sqlite/sqliteFile.ts"

/** A file with some events, that was closed. */
const logFile = Effect.gen(function*() {
  const file = yield* newFile
  const data = { text: "x".repeat(500) }
  yield* life(file, (broker) => broker.append(newUser(), numbered(1, 200, { data })))
  return file
})

const checks = (file: string) => SqliteChecks.checks(file, Context.get(Context.empty(), Clock.Clock))

const isTrouble = ({ severity }: Finding) => severity === "fault" || severity === "warning"

/** The one thing that is wrong with a file. */
const troubleOf = (file: string): Finding => {
  const found = checks(file).filter((finding) => isTrouble(finding) && finding.check !== "sqlite disk")
  assert.lengthOf(found, 1, JSON.stringify(found))
  const [trouble = assert.fail()] = found
  assert.isAbove(trouble.remedy?.length ?? 0, 20)
  return trouble
}

const overwrite = (file: string, from: number, bytes: number) => {
  const descriptor = openSync(file, "r+")
  writeSync(descriptor, Buffer.alloc(bytes, 0xa5), 0, bytes, from)
  closeSync(descriptor)
}

describe("doctor, the file of the SQLite broker", () => {
  it.live("finds nothing wrong with a good one, with none yet, and leaves nothing behind", () =>
    Effect.gen(function*() {
      const file = yield* logFile
      const before = readFileSync(file)
      const findings = checks(file).filter(({ check }) => check !== "sqlite disk")
      assert.deepStrictEqual(findings.filter(isTrouble), [])
      assert.include(findings.map(({ message }) => message).join(), "no process has it; it holds events, and is whole")
      assert.deepStrictEqual(readFileSync(file), before)
      assert.deepStrictEqual(readdirSync(dirname(file)), [basename(file)])
      const none = checks(join(dirname(file), "none.db"))
      assert.isTrue(none.some(({ message, severity }) => severity === "note" && message.includes("the first process")))
      assert.deepStrictEqual(readdirSync(dirname(file)), [basename(file)])
    }))

  it.live("says that a process has it, and takes nothing from that process", () =>
    Effect.gen(function*() {
      const file = yield* newFile
      yield* life(file, (broker) =>
        Effect.gen(function*() {
          const user = newUser()
          yield* broker.append(user, numbered(1))
          const findings = checks(file)
          assert.isTrue(
            findings.some(({ message, severity }) => severity === "note" && message.includes("a process has it"))
          )
          assert.strictEqual((yield* broker.append(user, numbered(2))).offset, 2)
        }))
    }))

  it.live("finds a damaged one, one that is another program's, and one of another version", () =>
    Effect.gen(function*() {
      const damaged = yield* logFile
      overwrite(damaged, 2 * pageBytes, 8 * pageBytes)
      assert.match(troubleOf(damaged).message, /^it is damaged: /u)
      assert.include(troubleOf(damaged).remedy, "recover")

      const cut = yield* logFile
      truncateSync(cut, 3 * pageBytes)
      assert.match(troubleOf(cut).message, /^it is damaged: /u)

      const foreign = yield* newFile
      writeFileSync(foreign, "this is no database, and was none ".repeat(20), { mode: 0o600 })
      assert.match(troubleOf(foreign).message, /no file of effect-emitter's/u)

      const later = yield* logFile
      const upgraded = new DatabaseSync(later)
      upgraded.exec("PRAGMA user_version = 99")
      upgraded.close()
      assert.match(troubleOf(later).message, /it has layout 99, and this version knows 2/u)
      assert.strictEqual(troubleOf(later).check, "sqlite layout")

      const before = yield* logFile
      toLayoutBefore(before)
      const found = checks(before)
      assert.deepStrictEqual(found.filter((one) => isTrouble(one) && one.check !== "sqlite disk"), [])
      assert.match(found.find(({ check }) => check === "sqlite layout")?.message ?? "", /layout 1, .* when it starts/u)
    }))

  it.live("finds one that others may read, and one that has no directory", () =>
    Effect.gen(function*() {
      const file = yield* logFile
      chmodSync(file, 0o644)
      assert.deepStrictEqual([troubleOf(file).severity, troubleOf(file).remedy], ["warning", `chmod 600 ${file}`])
      assert.match(troubleOf(join(dirname(file), "none", "events.db")).message, /there is no directory/u)
    }))

  it.live("finds one that is read-only, as the command that a person starts", () =>
    Effect.gen(function*() {
      const file = yield* logFile
      chmodSync(file, 0o400)
      const main = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url))
      const node = [process.execPath, "--disable-warning=ExperimentalWarning", main, "doctor", "--json"]
      // Root may write whatever it is told not to, unless it gives that up.
      const isRoot = process.getuid?.() === 0
      const [command = "", ...args] = isRoot
        ? ["setpriv", "--bounding-set=-dac_override,-dac_read_search", ...node]
        : node
      const { status, stderr, stdout } = spawnSync(command, args, {
        encoding: "utf8",
        env: { PATH: process.env["PATH"], SQLITE_FILE: file },
        timeout: 110_000,
        killSignal: "SIGKILL"
      })
      assert.strictEqual(status, 1, stderr)
      const { findings }: { readonly findings: ReadonlyArray<Finding> } = JSON.parse(stdout)
      const found = findings.find(({ severity }) => severity === "fault")
      assert.deepStrictEqual([found?.check, found?.message], ["sqlite file", `${file} may not be written to`])
      assert.include(found?.remedy, "the user of the service")
      assert.isTrue(findings.some(({ check, message }) => check === "settings" && message.includes("SQLITE_…: 1 set")))
    }))
})
