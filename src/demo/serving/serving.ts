/**
 * How each process of the demo serves: on this machine alone, the pages' files, and devices.
 */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { Effect, Layer } from "effect"
import { HttpRouter, HttpServerError, HttpServerRequest, HttpServerResponse } from "effect/http"
import { createServer } from "node:http"
import type { PageFile } from "./build.ts"
import { PortUnavailable } from "../settings/DemoConfig.ts"

/** The page runs its own script and style, talks to its own server, and is nobody's frame. */
const pageHeaders = {
  "cache-control": "no-store",
  "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    + "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff"
}

/** The routes of the page's files. */
export const page = (files: ReadonlyArray<PageFile>) =>
  Layer.mergeAll(
    Layer.empty,
    ...files.map(({ body, name, type }) =>
      HttpRouter.add(
        "GET",
        name === "index.html" ? "/" : `/${name.replace(/\.html$/u, "")}`,
        body.pipe(
          Effect.map((bytes) => HttpServerResponse.uint8Array(bytes, { contentType: type, headers: pageHeaders })),
          Effect.catch(({ message }) => Effect.succeed(HttpServerResponse.text(message, { status: 500 })))
        )
      )
    )
  )

const localHost = /^(?:127\.0\.0\.1|localhost|\[::1\])(?::\d+)?$/iu

/** A page elsewhere may point a name of its own at this machine; under that name nothing is served. */
export const localOnly = HttpRouter.middleware(
  <E, R>(next: Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>) =>
    Effect.flatMap(HttpServerRequest.HttpServerRequest, ({ headers }) =>
      localHost.test(headers["host"] ?? "")
        ? next
        : Effect.succeed(HttpServerResponse.text("The demo answers under its local address only.", { status: 421 }))),
  { global: true }
)

const codeOf = (cause: unknown): string =>
  typeof cause === "object" && cause !== null && "code" in cause ? String(cause.code) : String(cause)

/** Devices are slow sooner here than they are by default, so that it can be seen with a few dozen small events. */
export const gateway = {
  path: "/events",
  drainTimeout: "2 seconds",
  reconnectSpread: "1 second",
  slow: { volatile: { after: "500 millis" }, batched: { after: "1500 millis" } }
} as const

/** A connection counts as full with this many bytes waiting. */
const highWaterMark = 4 * 1024

/** Listens on the loopback interface alone. */
export const listen = (port: number) =>
  NodeHttpServer.layer(() => createServer({ highWaterMark }), {
    host: "127.0.0.1",
    port,
    gracefulShutdownTimeout: "1 second"
  }).pipe(
    Layer.catchTag(
      "ServeError",
      ({ cause }: HttpServerError.ServeError) =>
        Layer.effectContext(Effect.fail(new PortUnavailable({ port, code: codeOf(cause) })))
    )
  )
