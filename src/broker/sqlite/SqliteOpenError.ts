/**
 * Why the file cannot be used.
 *
 * @since 0.2.0
 */
import * as Schema from "effect/Schema"

const remedies = {
  locked: "give each process a file of its own, or let the other one end first",
  version: "use the version of effect-emitter that wrote it, or move it and the files beside it (-wal, -shm) away",
  foreign: "give the path of another file",
  networkShare: "keep it on a disk of this machine, or use Postgres or Redis",
  unusable: "see that its directory exists, that file and directory belong to this user, and that the disk has room"
}

/**
 * The file cannot be used: another process holds it, or another broker of this one
 * (`locked`), another version of the package wrote it (`version`), it is not the
 * package's (`foreign`), it is on a network share (`networkShare`), or it cannot be
 * opened or written (`unusable`). It is left as it was.
 *
 * @category errors
 * @since 0.2.0
 */
export class SqliteOpenError extends Schema.TaggedError<SqliteOpenError>()("SqliteOpenError", {
  file: Schema.String,
  reason: Schema.Literals(["locked", "version", "foreign", "networkShare", "unusable"]),
  detail: Schema.String
}) {
  override get message() {
    return `The file ${this.file} cannot keep the logs (${this.reason}): ${this.detail}; ${remedies[this.reason]}`
  }
}
