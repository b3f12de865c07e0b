/** That `npm run bench` ends when it has to. */
import { assert, describe, it } from "@effect/vitest"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { text } from "node:stream/consumers"
import { fileURLToPath } from "node:url"
import { answerInProcess } from "../../bench/harness/isolate.ts"

const main = fileURLToPath(new URL("../../bench/main.ts", import.meta.url))

/** Starting a process may take long on a loaded machine. */
const timeout = 600_000

describe("npm run bench", () => {
  it("ends by Ctrl-C with what it knows, and names what was not asked", { timeout }, async ({ signal }) => {
    const child = spawn(
      process.execPath,
      ["--expose-gc", main, "--quick", "--only", "breaker", "--only", "emit-critical"],
      { stdio: ["ignore", "pipe", "pipe"], signal, killSignal: "SIGKILL" }
    )
    const report = text(child.stdout)
    const exit = once(child, "exit")
    // It tells of the first question when it begins.
    await once(child.stderr, "data")
    child.kill("SIGINT")
    assert.deepStrictEqual(await exit, [130, null])
    assert.match(await report, /0 of 1 questions answered, 1 FAILED/)
    assert.match(await report, /emit-critical FAILED: it was interrupted/)
    assert.match(await report, /not asked, since it was interrupted: breaker/)
  })

  it("ends a question that takes longer than it may", { timeout }, async ({ signal }) => {
    const outcome = await answerInProcess("emit-critical", true, () => undefined, { limitSeconds: 0.3, signal })
    assert.strictEqual(outcome.answer, undefined)
    assert.match(outcome.problem ?? "", /^it took longer than 0\.3 s$/)
  })
})
