/**
 * The thread that has the file: takes groups of steps, and does each in one
 * transaction.
 *
 * It loads no Effect, so that it is there soon.
 *
 * @since 0.2.0
 */
import { parentPort, workerData } from "node:worker_threads"
import type { Answer, Failure, Group, Said, Settings } from "../Messages.ts"
import * as File from "./File.ts"
import { Logs } from "./Logs.ts"
import * as Rows from "./Rows.ts"

const settings: Settings = workerData

// A page is given back to the file system where so large a part of the file is free.
const freePart = 1 / 8
const bytesAtOnce = 512 * 1024

// The file's time is written so often at most.
const nowEveryMs = 60_000

const say = (message: Said): void => parentPort?.postMessage(message, [])

const failureOf = (cause: unknown): Failure => ({
  code: File.codeOf(cause),
  message: cause instanceof Error ? cause.message : String(cause)
})

/**
 * What the file says of who had it last, and who has it now. It is on the disk before anything else is: or a machine that
 * ends would take with it that the file was open at all.
 */
const beginLife = ({ database, sql }: File.Opened) => {
  const meta = (key: string): string | undefined => {
    const row = sql.meta.get(key)
    return row === undefined ? undefined : Rows.text(row, "value")
  }
  sql.begin.run()
  const isSameLife = meta("life name") === settings.life
  const number = Number(meta("life") ?? 0) + (isSameLife ? 0 : 1)
  // Commits that were not on the disk yet go with the machine, and not with the process.
  const isTorn = !isSameLife && meta("state") === "open" && meta("boot") !== settings.boot
  const tornBefore = isTorn ? number : Number(meta("torn before") ?? 0)
  const now = Math.max(settings.wallMs, Number(meta("now") ?? 0))
  const facts = {
    life: String(number),
    "life name": settings.life,
    "torn before": String(tornBefore),
    boot: settings.boot,
    now: String(now),
    // Where each commit is on the disk before it is answered, none is lost.
    state: settings.isFull ? "synced" : "open"
  }
  for (const [key, value] of Object.entries(facts)) sql.setMeta.run(key, value)
  sql.commit.run()
  database.exec("PRAGMA wal_checkpoint(TRUNCATE)")
  if (!settings.isFull) database.exec("PRAGMA synchronous = NORMAL")
  return { life: { number, name: settings.life, tornBefore }, now, isTorn }
}

const start = (): void => {
  let opened = File.open(settings)
  const { isTorn, life, now } = beginLife(opened)
  let logs = new Logs(opened.sql, settings, life)
  say({
    _tag: "opened",
    now,
    revoked: Array.from(
      opened.sql.revoked.iterate(),
      (row) => [Rows.user(row, "user"), Rows.int(row, "at"), Rows.int(row, "since")] as const
    ),
    setAside: opened.setAside,
    isTorn
  })

  let saidAt = now

  const rollback = (): void => {
    logs.clear()
    if (opened.database.isTransaction) opened.sql.rollback.run()
  }

  const commit = (group: Group): ReadonlyArray<Answer> => {
    const { sql } = opened
    sql.begin.run()
    const answers = group.steps.map((step): Answer => ({ value: logs.perform(step, group) }))
    if (group.now - saidAt >= nowEveryMs) {
      sql.setMeta.run("now", String(group.now))
      saidAt = group.now
    }
    sql.commit.run()
    return answers
  }

  // What is wrong with one step is no other's trouble.
  const oneByOne = (group: Group): ReadonlyArray<Answer> =>
    group.steps.flatMap((step): ReadonlyArray<Answer> => {
      try {
        return commit({ ...group, steps: [step] })
      } catch (cause) {
        rollback()
        if (File.codeOf(cause) !== undefined) throw cause
        return [{ failure: failureOf(cause) }]
      }
    })

  // What is set aside can still be looked at; the logs begin anew.
  const reset = (cause: unknown): void => {
    opened.database.close()
    const setAside = File.moveAside(settings)
    opened = File.open(settings)
    logs = new Logs(opened.sql, settings, beginLife(opened).life)
    say({ _tag: "reset", setAside, message: failureOf(cause).message })
  }

  const attempt = (group: Group): ReadonlyArray<Answer> => {
    try {
      return commit(group)
    } catch (cause) {
      rollback()
      if (File.codeOf(cause) !== undefined) throw cause
      return oneByOne(group)
    }
  }

  const give = (group: Group): void => {
    try {
      const answers = attempt(group)
      say({ _tag: "done", id: group.id, answers })
      if (group.steps.some(({ _tag }) => _tag === "sweep")) vacuum()
    } catch (cause) {
      rollback()
      if (File.isDamage(cause)) reset(cause)
      say({ _tag: "failed", id: group.id, failure: failureOf(cause) })
    }
  }

  // A few pages at a time: the file gets smaller while it is in use.
  const vacuum = (): void => {
    const row = opened.sql.pages.get() ?? {}
    const pagesAtOnce = Math.floor(bytesAtOnce / Rows.int(row, "size"))
    if (Rows.int(row, "free") > Math.max(pagesAtOnce, Rows.int(row, "pages") * freePart)) {
      opened.database.exec(`PRAGMA incremental_vacuum(${pagesAtOnce})`)
    }
  }

  const close = (): void => {
    try {
      // With the last connection the log of writes goes into the file.
      opened.sql.setMeta.run("state", "closed")
      opened.database.close()
    } finally {
      say({ _tag: "closed" })
      parentPort?.close()
    }
  }

  parentPort?.on("message", (message: Group | "close") => message === "close" ? close() : give(message))
}

try {
  start()
} catch (cause) {
  const refusal = cause instanceof File.Refusal ? cause : undefined
  say({ _tag: "refused", reason: refusal?.reason ?? "unusable", message: failureOf(cause).message })
}
