/**
 * Looks at the file of a spool: whether it can be read and written, by whom, and what
 * waits there.
 *
 * @since 0.2.0
 */
import * as Effect from "effect/Effect"
import * as FileFindings from "../output/FileFindings.ts"
import { fault, type Finding, ok, warning } from "../output/Finding.ts"
import * as SpoolFile from "../spool/SpoolFile.ts"

const check = "spool"

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
    const directory = FileFindings.ofDirectory(check, file)
    if (directory.some(({ severity }) => severity === "fault")) return Effect.succeed(directory)
    return Effect.map(ofContents(file), (contents) => [...directory, ...FileFindings.ofFile(check, file), ...contents])
  })
