/**
 * The data of commands, read by its schema.
 *
 * @since 0.2.0
 */
import * as Cause from "effect/Cause"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import * as Command from "../../protocol/command/Command.ts"

/**
 * The outcome of a command whose data its schema refuses: it names the first place
 * that is wrong, as a path such as `answer.address.city`, and says what is needed
 * there. A schema that throws is told of as data that cannot be read: what it threw
 * may hold a secret.
 *
 * @category constructors
 * @since 0.2.0
 */
export const invalid = (cause: Cause.Cause<Schema.SchemaError>, under: ReadonlyArray<string> = []): Command.Outcome => {
  const error = Cause.findErrorOption(cause)
  if (error._tag === "None") return Command.refused("invalid", { path: under.join("."), message: "It cannot be read" })
  const [first] = toStandard(error.value.issue).issues
  const path = (first?.path ?? []).map((segment) => String(typeof segment === "object" ? segment.key : segment))
  const message = (first?.message ?? "It is not valid").replaceAll(/\s*\n\s*/gu, " ").slice(0, maxMessage)
    .toWellFormed()
  return Command.refused("invalid", { path: [...under, ...path].join("."), message })
}

const toStandard = SchemaIssue.makeFormatterStandardSchemaV1()

const maxMessage = 500

/**
 * The JSON Schema of a schema, in one document.
 *
 * @category conversions
 * @since 0.2.0
 */
export const toJsonSchema = (schema: Schema.Top): Schema.JsonObject => {
  const document = Schema.toJsonSchemaDocument(schema)
  const whole = Object.keys(document.definitions).length === 0
    ? document.schema
    : { ...document.schema, $defs: document.definitions }
  // What is no JSON in it, such as a default of its own kind, is left out.
  return JSON.parse(JSON.stringify(whole))
}
