import { assert, it } from "@effect/vitest"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { existsSync, readFileSync } from "node:fs"
import { mkdtemp } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { patience } from "./patience.ts"

const program = `
import { spawn } from "node:child_process"
import { keep } from ${JSON.stringify(fileURLToPath(new URL("kept.ts", import.meta.url)))}
const child = spawn("sleep", ["600"], { stdio: "ignore" })
keep(child, process.argv[1])
console.log(child.pid)
setInterval(() => {}, 1_000)
`

/** Whether it runs: one that has ended may still be listed. */
const runs = (pid: number): boolean => {
  try {
    return !/\) Z /u.test(readFileSync(`/proc/${pid}/stat`, "utf8"))
  } catch {
    return false
  }
}

it.skipIf(process.platform !== "linux")(
  "ends with its directory what a process started that gets SIGKILL",
  async () => {
    const directory = await mkdtemp(join(tmpdir(), "effect-emitter-kept-"))
    const starter = spawn(process.execPath, ["--input-type=module", "-e", program, directory], {
      stdio: ["ignore", "pipe", "inherit"]
    })
    try {
      const [line] = await once(starter.stdout, "data", { signal: AbortSignal.timeout(10_000 * patience) })
      const pid = Number(line)
      assert.isTrue(runs(pid))
      starter.kill("SIGKILL")
      for (const end = performance.now() + 10_000 * patience; runs(pid) || existsSync(directory);) {
        assert.isBelow(performance.now(), end, "what it started runs on")
        await new Promise((resolve) => setTimeout(resolve, 20))
      }
    } finally {
      starter.kill("SIGKILL")
    }
  },
  30_000 * patience
)
