/**
 * What a page has to load for the client. The sizes are printed, and bounded.
 */
import { assert, describe, it } from "@effect/vitest"
import { build } from "esbuild"
import { fileURLToPath } from "node:url"
import { gzipSync } from "node:zlib"

const root = fileURLToPath(new URL("../..", import.meta.url))

/** Bundles a program for browsers, as a page's own build would: `text` is what the page loads before it runs. */
const bundle = async (contents: string, external: Array<string> = []) => {
  const { metafile, outputFiles, warnings } = await build({
    stdin: { contents, resolveDir: root, loader: "ts" },
    alias: {
      "effect-emitter/ai-sdk/client": `${root}src/interop/ai-sdk/client.ts`,
      "effect-emitter/client": `${root}src/client/index.ts`,
      "effect-emitter/react": `${root}src/react/index.ts`
    },
    bundle: true,
    external,
    format: "esm",
    logLevel: "silent",
    metafile: true,
    minify: true,
    outdir: root,
    platform: "browser",
    splitting: true,
    target: "es2022",
    write: false
  })
  const { outputs } = metafile
  const first = new Set(Object.keys(outputs).filter((name) => outputs[name]?.entryPoint === "<stdin>"))
  for (const name of first) {
    for (const { kind, path } of outputs[name]?.imports ?? []) if (kind === "import-statement") first.add(path)
  }
  const isFirst = (path: string) => Array.from(first).some((name) => path.endsWith(`/${name}`))
  const files = outputFiles.filter(({ path }) => isFirst(path)).map(({ text }) => text)
  const inputs = Object.entries(outputs).filter(([name]) => first.has(name)).flatMap(([, output]) =>
    Object.entries(output.inputs).filter(([, { bytesInOutput }]) => bytesInOutput > 0).map(([file]) => file)
  )
  const imports = Object.values(metafile.inputs).flatMap((input) => input.imports)
  return {
    text: files.join("\n"),
    files: files.length,
    inputs,
    warnings,
    external: imports.filter(({ external }) => external === true).map(({ path }) => path),
    bytes: files.reduce((bytes, text) => bytes + gzipSync(text, { level: 9 }).length, 0)
  }
}

const kilobytes = (bytes: number) => `${(bytes / 1_000).toFixed(1)} kB`

describe("the client in a browser's bundle", () => {
  it("is at most 17.5 kB compressed without Effect, none of which comes along, nor what few pages need", async () => {
    const { bytes, external, inputs, text, warnings } = await bundle(
      `import { connect, PositionStorage } from "effect-emitter/client"
       connect({ url: "/events", storage: PositionStorage.session("p"), onEvent: (event) => document.write(event.type) })`
    )
    process.stdout.write(`connect: ${kilobytes(bytes)} gzipped, ${kilobytes(text.length)} minified\n`)
    assert.deepStrictEqual([external, warnings], [[], []])
    assert.deepStrictEqual(
      inputs.filter((file) => file.includes("node_modules")),
      []
    )
    assert.deepStrictEqual(
      inputs.filter((file) => /SseTransport|EventStreamParser|Diagnosis|client\/shared/.test(file)),
      []
    )
    assert.isAtMost(bytes, 17_500)
  })

  it("is one file: what is loaded later takes from it what both need", async () => {
    const { files } = await bundle(`import { connect } from "effect-emitter/client"; globalThis.connect = connect`)
    assert.strictEqual(files, 1)
  })

  it("is at most 1.6 kB more with the hooks of React, which load nothing else", async () => {
    const alone = await bundle(`import { connect } from "effect-emitter/client"; globalThis.connect = connect`)
    const { bytes, external, inputs, warnings } = await bundle(
      `import * as hooks from "effect-emitter/react"
       import { connect } from "effect-emitter/client"
       Object.assign(globalThis, { connect, ...hooks })`,
      ["react"]
    )
    process.stdout.write(`the hooks of React: ${kilobytes(bytes - alone.bytes)} gzipped more\n`)
    assert.deepStrictEqual([new Set(external), warnings], [new Set(["react"]), []])
    assert.deepStrictEqual(inputs.filter((file) => !/^(src\/(client|protocol|react)\/|<stdin>)/.test(file)), [])
    assert.isAtMost(bytes - alone.bytes, 1_600)
  })

  it("is at most 5.2 kB more with a transport for the AI SDK, which loads neither that nor Effect", async () => {
    const alone = await bundle(`import { connect } from "effect-emitter/client"; globalThis.connect = connect`)
    const { bytes, external, inputs, warnings } = await bundle(
      `import { EmitterChatTransport } from "effect-emitter/ai-sdk/client"; globalThis.connect = EmitterChatTransport`
    )
    process.stdout.write(`the transport for the AI SDK: ${kilobytes(bytes - alone.bytes)} gzipped more\n`)
    assert.deepStrictEqual([external, warnings], [[], []])
    assert.deepStrictEqual(inputs.filter((file) => !/^(src\/(client|interop|protocol)\/|<stdin>)/.test(file)), [])
    assert.isAtMost(bytes - alone.bytes, 5_200)
  })

  it("has nothing of Node with Effect, and says how large it is", async () => {
    const { bytes, external, inputs, text, warnings } = await bundle(
      `import { Client } from "effect-emitter/client"
       import { Effect, Stream } from "effect"
       Client.make({ url: "/events" }).pipe(
         Effect.flatMap((client) => Stream.runForEach(client.events, (event) => Effect.log(event.type))),
         Effect.scoped,
         Effect.runFork
       )`
    )
    process.stdout.write(`Client with Effect: ${kilobytes(bytes)} gzipped, ${kilobytes(text.length)} minified\n`)
    assert.deepStrictEqual([external, warnings], [[], []])
    assert.notMatch(text, /(from|import|require)\s*\(?["'`]node:/)
    assert.deepStrictEqual(
      inputs.filter((file) => !/^(node_modules\/effect\/|src\/(client|protocol)\/|<stdin>)/.test(file)),
      []
    )
    assert.isBelow(bytes, 95_500)
  })
})
