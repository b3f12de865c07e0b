/**
 * Serves the client to pages that have no build of their own: one script with
 * `connect`, `statusMessage`, `PositionStorage` and `CommandError` of
 * `effect-emitter/client`.
 *
 * ```ts
 * import { Layer } from "effect"
 * import { ClientScript, Gateway } from "effect-emitter/gateway"
 * import { HttpRouter, HttpServerResponse } from "effect/http"
 *
 * const page = HttpRouter.add(
 *   "GET",
 *   "/",
 *   HttpServerResponse.html(`<script type="module">
 *     import { connect } from "/connect.js"
 *     connect({ url: "/events", onEvent: (event) => document.body.append(event.type) })
 *   </script>`)
 * )
 *
 * const routes = Layer.mergeAll(page, ClientScript.layer(), Gateway.layer())
 * ```
 *
 * The script is of the server's own version, so page and server always fit. A page that
 * is bundled imports `effect-emitter/client` instead, and loads what it uses.
 *
 * @since 0.2.0
 */
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import { HttpServerRequest } from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { createHash } from "node:crypto"
import { readFile } from "node:fs/promises"
import { fileURLToPath } from "node:url"
import { gzipSync } from "node:zlib"

/**
 * `path` is where pages find the script, `/connect.js` by default. `file` is the script
 * itself, by default the one in this package; a server that is bundled into one file
 * takes `effect-emitter/dist/connect.js` along and names it here.
 *
 * @category config
 * @since 0.2.0
 */
export interface Options {
  readonly path?: `/${string}` | undefined
  readonly file?: string | undefined
}

/**
 * The script at `file` cannot be read.
 *
 * @category errors
 * @since 0.2.0
 */
export class ClientScriptMissing extends Schema.TaggedError<ClientScriptMissing>()("ClientScriptMissing", {
  file: Schema.String,
  cause: Schema.Defect()
}) {
  override get message() {
    return `The client's script cannot be read from ${this.file}. A server that is bundled takes `
      + `effect-emitter/dist/connect.js along and names it: ClientScript.layer({ file })`
  }
}

const ownFile = fileURLToPath(new URL("../connect.js", import.meta.url))

const read = (file: string) =>
  Effect.tryPromise({ try: () => readFile(file), catch: (cause) => new ClientScriptMissing({ file, cause }) })

/**
 * Adds the route. Browsers ask each time whether the script is another one, and load it
 * only then.
 *
 * @category layers
 * @since 0.2.0
 */
export const layer = (options: Options = {}): Layer.Layer<never, ClientScriptMissing, HttpRouter.HttpRouter> =>
  Layer.effectDiscard(Effect.gen(function*() {
    const router = yield* HttpRouter.HttpRouter
    const plain = yield* read(options.file ?? ownFile)
    const zipped = gzipSync(plain, { level: 9 })
    const etag = `W/"${createHash("sha256").update(plain).digest("base64url")}"`
    const headers = { "cache-control": "no-cache", etag, vary: "accept-encoding", "x-content-type-options": "nosniff" }

    const contentType = "text/javascript; charset=utf-8"
    const whole = HttpServerResponse.uint8Array(plain, { contentType, headers })
    const compressed = HttpServerResponse.uint8Array(zipped, {
      contentType,
      headers: { ...headers, "content-encoding": "gzip" }
    })
    const unchanged = HttpServerResponse.empty({ status: 304, headers })

    yield* router.add(
      "GET",
      options.path ?? "/connect.js",
      Effect.map(HttpServerRequest, ({ headers: asked }) =>
        isNamed(asked["if-none-match"], etag)
          ? unchanged
          : isNamed(asked["accept-encoding"], "gzip")
          ? compressed
          : whole)
    )
  }))

/** Whether a header's list has this in it, at any quality but none. */
const isNamed = (header: string | undefined, name: string): boolean =>
  (header ?? "").split(",").some((item) => {
    const [value = "", ...parameters] = item.split(";").map((part) => part.trim())
    return value === name && !parameters.some((parameter) => /^q=0(\.0+)?$/.test(parameter))
  })
