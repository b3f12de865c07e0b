/**
 * What is asked of the file, prepared once.
 *
 * @since 0.2.0
 */
import type { DatabaseSync, StatementSync } from "node:sqlite"

const texts = {
  begin: "BEGIN IMMEDIATE",
  commit: "COMMIT",
  rollback: "ROLLBACK",

  meta: "SELECT value FROM meta WHERE key = ?",
  setMeta: "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",

  user: "SELECT * FROM user WHERE name = ?",
  addUser: "INSERT INTO user (name, epoch, first, head, bytes, folded, empty, oldest, life, acknowledged) "
    + "VALUES (?, ?, 1, 0, 0, 0, 1, ?, ?, '[]') RETURNING id",
  setUser: "UPDATE user SET epoch = ?, first = ?, head = ?, bytes = ?, folded = ?, life = ? WHERE id = ?",
  setAge: "UPDATE user SET empty = ?, oldest = ? WHERE id = ?",
  setAcknowledged: "UPDATE user SET acknowledged = ? WHERE id = ?",
  dropUser: "DELETE FROM user WHERE id = ?",
  aged: "SELECT name FROM user WHERE empty = 0 AND oldest < ? ORDER BY oldest LIMIT ?",
  oldest: "SELECT name FROM user WHERE empty = 0 ORDER BY oldest LIMIT 1",
  forgettable: "SELECT name FROM user WHERE empty = 1 AND oldest < ? ORDER BY oldest LIMIT ?",

  addEvent: "INSERT INTO event (user, off, src, seq, class, since, body) VALUES (?, ?, ?, ?, ?, ?, ?)",
  events: "SELECT off, class, body FROM event WHERE user = ? AND off > ? ORDER BY off LIMIT ?",
  eldest: "SELECT off, src, since, octet_length(body) AS bytes FROM event WHERE user = ? AND off >= ? ORDER BY off",
  offsetOf: "SELECT off FROM event WHERE user = ? AND off >= ? AND src = ? AND seq = ? ORDER BY off DESC LIMIT 1",
  dropEvents: "DELETE FROM event WHERE user = ? AND off < ?",

  sources: "SELECT id, name, taken, held, spent FROM source WHERE user = ? ORDER BY spent",
  addSource: "INSERT INTO source (user, name, taken, held, spent) VALUES (?, ?, '[]', 0, 0) RETURNING id",
  setSource: "UPDATE source SET taken = ?, held = ?, spent = ? WHERE id = ?",
  dropSource: "DELETE FROM source WHERE id = ?",
  dropSources: "DELETE FROM source WHERE user = ?",

  runs: "SELECT run, since, off, ended, state FROM run WHERE user = ? ORDER BY since",
  putRun: "INSERT INTO run (user, run, since, off, ended, state) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (user, run) "
    + "DO UPDATE SET since = excluded.since, off = excluded.off, ended = excluded.ended, state = excluded.state",
  turnRun: "UPDATE run SET ended = ? WHERE user = ? AND run = ?",
  dropRun: "DELETE FROM run WHERE user = ? AND run = ?",
  dropRuns: "DELETE FROM run WHERE user = ?",
  orphans: "SELECT name FROM user WHERE life < ? AND id IN (SELECT user FROM run WHERE ended = 0) LIMIT ?",

  lost: "SELECT run, number FROM lost WHERE user = ? ORDER BY number",
  addLost: "INSERT OR REPLACE INTO lost (user, run, number) VALUES (?, ?, ?)",
  dropLost: "DELETE FROM lost WHERE user = ? AND run = ?",
  dropAllLost: "DELETE FROM lost WHERE user = ?",

  revoked: "SELECT user, at, since FROM revoked ORDER BY since",
  revocation: "SELECT at FROM revoked WHERE user = ?",
  setRevoked: "INSERT OR REPLACE INTO revoked (user, at, since) VALUES (?, ?, ?)",
  dropRevoked: "DELETE FROM revoked WHERE user IN (SELECT user FROM revoked WHERE since < ? ORDER BY since LIMIT ?)",

  command: "SELECT digest, outcome FROM command WHERE user = ? AND id = ? AND since >= ?",
  setCommand: "INSERT OR REPLACE INTO command (user, id, digest, outcome, since) VALUES (?, ?, ?, ?, ?)",
  dropCommands:
    "DELETE FROM command WHERE (user, id) IN (SELECT user, id FROM command WHERE since < ? ORDER BY since LIMIT ?)",

  pages: "SELECT page_count AS pages, freelist_count AS free, page_size AS size "
    + "FROM pragma_page_count, pragma_freelist_count, pragma_page_size"
} as const

/**
 * Each statement by its name.
 *
 * @category models
 * @since 0.2.0
 */
export type Statements = { readonly [Name in keyof typeof texts]: StatementSync }

/**
 * Prepares them.
 *
 * @category constructors
 * @since 0.2.0
 */
export const prepare = (database: DatabaseSync): Statements => {
  const of = (name: keyof typeof texts): StatementSync => database.prepare(texts[name])
  return {
    begin: of("begin"),
    commit: of("commit"),
    rollback: of("rollback"),
    meta: of("meta"),
    setMeta: of("setMeta"),
    user: of("user"),
    addUser: of("addUser"),
    setUser: of("setUser"),
    setAge: of("setAge"),
    setAcknowledged: of("setAcknowledged"),
    dropUser: of("dropUser"),
    aged: of("aged"),
    oldest: of("oldest"),
    forgettable: of("forgettable"),
    addEvent: of("addEvent"),
    events: of("events"),
    eldest: of("eldest"),
    offsetOf: of("offsetOf"),
    dropEvents: of("dropEvents"),
    sources: of("sources"),
    addSource: of("addSource"),
    setSource: of("setSource"),
    dropSource: of("dropSource"),
    dropSources: of("dropSources"),
    runs: of("runs"),
    putRun: of("putRun"),
    turnRun: of("turnRun"),
    dropRun: of("dropRun"),
    dropRuns: of("dropRuns"),
    orphans: of("orphans"),
    lost: of("lost"),
    addLost: of("addLost"),
    dropLost: of("dropLost"),
    dropAllLost: of("dropAllLost"),
    revoked: of("revoked"),
    revocation: of("revocation"),
    setRevoked: of("setRevoked"),
    dropRevoked: of("dropRevoked"),
    command: of("command"),
    setCommand: of("setCommand"),
    dropCommands: of("dropCommands"),
    pages: of("pages")
  }
}
