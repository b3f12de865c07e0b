import { afterAll, afterEach, assert, describe, it, vi } from "@effect/vitest"
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { findBrowser, findProgram } from "./program.ts"

describe("findProgram", () => {
  const empty = mkdtempSync(join(tmpdir(), "effect-emitter-path-"))
  afterEach(() => {
    vi.unstubAllEnvs()
    vi.restoreAllMocks()
    for (const name of ["chromium", "chromium-headless-shell"]) rmSync(join(empty, name), { force: true })
  })

  const install = (name: string) => {
    const path = join(empty, name)
    writeFileSync(path, "#!/bin/sh\n")
    chmodSync(path, 0o755)
    return path
  }

  afterAll(() => rmSync(empty, { recursive: true }))

  it("finds an executable on the PATH", () => {
    const path = install("chromium")
    vi.stubEnv("PATH", empty)
    assert.strictEqual(findProgram("chromium"), path)
  })

  it("says once and loudly that suites are skipped when there is none", () => {
    vi.stubEnv("PATH", empty)
    vi.stubEnv("CI", "")
    const write = vi.spyOn(process.stderr, "write").mockReturnValue(true)
    assert.isUndefined(findProgram("chromium"))
    assert.strictEqual(write.mock.calls.length, 1)
    assert.match(String(write.mock.calls[0]?.[0]), /SKIPPED.*chromium/)
  })

  it("throws on CI instead of skipping", () => {
    vi.stubEnv("PATH", empty)
    vi.stubEnv("CI", "true")
    assert.throws(() => findProgram("redis-server"), /redis-server is not installed/)
  })

  it("finds the shell for pages, and Chromium where there is no shell", () => {
    const whole = install("chromium")
    vi.stubEnv("PATH", empty)
    assert.strictEqual(findBrowser(), whole)
    const shell = install("chromium-headless-shell")
    assert.strictEqual(findBrowser(), shell)
    assert.strictEqual(findProgram("chromium"), whole)
  })
})
