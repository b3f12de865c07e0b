import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { Effect, Exit, Layer } from "effect"
import { ClientScript } from "effect-emitter/gateway"
import { HttpRouter } from "effect/http"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"

describe("ClientScript", () => {
  const script = "export const connect = () => {}\n".repeat(50)
  let folder: string
  let file: string
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "effect-emitter-script-"))
    file = join(folder, "connect.js")
    await writeFile(file, script)
  })
  afterAll(() => rm(folder, { recursive: true }))

  const asked = async (headers: Record<string, string>, options: ClientScript.Options = {}) => {
    const { dispose, handler } = HttpRouter.toWebHandler(ClientScript.layer({ file, ...options }), {
      disableLogger: true
    })
    const response = await handler(new Request(`http://localhost${options.path ?? "/connect.js"}`, { headers }))
    const body = new Uint8Array(await response.arrayBuffer())
    await dispose()
    return { status: response.status, headers: response.headers, body }
  }

  it("serves the script, compressed to whoever takes that, and to nobody else", async () => {
    const plain = await asked({})
    assert.deepStrictEqual([plain.status, plain.headers.get("content-encoding")], [200, null])
    assert.strictEqual(plain.headers.get("content-type"), "text/javascript; charset=utf-8")
    assert.strictEqual(new TextDecoder().decode(plain.body), script)

    for (const taken of ["gzip", "br, gzip;q=0.5", "deflate , gzip"]) {
      const { body, headers } = await asked({ "accept-encoding": taken }, { path: "/client.js" })
      assert.strictEqual(headers.get("content-encoding"), "gzip", taken)
      assert.strictEqual(headers.get("vary"), "accept-encoding")
      const unzipped = new Response(body).body?.pipeThrough(new DecompressionStream("gzip"))
      assert.strictEqual(await new Response(unzipped).text(), script)
    }
    for (const refused of ["br", "gzip;q=0", "gzip; q=0.0", "x-gzip-2"]) {
      assert.isNull((await asked({ "accept-encoding": refused })).headers.get("content-encoding"), refused)
    }
  })

  it("is loaded again only when it is another one", async () => {
    const { headers } = await asked({})
    const etag = headers.get("etag") ?? ""
    assert.strictEqual(headers.get("cache-control"), "no-cache")
    assert.deepStrictEqual((await asked({ "if-none-match": `"x", ${etag}` })).status, 304)
    assert.deepStrictEqual((await asked({ "if-none-match": `W/"another"` })).status, 200)
  })

  it.effect("says where it looked, and what a bundled server does", () =>
    Effect.gen(function*() {
      const missing = join(folder, "not-there.js")
      const exit = yield* Effect.exit(
        Layer.build(ClientScript.layer({ file: missing }).pipe(Layer.provide(HttpRouter.layer)))
      )
      assert.isTrue(Exit.isFailure(exit))
      const error = yield* Effect.flip(exit)
      assert.deepInclude(error, { _tag: "ClientScriptMissing", file: missing })
      assert.include(error.message, "ClientScript.layer({ file })")
    }).pipe(Effect.scoped))
})
