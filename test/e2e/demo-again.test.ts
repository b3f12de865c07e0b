/** The demo started, stopped by Ctrl-C and started again: its log is in a file, and the runs of before are there. */
import { afterAll, assert, describe, it, vi } from "@effect/vitest"
import { existsSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { patience } from "../support/patience.ts"
import { killDemos, post, record, startDemo, tokenOf } from "./demo.ts"

/** The offsets of a run's events in the log. */
const logged = async (url: string, run: string): Promise<ReadonlyArray<number>> => {
  const { answer: { offsets } } = await post(url, "/api/logged", { run }, await tokenOf(url, "ada"))
  return Array.isArray(offsets) ? offsets.map(Number) : assert.fail("no offsets")
}

/** In which epoch ada's log is. */
const epochOf = async (url: string) => {
  const { close, epoch } = await record(url, "ada")
  close()
  return epoch
}

describe("npm start, Ctrl-C, npm start", () => {
  const folder = mkdtempSync(join(tmpdir(), "effect-emitter-demo-again-"))
  afterAll(() => {
    killDemos()
    rmSync(folder, { recursive: true, force: true })
  })

  it("shows the runs of before, and the one that was under way as ended", async () => {
    const file = join(folder, "demo", "events.db")
    const environment = { DEMO_LOG: file }
    const demo = startDemo(0, undefined, environment)
    const url = await demo.ready
    assert.isTrue(existsSync(file))
    const epoch = await epochOf(url)
    const asked = await post(url, "/api/ask", { question: "How do I resume?" }, await tokenOf(url, "ada"))
    const run = String(asked.answer["run"])
    await vi.waitFor(async () => assert.isAbove((await logged(url, run)).length, 2), 10_000 * patience)
    const { code, stderr } = await demo.stop("SIGINT")
    assert.deepStrictEqual([code, stderr], [0, ""])

    const again = startDemo(0, undefined, environment)
    const next = await again.ready
    assert.strictEqual(await epochOf(next), epoch)
    const offsets = await logged(next, run)
    assert.isAbove(offsets.length, 3)
    assert.deepStrictEqual(offsets, offsets.map((_, index) => index + 1))
    await again.stop("SIGINT")
  }, 60_000 * patience)
})
