import { assert, describe, it } from "@effect/vitest"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { readFileSync } from "node:fs"
import { delimiter, join } from "node:path"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("../..", import.meta.url))

/** Runs a command here, and gives how it ended and what it wrote. */
const runCommand = async (command: string, args: ReadonlyArray<string>) => {
  const PATH = `${join(root, "node_modules/.bin")}${delimiter}${process.env["PATH"]}`
  const child = spawn(command, args, { cwd: root, stdio: "pipe", env: { ...process.env, PATH } })
  let out = ""
  let err = ""
  child.stdout.on("data", (data) => out += data)
  child.stderr.on("data", (data) => err += data)
  const [code] = await once(child, "close")
  return { code, out, err }
}

const { scripts }: { readonly scripts: Readonly<Record<string, string>> } = JSON.parse(
  readFileSync(`${root}package.json`, "utf8")
)

/** Runs a script of package.json as npm does: by a shell, with the options at its end. */
const run = (script: string, ...options: ReadonlyArray<string>) =>
  runCommand("sh", ["-c", `${scripts[script]} "$@"`, script, ...options])

/** What a person starts; npm starts the others by itself. */
const started = Object.entries(scripts).filter(([script]) => !script.startsWith("pre"))

/** The programs of the repository. What else a script starts is somebody else's, and refuses what it does not know in its own way. */
const own = started.filter(([, command]) => command.startsWith("node ")).map(([script]) => script)
const others = started.filter(([script]) => !own.includes(script)).map(([script]) => script)

/** Node runs them from their sources: what only a test's runner can resolve would keep them from starting. */
describe("programs that npm runs", () => {
  it("are the repository's own, and those of the test runner and of the formatter", () => {
    assert.includeMembers(own, [
      "start",
      "start:cluster",
      "simulate",
      "chaos",
      "fuzz",
      "bench",
      "build",
      "docs",
      "runtimes"
    ])
    for (const script of others) assert.match(scripts[script] ?? "", /^(?:[A-Z]+=1 )?(?:vitest|dprint) /u, script)
  })

  it("are started by npm", async () => {
    const { code, err, out } = await runCommand("npm", ["run", "--silent", "start", "--", "--help"])
    assert.deepStrictEqual([code, err], [0, ""])
    assert.deepStrictEqual(await run("start", "--help"), { code, err, out })
  })

  for (const script of own) {
    it(`${script} starts and tells its options`, async () => {
      const { code, err, out } = await run(script, "--help")
      assert.deepStrictEqual([code, err], [0, ""])
      assert.match(out, new RegExp(`npm (run )?${script} -- `))
    })

    it(`${script} refuses an option that it does not know in one line`, async () => {
      const { code, err, out } = await run(script, "--nonsense")
      assert.deepStrictEqual([code, out], [2, ""])
      assert.match(err, new RegExp(`^Unknown option '--nonsense'[^\\n]*\\(npm run ${script} -- --help [^\\n]*\\n$`))
    })
  }

  for (const script of others) {
    it(`${script} refuses an option that it does not know`, async () => {
      const { code, err, out } = await run(script, "--nonsense")
      assert.notStrictEqual(code, 0)
      assert.match(out + err, /nonsense/u)
    })
  }

  it("chaos refuses a broker that it does not know, and more processes than SQLite has, with 2 and one line", async () => {
    const { code, err, out } = await run("chaos", "--broker", "mysql")
    assert.deepStrictEqual([code, out], [2, ""])
    assert.match(err, /^--broker must be one of redis, postgres, sqlite[^\n]*\n$/u)
    const several = await run("chaos", "--broker", "sqlite", "--gateways", "2")
    assert.deepStrictEqual([several.code, several.out], [2, ""])
    assert.match(several.err, /^--broker sqlite is one process[^\n]*\n$/u)
  })
})
