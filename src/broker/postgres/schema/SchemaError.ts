/**
 * That a database has not the schema that this package works with.
 *
 * @since 0.2.0
 */
import * as Schema from "effect/Schema"

/**
 * The `schema` is missing (`found` 0) or of another version than `expected`. `remedy`
 * says what to do.
 *
 * @category errors
 * @since 0.2.0
 */
export class SchemaMismatch extends Schema.TaggedError<SchemaMismatch>()("SchemaMismatch", {
  server: Schema.String,
  schema: Schema.String,
  found: Schema.Int,
  expected: Schema.Int
}) {
  /** What to do. */
  get remedy() {
    return this.found > this.expected
      ? "Another process has a newer version of effect-emitter: update this one"
      : "Run what PostgresBroker.migrationSql gives as a user who may create it, or build the layer once with migrate: true"
  }
  override get message() {
    const what = this.found === 0 ? "has no" : `has version ${this.found} of the`
    return `Postgres at ${this.server} ${what} schema "${this.schema}" of effect-emitter, and version ${this.expected} is ` +
      `needed. ${this.remedy}.`
  }
}
