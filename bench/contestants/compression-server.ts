/**
 * A gateway with emitters over a broker in memory, which compresses as the JSON of its first argument says, and plays runs
 * for the users that are connected: pieces of text alone, or whole runs of an agent.
 */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { Effect, Exit, Layer, ManagedRuntime, Scope } from "effect"
import { HttpRouter, HttpServer } from "effect/http"
import { createServer } from "node:http"
import { Gateway, GatewayConfig } from "../../src/gateway/index.ts"
import { AgentEvents, Broker, type Emitter, EmitterLayer, Emitters, Identity } from "../../src/index.ts"
import { on, serve } from "../harness/process.ts"
import { check } from "../harness/question.ts"
import { context, textOf } from "../harness/workload.ts"
import * as calls from "./calls.ts"
import { onCpu, settledMemory } from "./shared.ts"
import { authenticator, ticketFor } from "./tickets.ts"

type Bound = Emitter.Emitter["Service"]

const { compression } = await Effect.runPromise(
  GatewayConfig.decode({ compression: JSON.parse(process.argv[2] ?? "{}") })
)
const path = "/events"

const runtime = ManagedRuntime.make(
  HttpRouter.serve(Gateway.layer({ path, compression, connections: { perSecond: 20_000 } }), {
    disableListenLog: true,
    disableLogger: true
  }).pipe(
    // A piece of text each 20 ms is a frame of its own then.
    Layer.provideMerge(EmitterLayer({ profile: "lowLatency" })),
    Layer.provideMerge(Broker.layerMemory()),
    Layer.provide(authenticator),
    Layer.provideMerge(NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1" }))
  )
)

const bound: Array<Bound> = []
let users: ReadonlyArray<string> = []
const scope = Scope.makeUnsafe()
let step = 0
let runs = 0

const betweenPieces = "20 millis"

/** Pieces of one text, each a frame of its own, to all users at once. */
const playText = Effect.fnUntraced(function*(pieces: number) {
  for (let piece = 0; piece < pieces; piece++) {
    for (const emitter of bound) {
      yield* emitter.emit(AgentEvents.TextDelta.make({ messageId: `m-${runs}`, delta: `${textOf(step++)} ` }))
    }
    yield* Effect.sleep(betweenPieces)
  }
})

const hits = (from: number) =>
  Array.from({ length: 20 }, (_, at) => ({
    url: `https://docs.example.com/chapters/${from + at}`,
    title: textOf(from + at),
    excerpt: `${textOf(from + at + 1)} ${textOf(from + at + 2)}`
  }))

/** What one agent does: it thinks, looks something up, and answers in pieces. */
const playRun = Effect.fnUntraced(function*(emitter: Bound, pieces: number) {
  const { emit } = emitter
  const toolCallId = `call-${step++}`
  yield* emit(AgentEvents.AgentThinking.make({ text: textOf(step++) }))
  const search = { toolCallId, toolName: "search" }
  yield* emit(AgentEvents.ToolExecuting.make({ ...search, input: { query: textOf(step++), limit: 20 } }))
  yield* emit(AgentEvents.ToolCompleted.make({ ...search, output: hits(step++), isError: false, durationMs: 120 }))
  for (let piece = 0; piece < pieces; piece++) {
    yield* emit(AgentEvents.TextDelta.make({ messageId: toolCallId, delta: `${textOf(step++)} ` }))
    yield* Effect.sleep(betweenPieces)
  }
})

serve(
  onCpu,
  on(calls.listen, async (asked) => {
    users = asked.users
    const { address } = await runtime.runPromise(HttpServer.HttpServer)
    check("port" in address, "the server has no port")
    for (const user of users) {
      bound.push(
        await runtime.runPromise(Effect.gen(function*() {
          const { forUser } = yield* Emitters
          const emitter = yield* forUser(context(user)).pipe(Scope.provide(scope))
          yield* emitter.emit(AgentEvents.AgentStarted.make({ agentName: "bench" }))
          return emitter
        }))
      )
    }
    return { url: `http://127.0.0.1:${address.port}${path}`, tickets: await Promise.all(users.map(ticketFor)) }
  }),
  on(calls.play, async ({ of, pieces }) => {
    runs++
    return runtime.runPromise(Effect.gen(function*() {
      if (of === "text") yield* playText(pieces)
      else {yield* Effect.forEach(bound, (emitter) => playRun(emitter, pieces), {
          concurrency: "unbounded",
          discard: true
        })}
      // A critical event takes along what is still pending.
      yield* Effect.forEach(bound, ({ emit }) => emit(AgentEvents.AgentThinking.make({ text: "done" })))
      const broker = yield* Broker.Broker
      const heads = yield* Effect.forEach(users, (user) => broker.head(Identity.UserId.make(user)))
      return { place: heads.reduce((sum, { offset }) => sum + offset, 0) }
    }))
  }),
  on(calls.memory, async () => {
    const { connections } = await runtime.runPromise(Effect.flatMap(Gateway.Gateway, ({ stats }) => stats))
    return { ...await settledMemory(), connections }
  })
)

process.on("SIGTERM", () => {
  const closing = Effect.runPromise(Scope.close(scope, Exit.void)).then(() => runtime.dispose())
  void closing.finally(() => process.exit())
})
