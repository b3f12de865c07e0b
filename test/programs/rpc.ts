/** An RPC that streams its answer to the caller while the user's devices see it as a run. */
import { NodeHttpServer } from "@effect/platform-node"
import { Config, Effect, Layer, Redacted, Schema, Stream } from "effect"
import { AgentEvents, Broker, Emitter, EmitterLayer } from "effect-emitter"
import { Authenticator, Gateway } from "effect-emitter/gateway"
import { HttpRouter } from "effect/http"
import { Rpc, RpcGroup, RpcSerialization, RpcServer } from "effect/rpc"
import { createServer } from "node:http"

const text = Schema.String
export const Agent = RpcGroup.make(
  Rpc.make("answer", { payload: { question: text }, success: text, error: text, stream: true })
)

const handlers = Agent.toLayer({
  answer: ({ question }, { headers }) =>
    Stream.unwrap(Effect.gen(function*() {
      const { verify } = yield* Authenticator.Authenticator
      const { userId } = yield* verify(Redacted.make(headers["authorization"]?.slice("Bearer ".length) ?? ""))
      return Stream.make("All ", "about ", question).pipe(
        Stream.tap((delta) => Emitter.emit(AgentEvents.TextDelta.make({ messageId: "m1", delta }))),
        Emitter.runStream({ agentName: "researcher" }),
        Stream.provide(Emitter.layerUser({ userId }))
      )
    })).pipe(Stream.mapError(({ message }) => message))
})

const rpc = RpcServer.layerHttp({ group: Agent, path: "/rpc", protocol: "http" }).pipe(
  Layer.provide([handlers, RpcSerialization.layerNdjson])
)

export const server = HttpRouter.serve(Layer.merge(rpc, Gateway.layer({ path: "/events" }))).pipe(
  Layer.provide(NodeHttpServer.layerConfig(createServer, { port: Config.Port("PORT") })),
  Layer.provide(Authenticator.layerJwtConfig()),
  Layer.provide(EmitterLayer({ profile: "lowLatency" })),
  Layer.provide(Broker.layerMemory())
)
