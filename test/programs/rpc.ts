/** An RPC that streams its answer to the caller while the user's devices see it as a run. */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { Config, Layer, Schema, Stream } from "effect"
import { AgentEvents, Broker, Emitter, EmitterLayer } from "effect-emitter"
import { Authenticator, Gateway } from "effect-emitter/gateway"
import { SignIn } from "effect-emitter/http"
import { HttpRouter } from "effect/http"
import { Rpc, RpcGroup, RpcSerialization, RpcServer } from "effect/rpc"
import { createServer } from "node:http"

const text = Schema.String
export const Agent = RpcGroup.make(
  Rpc.make("answer", { payload: { question: text }, success: text, error: text, stream: true })
).middleware(SignIn.RpcSignIn)

const handlers = Agent.toLayer({
  answer: ({ question }) =>
    Stream.make("All ", "about ", question).pipe(
      Stream.tap((delta) => Emitter.emit(AgentEvents.TextDelta.make({ messageId: "m1", delta }))),
      Emitter.runStream({ agentName: "researcher" }),
      Stream.mapError(({ message }) => message)
    )
})

const rpc = RpcServer.layerHttp({ group: Agent, path: "/rpc", protocol: "http" }).pipe(
  Layer.provide([handlers, RpcSerialization.layerNdjson]),
  Layer.provide(SignIn.layerRpc()),
  Layer.provideMerge(Gateway.layer({ path: "/events" }))
)

export const server = HttpRouter.serve(rpc).pipe(
  Layer.provide(NodeHttpServer.layerConfig(createServer, { port: Config.Port("PORT") })),
  Layer.provide(Authenticator.layerJwtConfig()),
  Layer.provide(EmitterLayer({ profile: "lowLatency" })),
  Layer.provide(Broker.layerMemory())
)
