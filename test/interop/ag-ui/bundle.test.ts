/** What a page loads for AG-UI: neither Effect nor anything of the server. */
import { assert, it } from "@effect/vitest"
import { build } from "esbuild"
import { fileURLToPath } from "node:url"
import { gzipSync } from "node:zlib"

const bundle = (entry: string) =>
  build({
    absWorkingDir: fileURLToPath(new URL("../../..", import.meta.url)),
    bundle: true,
    entryPoints: [entry],
    external: ["@ag-ui/client", "rxjs"],
    format: "esm",
    logLevel: "silent",
    metafile: true,
    minify: true,
    platform: "browser",
    write: false
  })

const bytesOf = ({ outputFiles }: { readonly outputFiles: ReadonlyArray<{ readonly contents: Uint8Array }> }) =>
  outputFiles.reduce((sum, { contents }) => sum + gzipSync(contents).length, 0)

it("The page's end of AG-UI loads no Effect and nothing of the server, and little more than a connection", async () => {
  const agent = await bundle("src/interop/ag-ui/client.ts")
  const foreign = Object.keys(agent.metafile.inputs).filter((file) =>
    !/^src\/(client|protocol|interop\/(ag-ui\/|[A-Z]))/u.test(file)
  )
  assert.deepStrictEqual(foreign, [])
  assert.isAtMost(bytesOf(agent) - bytesOf(await bundle("src/client/connect.ts")), 6_000)
})
