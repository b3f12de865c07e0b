/**
 * The dead letters of a spool file: what was durable in the spool stays durable
 * as a dead letter, in a table beside it.
 *
 * @since 0.1.0
 */
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { DatabaseSync } from "node:sqlite"
import type { Envelope } from "../../protocol/wire/Envelope.ts"
import { EventId, UserId } from "../../protocol/values/Identity.ts"
import type { DurableLetters, StoredLetter } from "./SpoolStore.ts"
import { checksum, decodeEnvelope, encodeEnvelope } from "./StoredEnvelope.ts"

/**
 * The table, by the user and the id of the event: a letter is there once.
 *
 * @category constants
 * @since 0.1.0
 */
export const table = `
  CREATE TABLE IF NOT EXISTS letter (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    user TEXT NOT NULL,
    event TEXT NOT NULL,
    cause TEXT NOT NULL,
    at REAL NOT NULL,
    reasons TEXT NOT NULL,
    envelope TEXT NOT NULL,
    checksum INTEGER NOT NULL,
    UNIQUE (user, event)
  ) STRICT;
`

/**
 * The letters of an open database that has the table.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (database: DatabaseSync): Omit<DurableLetters, "onFound"> => {
  const insert = database.prepare(
    "INSERT OR REPLACE INTO letter (user, event, cause, at, reasons, envelope, checksum) VALUES (?, ?, ?, ?, ?, ?, ?)"
  )
  const erase = database.prepare("DELETE FROM letter WHERE user = ? AND event = ?")
  const select = database.prepare("SELECT * FROM letter ORDER BY seq")

  const all = (step: () => void): void => {
    // A caller may have a transaction of its own.
    if (database.isTransaction) return step()
    database.exec("BEGIN IMMEDIATE")
    try {
      step()
      database.exec("COMMIT")
    } catch (cause) {
      if (database.isTransaction) database.exec("ROLLBACK")
      throw cause
    }
  }

  return {
    load: () => Array.from(select.iterate(), (found) => letterOf(decodeRow(found))),
    put: (letters) =>
      all(() => {
        for (const { at, event, reasons, trigger, user } of letters) {
          const text = encodeEnvelope(event)
          insert.run(user, event.id, trigger, at, encodeReasons(reasons), text, checksum(user, text))
        }
      }),
    remove: (letters) =>
      all(() => {
        for (const { event, user } of letters) erase.run(user, event.id)
      })
  }
}

const Row = Schema.Struct({
  seq: Schema.Int,
  user: UserId,
  event: EventId,
  cause: Schema.String,
  at: Schema.Finite,
  reasons: Schema.String,
  envelope: Schema.String,
  checksum: Schema.Int
})
const decodeRow = Schema.decodeUnknownSync(Row)

const letterOf = ({ at, cause, checksum: sum, envelope, event, reasons, user }: typeof Row.Type): StoredLetter => {
  const read = sum === checksum(user, envelope) ? decodeEnvelope(envelope) : Option.none<Envelope>()
  return Option.match(read, {
    onSome: (found) => ({ user, event: found, trigger: cause, reasons: decodeReasons(reasons), at }),
    onNone: () => damagedLetter(user, event, envelope, at)
  })
}

/**
 * A letter for what was stored and is not as it was written: its text as it was
 * read is the event's data. It cannot be delivered, and must not be.
 *
 * @category constructors
 * @since 0.1.0
 */
export const damagedLetter = (user: UserId, id: EventId, text: string, at: number): StoredLetter => {
  const data = { text: text.toWellFormed() }
  const body = `"id":${JSON.stringify(id)},"type":"damaged","at":${at},"data":${JSON.stringify(data)}}`
  const event: Envelope = {
    id,
    source: "spool",
    sequence: 0,
    type: "damaged",
    delivery: "critical",
    at,
    run: undefined,
    thread: undefined,
    confirm: false,
    body,
    bytes: Buffer.byteLength(body),
    data
  }
  const why = "The spool file gave back what was not written: its checksum does not fit"
  return { user, event, trigger: "damaged", reasons: [{ outlet: "spool", why }], at }
}

const StoredReasons = Schema.fromJsonString(Schema.Array(Schema.Struct({ outlet: Schema.String, why: Schema.String })))
const encodeReasons = Schema.encodeSync(StoredReasons)
const readReasons = Schema.decodeUnknownOption(StoredReasons)
const decodeReasons = (text: string) => Option.getOrElse(readReasons(text), () => [])
