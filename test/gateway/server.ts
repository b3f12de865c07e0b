/**
 * A gateway on a real port of 127.0.0.1, and devices that speak to it over real sockets.
 */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { Context, Effect, Exit, Layer, Redacted, Scope } from "effect"
import { Broker } from "effect-emitter"
import { Envelope, Frame } from "effect-emitter/protocol"
import { type Admission, Authenticator, type CommandPolicy, Gateway, type GatewayConfig } from "effect-emitter/gateway"
import { HttpRouter, HttpServer, HttpServerResponse } from "effect/http"
import * as Jose from "jose"
import { createServer } from "node:http"
import { WebSocket } from "ws"
import { UserId } from "../../src/protocol/values/Identity.ts"
import { toEnvelope } from "../support/envelopes.ts"

export const secret = "a secret for tests, of 32 characters or more"

export const user = (name: string) => UserId.make(name)

const now = () => Math.floor(Date.now() / 1000)

/** A token that a server made by `serve` accepts, unless told otherwise. */
export const token = (
  userId: string,
  options: {
    readonly secret?: string
    readonly expiresIn?: number
    readonly issuer?: string
    /** In seconds since the Unix epoch, now by default; `undefined` leaves it out. */
    readonly issuedAt?: number | undefined
    readonly claims?: Record<string, unknown>
  } = {}
): Effect.Effect<string> =>
  Effect.promise(() =>
    new Jose.SignJWT({
      ...options.claims,
      sub: userId,
      ...("issuedAt" in options ? options.issuedAt === undefined ? {} : { iat: options.issuedAt } : { iat: now() })
    })
      .setProtectedHeader({ alg: "HS256" })
      .setIssuer(options.issuer ?? "tests")
      .setAudience("events")
      .setExpirationTime(now() + (options.expiresIn ?? 3600))
      .sign(new TextEncoder().encode(options.secret ?? secret))
  )

export const authenticator = Authenticator.layerJwt({
  secret: Redacted.make(secret),
  issuer: "tests",
  audience: "events",
  clockTolerance: "1 second"
})

export interface Served {
  readonly port: number
  readonly url: string
  readonly http: string
  readonly gateway: Gateway.Gateway["Service"]
  readonly broker: Broker.Broker["Service"]
  readonly close: Effect.Effect<void>
}

/** Serves until the test ends, or until `close`. */
export const serve = Effect.fnUntraced(function*(
  options: GatewayConfig.Options = {},
  layers: {
    readonly broker?: Layer.Layer<Broker.Broker>
    readonly authenticator?: Layer.Layer<Authenticator.Authenticator>
    readonly admission?: Layer.Layer<Admission.Admission>
    readonly policy?: Layer.Layer<CommandPolicy.CommandPolicy> | undefined
    readonly port?: number
    readonly server?: Parameters<typeof NodeHttpServer.layer>[0]
  } = {}
) {
  const scope = yield* Scope.fork(yield* Effect.scope)
  const hello = HttpRouter.add("GET", "/hello", HttpServerResponse.text("hello"))
  const context = yield* HttpRouter.serve(Layer.mergeAll(hello, Gateway.layer(options)), {
    disableListenLog: true,
    disableLogger: true
  }).pipe(
    Layer.provide(Layer.mergeAll(layers.admission ?? Layer.empty, layers.policy ?? Layer.empty)),
    Layer.provide(layers.authenticator ?? Layer.orDie(authenticator)),
    Layer.provideMerge(layers.broker ?? Layer.orDie(Broker.layerMemory())),
    Layer.provideMerge(
      NodeHttpServer.layer(layers.server ?? createServer, { port: layers.port ?? 0, host: "127.0.0.1" })
    ),
    Layer.buildWithScope(scope)
  )
  const { address } = Context.get(context, HttpServer.HttpServer)
  const port = "port" in address ? address.port : 0
  const served: Served = {
    port,
    url: `ws://127.0.0.1:${port}${options.path ?? "/events"}`,
    http: `http://127.0.0.1:${port}`,
    gateway: Context.get(context, Gateway.Gateway),
    broker: Context.get(context, Broker.Broker),
    close: Scope.close(scope, Exit.void)
  }
  return served
})

let ids = 0

/** An envelope as an emitter would make it. */
export const envelope = (
  data: Record<string, string | number>,
  options: { readonly thread?: string; readonly run?: string; readonly type?: string; readonly confirm?: boolean } = {}
): Envelope.Envelope => {
  const sequence = ++ids
  return toEnvelope({ ...options, id: `e${sequence}`, source: "e", sequence, at: Date.now(), data })
}

