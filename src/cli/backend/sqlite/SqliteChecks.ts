/**
 * Looks for what is wrong with the file of the SQLite broker: directory, disk, rights,
 * whose file it is, its layout, damage, who has it, and how long the disk takes to write.
 *
 * @since 0.2.0
 */
import type * as Clock from "effect/Clock"
import { closeSync, fsyncSync, mkdtempSync, openSync, rmSync, statSync, writeSync } from "node:fs"
import { dirname, join, resolve } from "node:path"
import { version } from "../../../broker/sqlite/worker/Layout.ts"
import * as NetworkShare from "../../../broker/sqlite/worker/NetworkShare.ts"
import * as Monotonic from "../../../protocol/values/Monotonic.ts"
import * as FileFindings from "../../output/FileFindings.ts"
import { fault, type Finding, note, ok, warning } from "../../output/Finding.ts"
import * as LogFile from "./LogFile.ts"

const ofPlace = (file: string): ReadonlyArray<Finding> => {
  const directory = FileFindings.ofDirectory("sqlite file", file)
  if (directory.some(({ severity }) => severity === "fault")) return directory
  const share = NetworkShare.kindOf(file)
  return share === undefined ? directory : [
    ...directory,
    fault(
      "sqlite file",
      `it is on a network share (${share}), where locks do not hold`,
      "write the path of a file on a disk of this machine into SQLITE_FILE, or use Postgres or Redis"
    )
  ]
}

const ofHeader = (header: LogFile.Header): ReadonlyArray<Finding> => {
  switch (header._tag) {
    case "Missing":
    case "Empty":
      return []
    case "Foreign":
      return [
        fault(
          "sqlite file",
          "it is no file of effect-emitter's, or its beginning is damaged",
          "write the path of another file into SQLITE_FILE; where it was one, stop the service and restore a backup"
        )
      ]
    case "Log":
      if (header.layout > 0 && header.layout < version) {
        return [
          note("sqlite layout", `it has layout ${header.layout}, and the service makes it ${version} when it starts`)
        ]
      }
      return header.layout === version || header.layout === 0
        ? [ok("sqlite layout", `it has layout ${header.layout}`)]
        : [
          fault(
            "sqlite layout",
            `it has layout ${header.layout}, and this version knows ${version}`,
            "use the version of effect-emitter that wrote it, or stop the service and move it and the files beside it " +
              "(-wal, -shm) away: logs begin anew"
          )
        ]
  }
}

/** Larger ones would take long to look through, and the service waits meanwhile. */
const mostLookedThrough = 256 * 1024 * 1024

const damage = (what: string): Finding =>
  fault(
    "sqlite file",
    `it is damaged: ${what}`,
    "the service will move it aside when it starts, and begin logs anew: look with \"sqlite3 … .recover\" for what can be " +
      "saved, and at the system's log for a disk that fails"
  )

const ofContents = (file: string): ReadonlyArray<Finding> => {
  try {
    return LogFile.use(file, (database) => {
      // Reading takes the lock that a process which has the file holds.
      const { events } = database.prepare("SELECT count(*) AS events FROM (SELECT 1 FROM event LIMIT 1)").get() ?? {}
      const contents = events === 0 ? "holds no event" : "holds events"
      if (statSync(file).size > mostLookedThrough) {
        return [ok("sqlite file", `no process has it; it ${contents}, and is too large to look through`)]
      }
      const [found = ""] = Object.values(database.prepare("PRAGMA quick_check(1)").get() ?? {})
      return found === "ok"
        ? [ok("sqlite file", `no process has it; it ${contents}, and is whole`)]
        : [damage(String(found))]
    })
  } catch (cause) {
    if (LogFile.isHeld(cause)) {
      return [
        note("sqlite file", "a process has it: the service, or one that would keep it from starting (lsof tells which)")
      ]
    }
    const why = cause instanceof Error ? cause.message : String(cause)
    return [
      LogFile.isDamaged(cause)
        ? damage(why)
        : fault("sqlite file", `it cannot be read: ${why}`, "run doctor as the user of the service")
    ]
  }
}

const slowMs = 100

/** How long a page takes until it is on the disk, beside the file. */
const ofDisk = (file: string, clock: Clock.Clock): Finding => {
  const directory = mkdtempSync(join(dirname(resolve(file)), ".effect-emitter-doctor-"))
  try {
    const descriptor = openSync(join(directory, "page"), "wx", 0o600)
    try {
      const startedAt = Monotonic.millisUnsafe(clock)
      writeSync(descriptor, Buffer.alloc(4096))
      fsyncSync(descriptor)
      const ms = Math.ceil(Monotonic.millisUnsafe(clock) - startedAt)
      return ms <= slowMs ? ok("sqlite disk", `a page is written in ${ms} ms`) : warning(
        "sqlite disk",
        `a page takes ${ms} ms until it is written`,
        "look what else writes to the disk; with SQLITE_SYNCHRONOUS=normal an append does not wait for it"
      )
    } finally {
      closeSync(descriptor)
    }
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

const attempt = (check: string, look: () => ReadonlyArray<Finding>): ReadonlyArray<Finding> => {
  try {
    return look()
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    return [fault(check, why, "see the disk's room and rights, and run doctor as the user of the service")]
  }
}

/**
 * What there is to say of a file. The clock tells how long the disk takes.
 *
 * @category operations
 * @since 0.2.0
 */
export const checks = (file: string, clock: Clock.Clock): ReadonlyArray<Finding> => {
  const isFault = ({ severity }: Finding): boolean => severity === "fault"
  const place = attempt("sqlite file", () => ofPlace(file))
  if (place.some(isFault)) return place
  const disk = attempt("sqlite disk", () => [ofDisk(file, clock)])
  const rights = FileFindings.ofFile("sqlite file", file)
  const contents = attempt("sqlite file", () => {
    const header = LogFile.headerOf(file)
    const found = ofHeader(header)
    // What cannot be written cannot be opened as the service does.
    return header._tag !== "Log" || [...found, ...rights].some(isFault) ? found : [...found, ...ofContents(file)]
  })
  return [...place, ...rights, ...contents, ...disk]
}
