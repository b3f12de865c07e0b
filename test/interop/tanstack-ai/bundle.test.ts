/** What a page loads for TanStack AI: neither Effect, nor TanStack AI itself, nor anything of the server. */
import { assert, it } from "@effect/vitest"
import { build } from "esbuild"
import { fileURLToPath } from "node:url"
import { gzipSync } from "node:zlib"

const bundle = (entry: string) =>
  build({
    absWorkingDir: fileURLToPath(new URL("../../..", import.meta.url)),
    bundle: true,
    entryPoints: [entry],
    format: "esm",
    logLevel: "silent",
    metafile: true,
    minify: true,
    platform: "browser",
    write: false
  })

const bytesOf = ({ outputFiles }: { readonly outputFiles: ReadonlyArray<{ readonly contents: Uint8Array }> }) =>
  outputFiles.reduce((sum, { contents }) => sum + gzipSync(contents).length, 0)

it("The page's end of TanStack AI loads the client of this package, and little more", async () => {
  const adapter = await bundle("src/interop/tanstack-ai/index.ts")
  const foreign = Object.keys(adapter.metafile.inputs).filter((file) =>
    !/^src\/(client|protocol|interop\/(tanstack-ai\/|ag-ui\/|[A-Z]))/u.test(file)
  )
  assert.deepStrictEqual(foreign, [])
  assert.isAtMost(bytesOf(adapter) - bytesOf(await bundle("src/client/connect.ts")), 7_000)
})
