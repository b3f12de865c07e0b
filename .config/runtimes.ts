/**
 * Installs the runtimes beside Node 24 that the client is tested in, each of one exact version: `npm run runtimes`. They take
 * 330 MB, so they are no development dependencies, which every clone would have.
 */
import { spawnSync } from "node:child_process"
import { fileURLToPath } from "node:url"
import { readOptions } from "../test/support/options.ts"

const values = readOptions("runtimes", { help: { type: "boolean", default: false } })
if (values.help) {
  process.stdout.write(
    `Installs Node 22, Bun and Deno for the tests of the client in them, from npm, into .config/runtimes.

  npm run runtimes -- [--help]

  --help  this text

It ends with 0 when they are there.
`
  )
  process.exit()
}

const options = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
const { error, status } = spawnSync("npm", options, {
  cwd: fileURLToPath(new URL("./runtimes", import.meta.url)),
  stdio: "inherit"
})
if (error !== undefined) throw error
process.exit(status ?? 1)
