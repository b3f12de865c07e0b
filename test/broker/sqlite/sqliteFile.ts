/** Files of their own for tests of the SQLite broker. */
import { Effect, Layer } from "effect"
import { SqliteBroker } from "effect-emitter/sqlite"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"

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

/** Makes of a file that is closed one of the layout before, with all that is in it. */
export const toLayoutBefore = (file: string): void => {
  const database = new DatabaseSync(file)
  database.exec(`
    PRAGMA journal_mode = DELETE;
    BEGIN;
    ALTER TABLE event RENAME TO event_later;
    ALTER TABLE run RENAME TO run_later;
    CREATE TABLE event (
      user INTEGER NOT NULL,
      off INTEGER NOT NULL,
      src INTEGER NOT NULL,
      seq INTEGER NOT NULL,
      class INTEGER NOT NULL,
      since INTEGER NOT NULL,
      body TEXT NOT NULL,
      PRIMARY KEY (user, off)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE run (
      user INTEGER NOT NULL,
      run TEXT NOT NULL,
      since INTEGER NOT NULL,
      off INTEGER NOT NULL,
      ended INTEGER NOT NULL,
      state TEXT,
      PRIMARY KEY (user, run)
    ) STRICT, WITHOUT ROWID;
    INSERT INTO event SELECT * FROM event_later;
    INSERT INTO run SELECT * FROM run_later;
    DROP TABLE event_later;
    DROP TABLE run_later;
    CREATE INDEX run_active ON run (user) WHERE ended = 0;
    PRAGMA user_version = 1;
    COMMIT;
    PRAGMA page_size = 4096;
    VACUUM;
  `)
  database.close()
}
