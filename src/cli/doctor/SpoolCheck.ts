/**
 * Looks at the file of a spool: whether it can be read and written, by whom, and what
 * waits there.
 *
 * @since 0.2.0
 */
import * as Effect from "effect/Effect"
import { accessSync, constants, statfsSync, statSync } from "node:fs"
import { dirname, resolve } from "node:path"
import { fault, type Finding, note, ok, warning } from "../output/Finding.ts"
import * as SpoolFile from "../spool/SpoolFile.ts"

const check = "spool"

const attempt = <A>(use: () => A): A | undefined => {
  try {
    return use()
  } catch {
    return undefined
  }
}

const isWritable = (path: string): boolean => attempt(() => accessSync(path, constants.W_OK) ?? true) === true

const leastFree = 256 * 1024 * 1024

const ofDirectory = (file: string): ReadonlyArray<Finding> => {
  const directory = dirname(resolve(file))
  const stat = attempt(() => statSync(directory))
  if (stat === undefined) {
    return [
      fault(check, `there is no directory ${directory}`, `mkdir -p ${directory}, owned by the user of the service`)
    ]
  }
  if (!isWritable(directory)) {
    return [
      fault(
        check,
        `${directory} may not be written to`,
        "give it to the user of the service, and run doctor as that user"
      )
    ]
  }
  const space = attempt(() => statfsSync(directory))
  const free = space === undefined ? Number.POSITIVE_INFINITY : space.bavail * space.bsize
  if (free >= leastFree) return []
  return [
    warning(
      check,
      `its disk has ${Math.floor(free / 1024 / 1024)} MiB left`,
      "make room, or move the spool to a larger disk"
    )
  ]
}

const othersToo = 0o077

const ofFile = (file: string): ReadonlyArray<Finding> => {
  const stat = attempt(() => statSync(file))
  if (stat === undefined) return [note(check, `there is no ${file} yet; the first process makes it`)]
  if (!isWritable(file)) {
    return [
      fault(check, `${file} may not be written to`, "give it to the user of the service, and run doctor as that user")
    ]
  }
  return (stat.mode & othersToo) === 0
    ? []
    : [warning(check, `others may read ${file}, which holds users' events`, `chmod 600 ${file}`)]
}

const remedies = {
  missing: "the first process makes it",
  damaged: "stop the service, move the file and those beside it (-wal, -shm) away to begin with a new one, and look " +
    "with \"sqlite3 … .recover\" for what can be saved",
  version:
    "let the version that wrote it drain it, or stop the service and move it and those beside it (-wal, -shm) away",
  unreadable: "run doctor as the user of the service"
}

const ofContents = (file: string): Effect.Effect<ReadonlyArray<Finding>> =>
  SpoolFile.read(file, (contents) => ({ ...contents.depth, letters: contents.letters().length })).pipe(
    Effect.match({
      onFailure: ({ message, reason }): ReadonlyArray<Finding> =>
        reason === "missing" ? [] : [fault(check, message, remedies[reason])],
      onSuccess: ({ events, letters, users }): ReadonlyArray<Finding> => [
        events === 0 ? ok(check, "nothing waits there") : warning(
          check,
          `${events} events of ${users} users wait there`,
          "see that the broker works, and that a process with this spool runs: it drains by itself"
        ),
        ...(letters === 0 ? [] : [
          warning(
            check,
            `${letters} dead letters are kept there`,
            "look what they are with effect-emitter why, mend the cause, and replay them with DeadLetters.replay"
          )
        ])
      ]
    })
  )

/**
 * What there is to say of a spool file.
 *
 * @category operations
 * @since 0.2.0
 */
export const checkFile = (file: string): Effect.Effect<ReadonlyArray<Finding>> =>
  Effect.suspend(() => {
    const directory = ofDirectory(file)
    if (directory.some(({ severity }) => severity === "fault")) return Effect.succeed(directory)
    return Effect.map(ofContents(file), (contents) => [...directory, ...ofFile(file), ...contents])
  })
