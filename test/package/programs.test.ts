import { assert, describe, it } from "@effect/vitest"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("../..", import.meta.url))

/** Runs a script of package.json as a shell does, and gives how it ended and what it wrote. */
const run = async (script: string, ...options: ReadonlyArray<string>) => {
  const child = spawn("npm", ["run", "--silent", script, "--", ...options], { cwd: root, stdio: "pipe" })
  let out = ""
  let err = ""
  child.stdout.on("data", (data) => out += data)
  child.stderr.on("data", (data) => err += data)
  const [code] = await once(child, "close")
  return { code, out, err }
}

/** Node runs them from their sources: what only a test's runner can resolve would keep them from starting. */
describe("programs that npm runs", () => {
  for (const script of ["simulate", "chaos", "fuzz", "bench", "build", "check", "docs", "runtimes"]) {
    it(`${script} starts and tells its options`, async () => {
      const { code, err, out } = await run(script, "--help")
      assert.deepStrictEqual([code, err], [0, ""])
      assert.match(out, new RegExp(`npm run ${script} -- `))
    })

    it(`${script} refuses an option that it does not know, with 2 and one line`, async () => {
      const { code, err, out } = await run(script, "--nonsense")
      assert.deepStrictEqual([code, out], [2, ""])
      assert.match(err, new RegExp(`^Unknown option '--nonsense'[^\\n]*\\(npm run ${script} -- --help [^\\n]*\\n$`))
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
