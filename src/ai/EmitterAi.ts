/**
 * Streams of language models as a run's events, and the loop around them.
 *
 * A program over `effect/ai` has its user's devices see what its model writes by one
 * combinator, {@link emitParts}; {@link runAgent} is a whole agent: model, tools, again.
 *
 * What devices get:
 *
 * | part | event |
 * |---|---|
 * | `text-*` | `text_delta`, `message_completed` |
 * | `reasoning-*` | `thinking_delta`, `message_completed` |
 * | `tool-params-*` | `tool_input_delta` |
 * | `tool-call` | `tool_executing` |
 * | `tool-result` | `tool_completed`; a preliminary one `custom`, named `tool_preliminary` |
 * | `tool-approval-request` | nothing yet: the call stays open, see {@link askApprovals} |
 * | `source` | `source_cited` |
 * | `file` | `file_produced` |
 * | `finish`, `response-metadata` | `usage_reported`, and `custom`, named `model_finished`, with the reason, the model and all counts of tokens |
 * | `error` | nothing: the stream fails at its end |
 *
 * Ids of messages, calls, sources and files are the run's own, since those of providers
 * come again with each response.
 *
 * @since 0.2.0
 */
import * as Prompt from "effect/ai/Prompt"
import type * as Response from "effect/ai/Response"
import * as Effect from "effect/Effect"
import type { EmitError } from "../emitter/EmitError.ts"
import { type Approval, Emitter } from "../emitter/Emitter.ts"
import { labelOf, refusalOf } from "./PartEmitter.ts"

export {
  type AgentFailure,
  agentLoop,
  type AgentOptions,
  type AgentServices,
  type Answer,
  type LoopOptions,
  type OwnModel,
  runAgent,
  streamAgent
} from "./Agent.ts"
export { emitParts } from "./emitParts.ts"
export * from "./ResponseError.ts"

/**
 * Asks the run's user for the approvals that a response asked for, at once, each with
 * its tool call. It gives the message that answers them, for the next prompt; nothing
 * where none was asked for. Of `parts` are all parts of the response. `approval` says
 * what is asked, by default whether the tool may run.
 *
 * A request that nobody answers is a no, with that as its reason.
 *
 * ```ts
 * import { Effect, Stream } from "effect"
 * import { Emitter } from "effect-emitter"
 * import { EmitterAi } from "effect-emitter/ai"
 * import { Chat, Tool, Toolkit } from "effect/ai"
 *
 * const tools = Toolkit.make(Tool.make("send_mail", { needsApproval: true }))
 *
 * const turn = Effect.gen(function*() {
 *   const chat = yield* Chat.empty
 *   const ask = (prompt: Parameters<typeof chat.streamText>[0]["prompt"]) =>
 *     chat.streamText({ prompt, toolkit: tools }).pipe(EmitterAi.emitParts, Stream.runCollect)
 *   const parts = yield* ask("Send it")
 *   const answers = yield* EmitterAi.askApprovals(parts)
 *   if (answers.length > 0) yield* ask(answers)
 * }).pipe(Emitter.run({ agentName: "clerk" }))
 * ```
 *
 * @category operations
 * @since 0.2.0
 */
export const askApprovals = (
  parts: Iterable<Response.AnyPart>,
  approval: (call: { readonly name: string; readonly params: unknown }) => Approval = () => ({})
): Effect.Effect<ReadonlyArray<Prompt.ToolMessage>, EmitError, Emitter> =>
  Effect.gen(function*() {
    const emitter = yield* Emitter
    const all = [...parts]
    const calls = new Map(all.flatMap((part) => part.type === "tool-call" ? [[part.id, part] as const] : []))
    const asked = all.filter((part) => part.type === "tool-approval-request")
    const content = yield* Effect.forEach(
      asked,
      ({ approvalId, toolCallId }) =>
        Effect.gen(function*() {
          const { name, params } = calls.get(toolCallId) ?? { name: "", params: undefined }
          const call = yield* emitter.toolCall(labelOf(name), { key: toolCallId })
          yield* call.begin(params)
          const answer = yield* call.approve(approval({ name, params })).pipe(
            Effect.as({ approved: true }),
            Effect.catchTag("ToolRefused", (refused) => Effect.succeed({ approved: false, reason: refusalOf(refused) }))
          )
          return Prompt.makePart("tool-approval-response", { approvalId, ...answer })
        }),
      { concurrency: "unbounded" }
    )
    return content.length === 0 ? [] : [Prompt.makeMessage("tool", { content })]
  })