export const append = (served: Pick<Served, "broker">, userId: string, ...numbers: ReadonlyArray<number>) =>
  Effect.forEach(numbers, (n) => served.broker.append(user(userId), [envelope({ n })]), { discard: true })

export interface Closed {
  readonly code: number
  readonly reason: string
}

export interface Device {
  readonly socket: WebSocket
  readonly frames: ReadonlyArray<typeof Frame.ServerFrame.Type>
  readonly send: (frame: object | string | Uint8Array) => Effect.Effect<void>
  /** Waits until a frame of this type has come that was not taken before, and takes it. */
  readonly take: <T extends Frame.ServerFrame["type"]>(
    type: T
  ) => Effect.Effect<Extract<Frame.ServerFrame, { readonly type: T }>>
  readonly closed: Effect.Effect<Closed>
  /** The `n` of all events so far. */
  readonly numbers: () => ReadonlyArray<unknown>
  /** Waits until this many events have come. */
  readonly received: (count: number) => Effect.Effect<void>
}

export class Refused {
  readonly _tag = "Refused"
  readonly status: number
  readonly body: string
  constructor(status: number, body: string) {
    this.status = status
    this.body = body
  }
}

/** Opens a socket; fails with the HTTP status if the server does not upgrade it. */
export const dial = (
  url: string,
  headers: Record<string, string> = {}
): Effect.Effect<Device, Refused, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.callback<Device, Refused>((resume) => {
      const socket = new WebSocket(url, Frame.subprotocol, { headers, maxPayload: 64 * 1024 * 1024 })
      const frames: Array<typeof Frame.ServerFrame.Type> = []
      let taken = 0
      let waiting: Array<() => void> = []
      let closed: Closed | undefined
      const notify = () => {
        const waiters = waiting
        waiting = []
        for (const waiter of waiters) waiter()
      }
      const until = <A>(look: () => A | undefined): Effect.Effect<A> =>
        Effect.callback<A>((done) => {
          const attempt = () => {
            const found = look()
            if (found !== undefined) done(Effect.succeed(found))
            else if (closed !== undefined) done(Effect.die(new Error(`closed: ${closed.code} ${closed.reason}`)))
            else waiting.push(attempt)
          }
          attempt()
        })
      const numbers = () =>
        frames.flatMap((frame) => frame.type === "events" ? frame.events.map((event) => event.data["n"]) : [])
      socket.on("message", (data) => {
        const frame = Frame.decodeServer(data.toString())
        if (frame._tag === "Failure") throw frame.failure
        frames.push(frame.success)
        notify()
      })
      socket.on("close", (code, reason) => {
        closed = { code, reason: reason.toString() }
        notify()
      })
      socket.on("unexpected-response", (_, response) => {
        let body = ""
        response.setEncoding("utf8").on("data", (chunk: string) => body += chunk)
        response.on("end", () => resume(Effect.fail(new Refused(response.statusCode ?? 0, body))))
      })
      socket.on("error", () => {})
      socket.on("open", () =>
        resume(Effect.succeed<Device>({
          socket,
          frames,
          numbers,
          send: (frame) =>
            Effect.sync(() =>
              socket.send(typeof frame === "string" || frame instanceof Uint8Array ? frame : JSON.stringify(frame))
            ),
          take: <T extends Frame.ServerFrame["type"]>(type: T) =>
            until(() => {
              for (let index = taken; index < frames.length; index++) {
                const frame = frames[index]
                if (frame !== undefined && isOfType(frame, type)) {
                  taken = index + 1
                  return frame
                }
              }
              return undefined
            }),
          closed: Effect.callback<Closed>((done) => {
            const look = () => {
              if (closed === undefined) waiting.push(look)
              else done(Effect.succeed(closed))
            }
            look()
          }),
          received: (count) => Effect.asVoid(until(() => numbers().length >= count ? true : undefined))
        })))
    }),
    ({ socket }) => Effect.sync(() => socket.terminate())
  )

const isOfType = <T extends Frame.ServerFrame["type"]>(
  frame: Frame.ServerFrame,
  type: T
): frame is Extract<Frame.ServerFrame, { readonly type: T }> => frame.type === type

/** Opens a socket, says hello with a valid token, and waits for the welcome. */
export const connect = Effect.fnUntraced(function*(
  served: Pick<Served, "url">,
  userId: string,
  hello: object = {}
) {
  const device = yield* dial(served.url)
  yield* device.send({ type: "hello", token: yield* token(userId), ...hello })
  const welcome = yield* device.take("welcome")
  return { ...device, welcome }
})
