/** What a server loads for Durable Streams besides its gateway: little, and no package. */
import { assert, it } from "@effect/vitest"
import { build } from "esbuild"
import { fileURLToPath } from "node:url"
import { gzipSync } from "node:zlib"

const root = fileURLToPath(new URL("../../..", import.meta.url))

const bundle = async (...entries: ReadonlyArray<string>) => {
  const contents = entries.map((entry) => `export * from "./src/${entry}/index.ts"`).join("\n")
  const { metafile, outputFiles } = await build({
    absWorkingDir: root,
    bundle: true,
    format: "esm",
    logLevel: "silent",
    metafile: true,
    minify: true,
    packages: "external",
    platform: "node",
    stdin: { contents, resolveDir: root },
    write: false
  })
  const packages = Object.values(metafile.outputs).flatMap(({ imports }) => imports.map(({ path }) => path))
  return {
    bytes: outputFiles.reduce((sum, file) => sum + gzipSync(file.contents).length, 0),
    packages: new Set(packages.filter((name) => !/^(effect|@effect\/platform-node|node:)/u.test(name)))
  }
}

it("the entry for Durable Streams loads 6.5 kB more than a gateway, and no other package", async () => {
  const gateway = await bundle(".", "gateway")
  const both = await bundle(".", "gateway", "interop/durable-streams")
  assert.deepStrictEqual(both.packages, gateway.packages)
  assert.isAtMost(both.bytes - gateway.bytes, 6_500)
})
