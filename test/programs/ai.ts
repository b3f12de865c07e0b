/** An agent of `effect/ai` for whoever signed in: what it writes, its tools and its questions are on their devices. */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { Config, Effect, Layer, Schema } from "effect"
import { Broker, EmitterLayer } from "effect-emitter"
import { EmitterAi } from "effect-emitter/ai"
import { Authenticator, Gateway } from "effect-emitter/gateway"
import { SignIn } from "effect-emitter/http"
import { Tool, Toolkit } from "effect/ai"
import { HttpRouter, HttpServerRequest, HttpServerResponse } from "effect/http"
import { createServer } from "node:http"

const Mail = Tool.make("mail", { parameters: Schema.Struct({ to: Schema.String }), needsApproval: true })
const toolkit = Toolkit.make(Mail)
const ask = Effect.gen(function*() {
  const prompt = yield* (yield* HttpServerRequest.HttpServerRequest).text
  return HttpServerResponse.text((yield* EmitterAi.runAgent({ agentName: "clerk", toolkit, prompt })).text)
}).pipe(Effect.provide(toolkit.toLayer({ mail: () => Effect.log("sent") })))
const routes = HttpRouter.add("POST", "/ask", ask).pipe(Layer.provide(SignIn.middleware().layer))
export const server = HttpRouter.serve(Layer.provideMerge(routes, Gateway.layer({ path: "/events" }))).pipe(
  Layer.provide(NodeHttpServer.layerConfig(createServer, { port: Config.Port("PORT") })),
  Layer.provide([Authenticator.layerJwtConfig(), EmitterLayer({ profile: "lowLatency" })]),
  Layer.provide(Broker.layerMemory())
)
