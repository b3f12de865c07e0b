/**
 * What stands in the file.
 *
 * | table | row |
 * |---|---|
 * | `meta` | a fact about the file: the process and the boot that had it last, how it was closed, its time |
 * | `user` | a user's log: epoch, first offset, head, bytes; up to which offset the states of its runs were written (`folded`) |
 * | | `empty`: 1 where it has no event and no active run, 2 where it has no event; `oldest`: when its oldest event came, or when it became empty |
 * | `event` | an event: its source and number, its class, when it came (`since`), its text |
 * | `source` | which numbers of an emitter's were taken, how many of its events the log has, and since which offset none |
 * | `run` | a run: whether it has ended, and its state after the event at `off`; no state where all of its events are past `folded` |
 * | `lost` | a run that takes nothing more until it starts anew |
 * | `revoked` | when a user's access was revoked |
 * | `command` | what became of a command |
 *
 * @since 0.2.0
 */

/**
 * Stands in the header of the file, so that it is known again.
 *
 * @category layout
 * @since 0.2.0
 */
export const applicationId = 0x65666d74

/**
 * The version of the layout.
 *
 * @category layout
 * @since 0.2.0
 */
export const version = 2

/**
 * How large the pages of a new file are, in bytes. Events share them; one of more than half
 * of it has a page for itself, or several.
 *
 * @category layout
 * @since 0.2.0
 */
export const pageBytes = 8192

// With a rowid: a table without one keeps a quarter of a page of each row, and the rest of it in pages of its own.
const eventTable = `
  CREATE TABLE event (
    user INTEGER NOT NULL,
    off INTEGER NOT NULL,
    src INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    class INTEGER NOT NULL,
    since INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (user, off)
  ) STRICT;
`
const runTable = `
  CREATE TABLE run (
    user INTEGER NOT NULL,
    run TEXT NOT NULL,
    since INTEGER NOT NULL,
    off INTEGER NOT NULL,
    ended INTEGER NOT NULL,
    state TEXT,
    PRIMARY KEY (user, run)
  ) STRICT;
  CREATE INDEX run_active ON run (user) WHERE ended = 0;
`

/**
 * Makes the tables of the version before those of this one, with all that is in them.
 *
 * @category layout
 * @since 0.2.0
 */
export const fromVersion1 = `
  DROP INDEX run_active;
  ALTER TABLE event RENAME TO event_before;
  ALTER TABLE run RENAME TO run_before;
  ${eventTable}${runTable}
  INSERT INTO event (user, off, src, seq, class, since, body)
    SELECT user, off, src, seq, class, since, body FROM event_before ORDER BY user, off;
  INSERT INTO run (user, run, since, off, ended, state) SELECT user, run, since, off, ended, state FROM run_before;
  DROP TABLE event_before;
  DROP TABLE run_before;
`

/**
 * Makes the tables.
 *
 * @category layout
 * @since 0.2.0
 */
export const tables = `
  CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE user (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    epoch TEXT NOT NULL,
    first INTEGER NOT NULL,
    head INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    folded INTEGER NOT NULL,
    empty INTEGER NOT NULL,
    oldest INTEGER NOT NULL,
    life INTEGER NOT NULL,
    acknowledged TEXT NOT NULL
  ) STRICT;
  CREATE INDEX user_by_age ON user (empty, oldest);
  ${eventTable}
  CREATE TABLE source (
    id INTEGER PRIMARY KEY,
    user INTEGER NOT NULL,
    name TEXT NOT NULL,
    taken TEXT NOT NULL,
    held INTEGER NOT NULL,
    spent INTEGER NOT NULL,
    UNIQUE (user, name)
  ) STRICT;
  ${runTable}
  CREATE TABLE lost (
    user INTEGER NOT NULL,
    run TEXT NOT NULL,
    number INTEGER NOT NULL,
    PRIMARY KEY (user, run)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE revoked (user TEXT PRIMARY KEY, at INTEGER NOT NULL, since INTEGER NOT NULL) STRICT, WITHOUT ROWID;
  CREATE INDEX revoked_by_age ON revoked (since);
  CREATE TABLE command (
    user TEXT NOT NULL,
    id TEXT NOT NULL,
    digest TEXT NOT NULL,
    outcome TEXT NOT NULL,
    since INTEGER NOT NULL,
    PRIMARY KEY (user, id)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX command_by_age ON command (since);
`
