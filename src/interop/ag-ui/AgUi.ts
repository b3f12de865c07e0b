/**
 * Serves runs to the clients of AG-UI: CopilotKit, assistant-ui, or any other.
 *
 * `layer` answers a client's `POST` with the events of its run. The program is one that
 * emits as any other does. The run is the user's: all of their devices see it, it goes
 * on when the client leaves, and who comes back reads what is missing.
 *
 * ```ts
 * import { NodeHttpServer } from "@effect/platform-node"
 * import { Effect, Layer, Redacted } from "effect"
 * import { AgentEvents, Broker, Emitter, EmitterLayer } from "effect-emitter"
 * import { AgUi, RunAgentInput } from "effect-emitter/ag-ui"
 * import { Authenticator, Gateway } from "effect-emitter/gateway"
 * import { HttpRouter } from "effect/http"
 * import { createServer } from "node:http"
 *
 * const answer = (input: RunAgentInput.RunAgentInput) =>
 *   Emitter.emit(AgentEvents.TextDelta.make({ messageId: "m1", delta: `You said: ${RunAgentInput.question(input)}` })).pipe(
 *     Emitter.run({ agentName: "echo" })
 *   )
 *
 * const server = HttpRouter.serve(
 *   AgUi.layer({ path: "/agent", run: answer }).pipe(Layer.provideMerge(Gateway.layer({ origins: "same" })))
 * ).pipe(
 *   Layer.provide(NodeHttpServer.layer(createServer, { port: 3000 })),
 *   Layer.provide(EmitterLayer()),
 *   Layer.provide(Authenticator.layerJwt({ secret: Redacted.make("a secret of at least 32 characters"), issuer: "my-app" })),
 *   Layer.provide(Broker.layerMemory())
 * )
 * ```
 *
 * - **Sign-in** is the gateway's: a token in the `Authorization` header, or a cookie that
 *   its authenticator recognizes. Pages of other origins are let in by its `origins`.
 * - **A run is started once.** A second `POST` for it, also one that comes later, reads it:
 *   `RUN_STARTED`, the messages and the state so far, then what comes. With the id of the
 *   last event in `Last-Event-ID` it gets just what lies behind that.
 * - **A client that accepts only `application/json`** starts the run alone: 202 with its `run`
 *   and `thread` once it has begun, after 20 seconds at the latest, or 500 where its program
 *   ended without it. `EmitterAgent` does so.
 * - **A client that leaves stops nothing.** What stops a run is a `cancel` command, by
 *   `EmitterAgent` or posted to the gateway's path.
 * - **A request of the run** (`Emitter.ask`) ends the client's run with an `interrupt`; its
 *   `resume` answers the request, and reads on.
 *
 * What is told how, and what is not, stands in the README beside `src/interop`.
 *
 * @since 0.2.0
 */
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as Layer from "effect/Layer"
import type { Broker, RunSnapshotAt } from "../../broker/Broker.ts"
import type { Emitters } from "../../emitter/Emitter.ts"
import type { Principal } from "../../gateway/authentication/Principal.ts"
import type { Gateway } from "../../gateway/Gateway.ts"
import type * as Command from "../../protocol/command/Command.ts"
import type { ConfigError } from "../../protocol/settings/ConfigError.ts"
import type { RunId } from "../../protocol/values/Identity.ts"
import { encode } from "../server/EventStream.ts"
import * as RunServer from "../server/RunServer.ts"
import type * as ServerOptions from "../server/ServerOptions.ts"
import * as AgUiMapping from "./AgUiMapping.ts"
import { type ResumeEntry, RunAgentInput } from "./RunAgentInput.ts"

export type { Options as ServerOptions } from "../server/ServerOptions.ts"

/**
 * Options, besides those of every server end:
 *
 * - `path` of the route, such as `/agent`.
 * - `run` makes the program of a run from what the client sent. Its first
 *   `Emitter.run` is the run that the client asked for, under its `runId` and in its
 *   `threadId`. The program has the user's `Emitter`, and the `Principal` of the request.
 *
 * @category options
 * @since 0.2.0
 */
export type Options<R> = ServerOptions.Options & {
  readonly path: `/${string}`
  readonly run: (input: RunAgentInput) => Effect.Effect<unknown, unknown, R>
}

/**
 * Answers `POST` at `path`. Every problem with the options fails the layer.
 *
 * @category layers
 * @since 0.2.0
 */
