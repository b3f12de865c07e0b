/**
 * A script that a test starts several times, with all that it loads in one file: a process that loads several hundred takes
 * twice the time to start.
 */
import { build } from "esbuild"
import { renameSync } from "node:fs"
import { basename } from "node:path"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("../..", import.meta.url))
const known = new Map<string, Promise<string>>()

// Packages that are CommonJS ask for what Node has itself.
const banner = "import { createRequire as requireOf } from \"node:module\"; const require = requireOf(import.meta.url);"

const make = async (script: URL): Promise<string> => {
  const name = `.tmp/bundled/${basename(script.pathname, ".ts")}`
  const [file, own] = [`${root}${name}.mjs`, `${root}${name}-${process.pid}.mjs`]
  await build({
    absWorkingDir: root,
    banner: { js: banner },
    bundle: true,
    entryPoints: [fileURLToPath(script)],
    format: "esm",
    logLevel: "silent",
    outfile: own,
    platform: "node",
    target: "node24"
  })
  // Another process that makes one at the same time makes the same.
  renameSync(own, file)
  return file
}

/** The path of the file, which is made once. */
export const bundled = (script: URL): Promise<string> => {
  const found = known.get(script.href) ?? make(script)
  known.set(script.href, found)
  return found
}
