/**
 * What a client of AG-UI asks for.
 *
 * @see https://docs.ag-ui.com/sdk/js/core/types#runagentinput
 * @since 0.2.0
 */
import * as Schema from "effect/Schema"
import { RunId, ThreadId } from "../../protocol/values/Identity.ts"

const rest = [Schema.Record(Schema.String, Schema.Json)] as const

/**
 * A message of the conversation. Its `content` is a text, or a list of parts; what a
 * message has besides, such as `toolCalls`, is as it came, so that those of later
 * versions of AG-UI are taken.
 *
 * @category models
 * @since 0.2.0
 */
export const Message = Schema.StructWithRest(
  Schema.Struct({
    id: Schema.String,
    role: Schema.String,
    content: Schema.optionalKey(
      Schema.NullOr(Schema.Union([Schema.String, Schema.Array(Schema.Json), Schema.JsonObject]))
    )
  }),
  rest
)

/**
 * A message of the conversation, as `Message` checks it.
 *
 * @category models
 * @since 0.2.0
 */
export type Message = typeof Message.Type

/**
 * A tool that the client has. `parameters` is a JSON Schema.
 *
 * @category models
 * @since 0.2.0
 */
export const Tool = Schema.StructWithRest(
  Schema.Struct({
    name: Schema.String,
    description: Schema.optionalKey(Schema.String),
    parameters: Schema.optionalKey(Schema.Json)
  }),
  rest
)

/**
 * What the client says to a request that ended an earlier run of AG-UI: its answer
 * (`resolved`, in `payload`), or that there will be none (`cancelled`).
 *
 * @category models
 * @since 0.2.0
 */
export const ResumeEntry = Schema.Struct({
  interruptId: Schema.String,
  status: Schema.Literals(["resolved", "cancelled"]),
  payload: Schema.optionalKey(Schema.Json)
})

/**
 * The body of a request for a run. `threadId` and `runId` are ids as the package has
 * them.
 *
 * @category models
 * @since 0.2.0
 */
export const RunAgentInput = Schema.Struct({
  threadId: ThreadId,
  runId: RunId,
  protocolVersion: Schema.optionalKey(Schema.NullOr(Schema.String)),
  parentRunId: Schema.optionalKey(Schema.NullOr(Schema.String)),
  state: Schema.optionalKey(Schema.Json),
  messages: Schema.Array(Message),
  tools: Schema.optionalKey(Schema.Array(Tool)),
  context: Schema.optionalKey(Schema.Array(Schema.Json)),
  forwardedProps: Schema.optionalKey(Schema.Json),
  resume: Schema.optionalKey(Schema.Array(ResumeEntry))
})

/**
 * The body of a request for a run, as `RunAgentInput` checks it.
 *
 * @category models
 * @since 0.2.0
 */
export type RunAgentInput = typeof RunAgentInput.Type

/**
 * The text of the newest message of the user; the texts of its parts, if it has parts,
 * and an empty text where there is none.
 *
 * @category accessors
 * @since 0.2.0
 */
export const question = ({ messages }: Pick<RunAgentInput, "messages">): string => {
  const content = messages.findLast(({ role }) => role === "user")?.content
  if (typeof content === "string") return content
  return Array.isArray(content) ? content.map(textOf).join("") : ""
}

const textOf = (part: Schema.Json): string => {
  const text = typeof part === "object" && part !== null && "text" in part ? part["text"] : undefined
  return typeof text === "string" ? text : ""
}