export const layer = <R>({ path, run, ...options }: Options<R>): Layer.Layer<
  never,
  ConfigError,
  HttpRouter.HttpRouter | Gateway | Emitters | Broker | RunServer.Needs<R>
> =>
  Layer.effectDiscard(Effect.gen(function*() {
    const router = yield* HttpRouter.HttpRouter
    const server = yield* RunServer.make("AgUi", options)
    const provided = yield* RunServer.provided<R>()

    yield* router.add("OPTIONS", path, server.preflight)
    yield* router.add("POST", path, (request) =>
      server.signedIn(request, (principal) =>
        Effect.gen(function*() {
          const input = yield* server.body(request, principal, RunAgentInput)
          const cursor = yield* server.cursor(request)
          const telling = {
            threadId: input.threadId,
            runId: input.runId,
            protocolVersion: input.protocolVersion ?? undefined,
            history: input.messages
          }
          const { resume = [] } = input
          const resumed = resume.length > 0 ? yield* answer(server, principal, input, resume) : undefined
          const items = resumed === undefined
            ? yield* server.start(
              request,
              principal,
              { run: input.runId, thread: input.threadId },
              // @effect-diagnostics-next-line anyUnknownInErrorContext:off
              provided(Effect.suspend(() => run(input))),
              cursor
            )
            : server.join(principal, resumed.run)
          if (RunServer.isStartAlone(request)) {
            return yield* server.startedAlone(request, principal, items, {
              run: resumed?.run ?? input.runId,
              thread: input.threadId
            })
          }
          const mapping = AgUiMapping.make({ ...telling, ...resumed })
          return yield* server.respond(request, principal, encode(mapping, JSON.stringify, cursor)(items))
        })))
  }))

interface Resumed {
  readonly run: RunId
  readonly answered: ReadonlySet<string>
}

// Which run waits for these answers, and that it has them. One that was answered elsewhere goes on, too.
const answer = Effect.fnUntraced(function*(
  server: RunServer.RunServer,
  principal: Principal,
  { threadId }: RunAgentInput,
  resume: ReadonlyArray<typeof ResumeEntry.Type>
): Effect.fn.Return<Resumed, RunServer.Refused> {
  const runs = yield* server.runs(principal, threadId)
  const found = resume.map((entry) => ({ entry, request: findRequest(runs, entry.interruptId) }))
  const run = found[0]?.request?.run
  const answered = new Set<string>()
  for (const [index, { entry, request }] of found.entries()) {
    if (run === undefined || request?.run !== run) {
      return yield* Effect.fail(
        RunServer.refuse(409, "unknownInterrupt", `resume.${index}.interruptId: no run of this thread asks for that`)
      )
    }
    answered.add(request.requestId)
    const outcome = yield* server.command(principal, { run, ...toCommand(entry, request) })
    if (outcome.outcome === "refused" && outcome.reason !== "ended") {
      return yield* Effect.fail(refusalOf(index, outcome))
    }
  }
  return run === undefined
    ? yield* Effect.fail(RunServer.refuse(409, "unknownInterrupt", "resume: nothing is answered"))
    : { run, answered }
})

interface Found {
  readonly run: RunId
  readonly requestId: string
  readonly kind: string
}

const findRequest = (runs: ReadonlyArray<RunSnapshotAt>, interruptId: string): Found | undefined => {
  for (const { run, state } of runs) {
    for (const part of state.parts) {
      if (part.type !== "request" || AgUiMapping.interruptId(run, part.requestId) !== interruptId) continue
      return { run, requestId: part.requestId, kind: part.kind }
    }
  }
  return undefined
}

// Who wants to answer nothing refuses what is to be approved, and ends a run that cannot go on without an answer.
const toCommand = (
  { payload = null, status }: typeof ResumeEntry.Type,
  { kind, requestId }: Found
): Pick<Command.Request, "name" | "data"> =>
  status === "resolved"
    ? { name: "answer", data: { requestId, answer: payload } }
    : kind === "approval"
    ? { name: "answer", data: { requestId, answer: false } }
    : { name: "cancel" }

const refusalOf = (
  index: number,
  { message = "it was refused", path, reason }: Extract<Command.Outcome, { readonly outcome: "refused" }>
): RunServer.Refused => {
  const status = reason === "invalid" ? 400 : reason === "notAllowed" ? 403 : reason === "tooMany" ? 429 : 503
  const at = path === undefined || path === "" ? "" : `.${path.replace(/^(data\.)?answer/u, "payload")}`
  return RunServer.refuse(status, reason, `resume.${index}${at}: ${message}`)
}
