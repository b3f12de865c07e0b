/** Files of their own for tests of the SQLite broker. */
import { Effect, Layer } from "effect"
import { SqliteBroker } from "effect-emitter/sqlite"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

/** The path of a file that is not there yet, in a directory that goes with the scope. */
export const newFile = Effect.map(
  Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "effect-emitter-sqlite-"))),
    (directory) => Effect.sync(() => rmSync(directory, { recursive: true, force: true }))
  ),
  (directory) => join(directory, "events.db")
)

/** A broker over a file of its own. */
export const onNewFile = (options: Omit<Parameters<typeof SqliteBroker.layer>[0], "file">) =>
  Layer.unwrap(Effect.map(newFile, (file) => SqliteBroker.layer({ ...options, file })))
