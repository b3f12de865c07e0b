/** Runtimes beside the one that the tests run in, which `npm run runtimes` installs. */
import { existsSync } from "node:fs"
import { fileURLToPath } from "node:url"

const platform = `${process.platform}-${process.arch}`

/** Where each is, and how it runs a file. */
const runtimes = {
  "Node 22": { path: `node-${platform}/bin/node`, args: [] },
  "Bun": { path: `@oven/bun-${platform}/bin/bun`, args: ["run"] },
  "Deno": {
    path: `@deno/${platform}${process.platform === "linux" ? "-glibc" : ""}/deno`,
    args: ["run", "--allow-all"]
  }
} as const

export type RuntimeName = keyof typeof runtimes

export interface Runtime {
  readonly program: string
  readonly args: ReadonlyArray<string>
}

/**
 * A runtime, or `undefined` where it is missing: then its tests are to be skipped, and one line says so. With `CI=true` a
 * missing one throws instead, so that nothing is skipped unseen where it matters.
 */
export const findRuntime = (name: RuntimeName): Runtime | undefined => {
  const { args, path } = runtimes[name]
  const program = fileURLToPath(new URL(`../../.config/runtimes/node_modules/${path}`, import.meta.url))
  if (existsSync(program)) return { program, args }

  const need = `${name} is not installed (npm run runtimes)`
  if (process.env["CI"] === "true") throw new Error(need)
  process.stderr.write(`\n!!! SKIPPED: all that needs ${name}: ${need}\n\n`)
  return undefined
}
