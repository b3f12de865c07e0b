/**
 * Runs every static check at once and prints one line for each, then the output of those that failed.
 *
 * `npm run check` runs all of them; `npm run check -- types lint` only the named ones.
 */
import { spawn } from "node:child_process"
import { fileURLToPath } from "node:url"
import { readWords, refuse } from "../test/support/options.ts"

const root = fileURLToPath(new URL("..", import.meta.url))

const colours = process.stdout.isTTY === true && process.env["NO_COLOR"] === undefined

const checks: Record<string, ReadonlyArray<string>> = {
  types: ["tsc", "--project", "tsconfig.json", "--pretty", String(colours)],
  "browser types": ["tsc", "--project", ".config/tsconfig.browser.json", "--pretty", String(colours)],
  effect: [
    "effect-tsgo",
    "diagnostics",
    "--project",
    "tsconfig.json",
    "--strict",
    "--severity",
    "error,warning",
    "--format",
    colours ? "pretty" : "text"
  ],
  lint: ["oxlint", "--deny-warnings", ".", ".config"],
  format: ["dprint", "check"]
}

interface Outcome {
  readonly name: string
  readonly ok: boolean
  readonly output: string
}

const run = (name: string, [command, ...args]: ReadonlyArray<string>) =>
  new Promise<Outcome>((resolve) => {
    const started = performance.now()
    const settle = (ok: boolean, output: string) => {
      const seconds = ((performance.now() - started) / 1000).toFixed(1)
      process.stdout.write(`${ok ? "ok    " : "FAILED"} ${name.padEnd(14)} ${seconds} s\n`)
      resolve({ name, ok, output })
    }
    const child = spawn(command ?? name, args, {
      cwd: root,
      env: colours ? process.env : { ...process.env, NO_COLOR: "1" },
      stdio: ["ignore", "pipe", "pipe"]
    })
    let output = ""
    child.stdout.on("data", (chunk) => output += chunk)
    child.stderr.on("data", (chunk) => output += chunk)
    child.on("error", (error) => settle(false, `${command}: ${error.message}. Run it through npm: npm run check\n`))
    child.on("close", (code) => settle(code === 0, output))
  })

const { positionals: wanted, values } = readWords("check", { help: { type: "boolean", default: false } })
if (values.help) {
  process.stdout.write(`Runs the static checks side by side, and prints the output of those that failed.

  npm run check -- [name…]

  name    which to run, all by default: ${Object.keys(checks).join(", ")}
  --help  this text

It ends with 0 when nothing was found, else with 1.
`)
  process.exit()
}
const unknown = wanted.filter((name) => checks[name] === undefined)
if (unknown.length > 0) {
  refuse("check", `No such check: ${unknown.join(", ")}; there are: ${Object.keys(checks).join(", ")}`)
}

const chosen = Object.entries(checks).filter(([name]) => wanted.length === 0 || wanted.includes(name))
const failed = (await Promise.all(chosen.map(([name, command]) => run(name, command)))).filter(({ ok }) => !ok)

const reported = new Set<string>()
for (const { name, output } of failed) {
  // The browser check reads a part of the same files: what `types` has said already is not said again.
  const lines = output.split("\n").filter((line) => !(name === "browser types" && reported.has(line)))
  for (const line of lines) reported.add(line)
  process.stdout.write(`\n── ${name} ──\n${lines.join("\n").trim() || "the same as above"}\n`)
}
if (failed.length > 0) {
  process.stdout.write(
    `\n${failed.length} of ${chosen.length} checks failed: ${failed.map((_) => _.name).join(", ")}\n`
  )
  if (failed.some(({ name }) => name === "format")) process.stdout.write("`npm run format` repairs the format\n")
  process.exitCode = 1
}
