/**
 * An application with a gateway, emitters and the routes of another protocol, on a real port of 127.0.0.1.
 */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { Context, Effect, Exit, Layer, Scope } from "effect"
import { Broker, EmitterLayer, type Emitters } from "effect-emitter"
import { type Authenticator, Gateway, type GatewayConfig } from "effect-emitter/gateway"
import { HttpRouter, HttpServer } from "effect/http"
import { createServer } from "node:http"
import { authenticator, token } from "../gateway/server.ts"

export interface App {
  readonly url: string
  readonly broker: Broker.Broker["Service"]
  readonly gateway: Gateway.Gateway["Service"]
  /** Ends the routes, the gateway and the server, in their order. */
  readonly close: Effect.Effect<void>
  /** Posts JSON as ada, unless told otherwise. */
  readonly post: (path: string, body: unknown, options?: Posting) => Effect.Effect<Response>
}

export interface Posting {
  readonly headers?: Record<string, string> | undefined
  readonly signal?: AbortSignal | undefined
  readonly as?: string | undefined
}

/** Serves the routes until the test ends, or until `close`. */
export const serveApp = Effect.fnUntraced(function*<E extends Error>(
  routes: Layer.Layer<
    never,
    E,
    HttpRouter.HttpRouter | Gateway.Gateway | Emitters | Broker.Broker
  >,
  options: GatewayConfig.Options = {},
  layers: {
    readonly broker?: Layer.Layer<Broker.Broker>
    readonly authenticator?: Layer.Layer<Authenticator.Authenticator>
  } = {}
) {
  const scope = yield* Scope.fork(yield* Effect.scope)
  const context = yield* HttpRouter.serve(routes.pipe(Layer.provideMerge(Gateway.layer(options))), {
    disableListenLog: true,
    disableLogger: true
  }).pipe(
    Layer.provide(EmitterLayer()),
    Layer.provide(layers.authenticator ?? Layer.orDie(authenticator)),
    Layer.provideMerge(layers.broker ?? Layer.orDie(Broker.layerMemory())),
    Layer.provideMerge(NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1" })),
    Layer.buildWithScope(scope)
  )
  const { address } = Context.get(context, HttpServer.HttpServer)
  const url = `http://127.0.0.1:${"port" in address ? address.port : 0}`
  const app: App = {
    url,
    broker: Context.get(context, Broker.Broker),
    gateway: Context.get(context, Gateway.Gateway),
    close: Scope.close(scope, Exit.void),
    post: (path, body, { as = "ada", headers = {}, signal } = {}) =>
      Effect.flatMap(token(as), (shown) =>
        Effect.promise(() =>
          fetch(`${url}${path}`, {
            method: "POST",
            headers: { authorization: `Bearer ${shown}`, "content-type": "application/json", ...headers },
            body: typeof body === "string" ? body : JSON.stringify(body),
            ...(signal === undefined ? {} : { signal })
          })
        ))
  }
  return app
})

/** An event of a stream of server-sent events. */
export interface SentEvent {
  readonly id: string | undefined
  readonly data: string
}

/** Reads the text of an event stream, whole. */
export const parseEvents = (text: string): ReadonlyArray<SentEvent> =>
  text.split("\n\n").flatMap((block) => {
    const lines = block.split("\n")
    const field = (name: string) => lines.find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2)
    const data = field("data")
    return data === undefined ? [] : [{ id: field("id"), data }]
  })
