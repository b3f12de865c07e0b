/**
 * Checks and encodes payloads, once per event, and writes envelopes.
 *
 * Encoders are compiled once per definition. The parts of an envelope that do
 * not change from event to event are prepared once: per definition its type,
 * per emitter its context.
 *
 * @since 0.1.0
 */
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as SchemaJITCompiler from "effect/schema/SchemaJITCompiler"
import * as SchemaAST from "effect/SchemaAST"
import type { AnyDefinition, Keep } from "../../protocol/event/Event.ts"
import type { EmissionContext, RunId } from "../../protocol/values/Identity.ts"
import { present } from "../../protocol/values/Present.ts"

/**
 * How events of one definition are encoded.
 *
 * @category models
 * @since 0.1.0
 */
export interface Encoder {
  readonly encode: (payload: object) => Exit.Exit<Schema.JsonObject, Schema.SchemaError>
  /**
   * Whether a payload is valid and its fields are what they would be encoded
   * to. It may have others, which encoding leaves out.
   */
  readonly isEncoded: (payload: object) => payload is Schema.JsonObject
  /** Whether no field of an encoded payload can be an object or array, so that nobody can change anything in it. */
  readonly isFlat: boolean
  /** `","type":"…","at":`, and how the event is kept, if it is, before the time. */
  readonly typePart: string
  readonly keep: Keep | undefined
}

const never = (_: object): _ is never => false

const isFlat = (encoded: SchemaAST.AST): boolean =>
  SchemaAST.isObjects(encoded) && encoded.indexSignatures.length === 0 &&
  encoded.propertySignatures.every(({ type }) => isPrimitive(type))

// Each of these is encoded to a value that is no object. Others may be, such as what has an encoding of its own.
const isPrimitive = (ast: SchemaAST.AST): boolean =>
  ast.encoding === undefined && (
    SchemaAST.isString(ast) || SchemaAST.isNumber(ast) || SchemaAST.isBoolean(ast) || SchemaAST.isLiteral(ast) ||
    SchemaAST.isUnion(ast) && ast.types.every(isPrimitive)
  )

const encoders = new WeakMap<AnyDefinition, Encoder>()

// Fields that are undefined are looked for only where a payload was refused, so that others cost nothing.
const presently = (encode: Encoder["encode"]): Encoder["encode"] => (payload) => {
  const exit = encode(payload)
  if (exit._tag === "Success") return exit
  const given = present(payload)
  return typeof given === "object" && given !== null ? encode(given) : exit
}

const makeEncoder = (definition: AnyDefinition): Encoder => {
  const flipped = SchemaAST.flip(definition.payload.ast)
  // Without this the first use would fix the interpreted encoder. It falls back where `new Function` is blocked.
  SchemaJITCompiler.enable(flipped)
  const encode = Schema.encodeUnknownExit(definition.payload)
  return {
    // A struct of JSON-encodable fields encodes to a JSON object; JSON.stringify would drop anything else.
    encode: presently(encode as Encoder["encode"]),
    // A schema that transforms nothing is its own flip.
    isEncoded: flipped === definition.payload.ast ? Schema.is(definition.payload) as Encoder["isEncoded"] : never,
    isFlat: isFlat(flipped),
    typePart: `","type":"${definition.name}",${
      definition.keep === undefined ? "" : `"keep":"${definition.keep}",`
    }"at":`,
    keep: definition.keep
  }
}

/**
 * The encoder of a definition, made at its first use.
 *
 * @category constructors
 * @since 0.1.0
 */
export const encoderOf = (definition: AnyDefinition): Encoder => {
  let encoder = encoders.get(definition)
  if (encoder === undefined) {
    encoder = makeEncoder(definition)
    encoders.set(definition, encoder)
  }
  return encoder
}

// Long enough to name a few problems; a payload may be as large as it likes.
const maxExplanation = 1000

/**
 * What is wrong with a payload that could not be encoded: every problem with
 * its path and value, cut after 1,000 characters.
 *
 * @category conversions
 * @since 0.1.0
 */
export const explain = (definition: AnyDefinition, payload: object, error: Schema.SchemaError): string => {
  const full = Schema.encodeUnknownExit(definition.payload, { errors: "all", reportInput: true })(present(payload))
  const { message } = full._tag === "Failure" ? Option.getOrElse(Exit.findErrorOption(full), () => error) : error
  return message.length > maxExplanation ? `${message.slice(0, maxExplanation)}…` : message
}

/**
 * What goes with every event of an emitter: `,"run":"…","thread":"…"`, ready to
 * stand between the time and the data. It is all ASCII, whatever the ids are: its
 * length is then its size in bytes.
 *
 * @category conversions
 * @since 0.1.0
 */
export const contextPart = (
  context: EmissionContext,
  trace: string | undefined,
  run: RunId | undefined,
  confirm: boolean
): string => {
  let part = ""
  if (run !== undefined) part += `,"run":${ascii(run)}`
  if (context.threadId !== undefined) part += `,"thread":${ascii(context.threadId)}`
  if (confirm) part += `,"confirm":true`
  if (context.requestId !== undefined) part += `,"request":${ascii(context.requestId)}`
  if (trace !== undefined) part += `,"trace":"${trace}"`
  return `${part},"data":`
}

const ascii = (id: string): string =>
  JSON.stringify(id).replace(/[\u0080-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`)
