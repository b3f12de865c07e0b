/** An HTTP API that runs an agent for whoever signed in. Their devices see it live. */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { Config, Effect, Layer, Schema } from "effect"
import { AgentEvents, Broker, Emitter, EmitterLayer } from "effect-emitter"
import { Authenticator, Gateway } from "effect-emitter/gateway"
import { SignIn } from "effect-emitter/http"
import { HttpRouter } from "effect/http"
import { HttpApi, HttpApiBuilder, HttpApiEndpoint, HttpApiGroup } from "effect/http-api"
import { createServer } from "node:http"

const question = Schema.Struct({ question: Schema.String })
const Ask = HttpApiEndpoint.post("ask", "/ask", { payload: question, success: Schema.String })
const Api = HttpApi.make("app").add(HttpApiGroup.make("agent").add(Ask).middleware(SignIn.SignIn))

const agent = HttpApiBuilder.group(
  Api,
  "agent",
  (handlers) =>
    handlers.handle("ask", ({ payload }) =>
      Effect.succeed(`All about ${payload.question}`).pipe(
        Emitter.tool("search", { q: payload.question }),
        Effect.tap((delta) => Emitter.emit(AgentEvents.TextDelta.make({ messageId: "m1", delta }))),
        Emitter.run({ agentName: "researcher" }),
        Effect.orDie
      ))
)

const routes = HttpApiBuilder.layer(Api).pipe(
  Layer.provide(agent),
  Layer.provide(SignIn.layer()),
  Layer.provideMerge(Gateway.layer({ path: "/events" }))
)

export const server = HttpRouter.serve(routes).pipe(
  Layer.provide(NodeHttpServer.layerConfig(createServer, { port: Config.Port("PORT") })),
  Layer.provide(Authenticator.layerJwtConfig()),
  Layer.provide(EmitterLayer({ profile: "lowLatency" })),
  Layer.provide(Broker.layerMemory())
)
