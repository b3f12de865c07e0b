/**
 * Loaded before a program (`--import`), in each of its threads: while there is a file named as `STALLED_WHILE` says, the thread
 * that has the file of the logs waits at each statement, as at a disk that does not answer.
 */
import { existsSync } from "node:fs"
import { StatementSync } from "node:sqlite"
import { isMainThread } from "node:worker_threads"

const flag = process.env["STALLED_WHILE"] ?? ""
const waiting = new Int32Array(new SharedArrayBuffer(4))

if (!isMainThread) {
  StatementSync.prototype.run = new Proxy(StatementSync.prototype.run, {
    apply: (run, statement, parameters) => {
      while (existsSync(flag)) Atomics.wait(waiting, 0, 0, 20)
      return Reflect.apply(run, statement, parameters)
    }
  })
}
