/** An agent for CopilotKit, or any other client of AG-UI. */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { Config, Effect, Layer } from "effect"
import { AgentEvents, Broker, Emitter, EmitterLayer } from "effect-emitter"
import { AgUi, RunAgentInput } from "effect-emitter/ag-ui"
import { Authenticator, Gateway } from "effect-emitter/gateway"
import { HttpRouter } from "effect/http"
import { createServer } from "node:http"
const answer = (input: RunAgentInput.RunAgentInput) =>
  Effect.succeed(`All about ${RunAgentInput.question(input)}`).pipe(
    Emitter.tool("search", { q: RunAgentInput.question(input) }),
    Effect.flatMap((delta) => Emitter.emit(AgentEvents.TextDelta.make({ messageId: "m1", delta }))),
    Emitter.run({ agentName: "researcher" })
  )
const routes = AgUi.layer({ path: "/agent", run: answer }).pipe(Layer.provideMerge(Gateway.layer({ path: "/events" })))
export const server = HttpRouter.serve(routes).pipe(
  Layer.provide(NodeHttpServer.layerConfig(createServer, { port: Config.Port("PORT") })),
  Layer.provide(Authenticator.layerJwtConfig()),
  Layer.provide(EmitterLayer({ profile: "lowLatency" })),
  Layer.provide(Broker.layerMemory())
)
