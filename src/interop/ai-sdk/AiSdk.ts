/**
 * The server's end of the AI SDK: `useChat` with its own `DefaultChatTransport` talks to
 * a program that emits events.
 *
 * ```ts
 * import { Effect, Layer } from "effect"
 * import { AgentEvents, Emitter } from "effect-emitter"
 * import { AiSdk } from "effect-emitter/ai-sdk"
 * import { Gateway } from "effect-emitter/gateway"
 *
 * const chat = AiSdk.layer({
 *   path: "/api/chat",
 *   run: ({ messages }) => {
 *     const delta = `You said ${AiSdk.textOf(messages.at(-1))}`
 *     return Emitter.emit(AgentEvents.TextDelta.make({ messageId: "m1", delta })).pipe(Emitter.run({ agentName: "echo" }))
 *   }
 * })
 *
 * const routes = chat.pipe(Layer.provideMerge(Gateway.layer()))
 * ```
 *
 * - `POST {path}` runs the program, and answers with the run as a UI message stream. The
 *   run goes on when the client leaves: an abort of the SDK is no more than that. A
 *   device ends it by the command `cancel`; the id of the message is that of its run.
 * - `POST {path}` by a client that accepts only `application/json` starts the run
 *   alone, and answers 202 with its `run` and `thread` once it has begun, after 20 seconds
 *   at the latest, or 500 where its program ended without it: `EmitterChatTransport` does so.
 * - `GET {path}/{chatId}/stream` is what `resume` asks for: the active run of the chat
 *   that began last, from its beginning, or 204 where none is active.
 *
 * The same message, posted again, is answered by the same run. Requests come by the
 * gateway's origins and credentials, and their answers have its CORS headers.
 *
 * @since 0.2.0
 */
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { Broker, BrokerError } from "../../broker/Broker.ts"
import type { Emitters } from "../../emitter/Emitter.ts"
import type { Gateway } from "../../gateway/Gateway.ts"
import type { ConfigError } from "../../protocol/settings/ConfigError.ts"
import { type RunId, ThreadId } from "../../protocol/values/Identity.ts"
import type { RunItem } from "../RunItem.ts"
import * as RunServer from "../server/RunServer.ts"
import type { Options as ServerOptions } from "../server/ServerOptions.ts"
import { ChatRequest, runOf } from "./ChatRequest.ts"
import { UiMessageStream } from "./UiMessageStream.ts"

export type { Options as ServerOptions } from "../server/ServerOptions.ts"
export { ChatRequest, textOf } from "./ChatRequest.ts"

/**
 * Options of `layer`, besides the limits:
 *
 * - `path` of the route, such as `"/api/chat"`.
 * - `run`: the program that answers, usually within `Emitter.run`. Its emitter is bound
 *   to the user who asked, to the chat as its thread, and to the run.
 *
 * @category options
 * @since 0.2.0
 */
export type Options<R> = ServerOptions & {
  readonly path: `/${string}`
  readonly run: (request: ChatRequest) => Effect.Effect<unknown, unknown, R>
}

/**
 * The routes of a chat. It fails with all that is wrong with the options.
 *
 * @category layers
 * @since 0.2.0
 */
export const layer = <R = never>(
  { path, run, ...options }: Options<R>
): Layer.Layer<
  never,
  ConfigError,
  HttpRouter.HttpRouter | Gateway | Emitters | Broker | RunServer.Needs<R>
> =>
  Layer.effectDiscard(Effect.gen(function*() {
    const router = yield* HttpRouter.HttpRouter
    const provided = yield* RunServer.provided<R>()
    const server = yield* RunServer.make("AiSdk", options)

    yield* router.add("OPTIONS", path, server.preflight)
    yield* router.add("POST", path, (request) =>
      server.signedIn(request, (principal) =>
        Effect.gen(function*() {
          const asked = yield* server.body(request, principal, ChatRequest)
          const thread = asked.id
          const id = yield* runOf(asked)
          // @effect-diagnostics-next-line anyUnknownInErrorContext:off
          const program = provided(Effect.suspend(() => run(asked)))
          const items = yield* server.start(request, principal, { run: id, thread }, program)
          return RunServer.isStartAlone(request)
            ? yield* server.startedAlone(request, principal, items, { run: id, thread })
            : yield* server.respond(request, principal, encode(id)(items), headers)
        })))

    const resume = `${path === "/" ? "" : path}/:chatId/stream` as const
    yield* router.add("OPTIONS", resume, server.preflight)
    yield* router.add("GET", resume, (request) =>
      server.signedIn(request, (principal) =>
        Effect.gen(function*() {
          const { chatId } = yield* HttpRouter.params
          // What no chat can be called has no run.
          const active = isThread(chatId) ? yield* server.activeRun(principal, chatId) : undefined
          if (active === undefined) return HttpServerResponse.empty({ status: 204 })
          return yield* server.respond(request, principal, encode(active)(server.join(principal, active)), headers)
        })))
  }))

const headers = { "x-vercel-ai-ui-message-stream": "v1" }

const isThread = Schema.is(ThreadId)

const encode = (run: RunId) => (items: Stream.Stream<RunItem, BrokerError>): Stream.Stream<string, BrokerError> =>
  items.pipe(
    Stream.mapAccum(() => new UiMessageStream(run), (stream, item) => [stream, stream.take(item)]),
    Stream.map((part) => `data: ${JSON.stringify(part)}\n\n`),
    Stream.concat(Stream.make("data: [DONE]\n\n"))
  )
