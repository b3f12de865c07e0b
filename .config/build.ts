/**
 * Builds the package: ES modules with declarations and source maps, the client for browsers in one file, and the demo's page.
 *
 * `npm run build` writes to `dist`, which it empties first; `--outdir <dir>` chooses another place. The demo itself is
 * not part of the package: only its page is built, into `<outdir>/demo`, and package.json leaves it out of the tarball.
 */
import { build, stop } from "esbuild"
import { spawnSync } from "node:child_process"
import { existsSync, rmSync } from "node:fs"
import { join, resolve } from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"
import { readOptions } from "../test/support/options.ts"

const root = fileURLToPath(new URL("..", import.meta.url))
const values = readOptions("build", {
  outdir: { type: "string", default: join(root, "dist") },
  "single-threaded": { type: "boolean", default: false },
  help: { type: "boolean", default: false }
})
if (values.help) {
  process.stdout.write(`Builds the package, the client for browsers in one file, and the demo's page.

  npm run build -- [--outdir dist] [--single-threaded]

  --outdir           where to, dist by default; what is there is removed first
  --single-threaded  checks the types in one thread: it takes longer, but less processor time
  --help             this text

It ends with 0 when it is built, and with 1 when the types do not check.
`)
  process.exit()
}
const outdir = resolve(values.outdir)
if (root.startsWith(join(outdir, "/"))) throw new Error(`refusing to empty ${outdir}: it holds the sources`)

rmSync(outdir, { recursive: true, force: true })

const threads = values["single-threaded"] ? ["--singleThreaded"] : []
const tsc = spawnSync("tsc", ["--project", join(root, ".config/tsconfig.build.json"), "--outDir", outdir, ...threads], {
  cwd: root,
  stdio: "inherit"
})
if (tsc.error !== undefined) throw tsc.error
if (tsc.status !== 0) {
  process.stderr.write("build failed: the types do not check\n")
  process.exit(1)
}

await build({
  entryPoints: [join(root, "src/client/browser.ts")],
  outfile: join(outdir, "connect.js"),
  bundle: true,
  format: "esm",
  legalComments: "none",
  logLevel: "warning",
  minify: true,
  platform: "browser",
  target: "es2022"
})
await stop()

const demo = join(root, "src/demo/serving/build.ts")
if (existsSync(demo)) {
  const { buildPage }: { buildPage: (outdir: string) => Promise<unknown> } = await import(pathToFileURL(demo).href)
  await buildPage(join(outdir, "demo"))
}
process.stdout.write(`built ${outdir}\n`)
