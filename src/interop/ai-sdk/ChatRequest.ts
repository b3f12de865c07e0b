/**
 * What a page asks of a chat: the body that `DefaultChatTransport` posts.
 *
 * @since 0.2.0
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { hash } from "node:crypto"
import { RunId, ThreadId } from "../../protocol/values/Identity.ts"
import * as Names from "../../protocol/values/Names.ts"

const Text = Schema.String.check(Schema.isMaxLength(256))

const rest = [Schema.Record(Schema.String, Schema.Json)] as const

const Part = Schema.StructWithRest(Schema.Struct({ type: Text }), rest)

const Message = Schema.StructWithRest(
  Schema.Struct({
    id: Text,
    role: Schema.Literals(["system", "user", "assistant"]),
    parts: Schema.Array(Part)
  }),
  rest
)

/**
 * A request for an answer in a chat.
 *
 * - `id` is the chat's, which is the thread of its runs.
 * - `messages` are those that the page has. Parts are as the page wrote them: the
 *   `validateUIMessages` of `ai` checks them by the program's tools and data.
 * - `trigger` and `messageId` say whether there is a new message, or one is to be
 *   written anew.
 * - `runId` names the run that is to answer. A page that gives none has one named for
 *   it.
 * - What else stands in the body is there as well.
 *
 * @category models
 * @since 0.2.0
 */
export const ChatRequest = Schema.StructWithRest(
  Schema.Struct({
    id: ThreadId,
    messages: Schema.Array(Message).check(Schema.isMaxLength(10_000)),
    trigger: Schema.Literals(["submit-message", "regenerate-message"]).pipe(
      Schema.withDecodingDefaultKey(Effect.succeed("submit-message" as const))
    ),
    messageId: Schema.optionalKey(Schema.NullOr(Text)),
    runId: Schema.optionalKey(RunId)
  }),
  rest
)

/**
 * A request, as `ChatRequest` checks it.
 *
 * @category models
 * @since 0.2.0
 */
export type ChatRequest = typeof ChatRequest.Type

/**
 * The run that is to answer. A message that is sent again, because its answer did not
 * come, means the run that it meant before; whoever wants another answer to a message
 * asks for it by `regenerate-message`.
 *
 * @category getters
 * @since 0.2.0
 */
export const runOf = ({ id, messageId, messages, runId, trigger }: ChatRequest): Effect.Effect<RunId> => {
  if (runId !== undefined) return Effect.succeed(runId)
  const last = messages.at(-1)
  const isNew = trigger === "submit-message" && messageId === undefined && last?.role === "user"
  return isNew
    ? Effect.succeed(RunId.make(`ui-${hash("sha256", JSON.stringify([id, last]), "base64url")}`))
    : Effect.map(Names.next, (name) => RunId.make(`ui-${name}`))
}

/**
 * The text of a message, without what is no text.
 *
 * @category getters
 * @since 0.2.0
 */
export const textOf = (message: ChatRequest["messages"][number] | undefined): string =>
  (message?.parts ?? []).map((part) => part.type === "text" && typeof part["text"] === "string" ? part["text"] : "")
    .join("")
