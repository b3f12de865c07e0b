/**
 * The README's programs, run as their readers run them: saved to a file beside the installed package, started with `node`,
 * and looked at in a browser.
 */
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { build } from "esbuild"
import { type ChildProcess, spawn } from "node:child_process"
import * as fs from "node:fs/promises"
import { createServer } from "node:net"
import * as path from "node:path"
import type { Browser, Page } from "playwright-core"
import { findExamples, isProgram } from "../docs/examples.ts"
import { launch } from "../e2e/demo.ts"
import { compile } from "../support/compile.ts"
import { patience } from "../support/patience.ts"
import { findBrowser } from "../support/program.ts"
import { install, type Installed } from "./install.ts"
import { root } from "./pack.ts"

const executable = findBrowser()

const readme = await fs.readFile(path.join(root, "README.md"), "utf8")
const programs = findExamples(root).filter(isProgram)
const codeOf = (language: "ts" | "tsx") => programs.find((program) => program.language === language)?.code ?? ""
const server = codeOf("ts")
const reactPage = codeOf("tsx")
const patch = /^```diff\n([\s\S]*?)^```$/mu.exec(readme)?.[1] ?? ""

const linesOf = (text: string) => text.trimEnd().split("\n")

/** Applies what stands in a `diff` block. Each hunk has to fit in one place. */
const patched = (text: string, diff: string): string =>
  diff.split(/^@@\n/mu).reduce((code, hunk) => {
    const side = (sign: "-" | "+") =>
      hunk.split("\n").filter((line) => line[0] === " " || line[0] === sign).map((line) => `${line.slice(1)}\n`).join(
        ""
      )
    const pieces = code.split(side("-"))
    assert.strictEqual(pieces.length, 2, `the hunk fits in ${pieces.length - 1} places:\n${hunk}`)
    return pieces.join(side("+"))
  }, text)

const freePort = () =>
  new Promise<number>((resolve) => {
    const probe = createServer().listen(0, "127.0.0.1", () => {
      const address = probe.address()
      probe.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0))
    })
  })

describe("the programs of the README", () => {
  it("are a server with its page, ten lines for stop and an approval, and a page with React", () => {
    assert.deepStrictEqual(programs.map(({ language, place }) => [place.split(":")[0], language]), [
      ["README.md", "ts"],
      ["src/react/README.md", "tsx"]
    ])
    assert.isBelow(linesOf(server).length, 40)
    assert.isBelow(linesOf(reactPage).length, 40)
    const added = linesOf(patched(server, patch)).length - linesOf(server).length
    assert.isAbove(added, 0)
    assert.isAtMost(linesOf(patch).filter((line) => line.startsWith("+")).length, 10)
    // The server with stop and its question, and the page with its buttons, each by itself.
    const [page = ""] = /^const page = `[\s\S]*?^<\/script>`$/mu.exec(patched(server, patch)) ?? []
    assert.isAbove(linesOf(page).length, 10)
    assert.isBelow(linesOf(page).length, 40)
    assert.isBelow(linesOf(patched(server, patch).replace(page, "")).length, 40)
    for (const code of [patched(server, patch), reactPage]) {
      assert.deepStrictEqual(linesOf(code).filter((line) => line.length > 128), [])
      assert.notMatch(code.replaceAll(/^import .*$|\/\/.*$/gmu, ""), /\bas\b(?!\()|\bany\b|@ts-/u)
    }
  })
})

describe.skipIf(executable === undefined)("the programs of the README, as they are installed,", () => {
  let packed: Installed
  let browser: Browser
  const running = new Set<ChildProcess>()

  beforeAll(async () => {
    packed = await install()
    browser = await launch(executable ?? "chromium")
  }, 300_000)
  afterAll(async () => {
    for (const child of running) child.kill("SIGKILL")
    await browser?.close()
    await packed?.remove()
  })

  /** Runs a server with nothing but `node`, until it says where it listens. Its port is another one than the README's. */
  const start = async (name: string, code: string) => {
    const port = await freePort()
    assert.include(code, "port: 3000")
    await fs.writeFile(path.join(packed.app, name), code.replace("port: 3000", `port: ${port}`))
    const child = spawn(process.execPath, [name], {
      cwd: packed.app,
      stdio: "pipe",
      env: { ...process.env, NO_COLOR: "1" }
    })
    running.add(child)
    let said = ""
    const ended = new Promise<number | null>((resolve) => child.once("close", resolve))
    const url = await new Promise<string>((resolve, reject) => {
      const hear = (chunk: unknown) => {
        said += String(chunk)
        const address = /http:\/\/127\.0\.0\.1:\d+/u.exec(said)?.[0]
        if (address !== undefined) resolve(address)
      }
      child.stdout.on("data", hear)
      child.stderr.on("data", hear)
      void ended.then(() => reject(new Error(`it ended before it said where it listens:\n${said}`)))
    })
    assert.strictEqual(url, `http://127.0.0.1:${port}`)
    return {
      url,
      stop: async () => {
        child.kill("SIGTERM")
        await ended
        running.delete(child)
        return said
      }
    }
  }

  const open = async (url: string) => {
    const page = await (await browser.newContext()).newPage()
    page.setDefaultTimeout(20_000 * patience)
    const problems: Array<string> = []
    page.on("pageerror", (error) => problems.push(String(error)))
    page.on("console", (message) => {
      if (message.type() === "error" && !message.location().url.endsWith("/favicon.ico")) problems.push(message.text())
    })
    await page.goto(url)
    return { page, problems }
  }

  const said = "Reload this page while I write: all of it is there, and goes on. "
  const button = (page: Page, name: string) => page.getByRole("button", { name, exact: true })
  const line = (page: Page, text: string | RegExp) => page.locator("p", { hasText: text })

  it("show a run that survives a reload, on a second device too, without a build", async () => {
    const { stop, url } = await start("program.ts", server)
    const { page, problems } = await open(url)
    await button(page, "Ask").click()
    await line(page, /^(active|completed): Reload this/u).waitFor()
    await page.reload()
    // A slow machine may have come back only when the run has ended.
    await line(page, /^(active|completed): Reload this page/u).waitFor()
    const other = await open(url)
    await line(other.page, /^(active|completed): Reload this page/u).waitFor()
    for (const shown of [page, other.page]) await line(shown, `completed: ${said.trim()}`).waitFor()
    await page.reload()
    assert.strictEqual(await line(page, "completed").textContent(), `completed: ${said}`)
    assert.deepStrictEqual([...problems, ...other.problems], [])
    assert.notInclude(await stop(), "ERROR")
  })

  it("stop a run, and ask for an approval that any device answers", async () => {
    const { stop, url } = await start("stop.ts", patched(server, patch))
    const { page, problems } = await open(url)
    const other = await open(url)
    await button(page, "Ask").click()
    await line(other.page, /^active: Reload/u).waitFor()
    await button(other.page, "Stop").click()
    await line(page, /^cancelled: Reload/u).waitFor()

    await button(page, "Ask").click()
    await line(page, `active: ${said}Send it?`).waitFor()
    await page.reload()
    await button(other.page, "Yes").waitFor()
    await button(page, "Yes").click()
    for (const shown of [page, other.page]) {
      await line(shown, `completed: ${said.trim()}`).waitFor()
      assert.strictEqual(await button(shown, "Yes").count(), 0)
    }
    assert.deepStrictEqual([...problems, ...other.problems], [])
    assert.match(await stop(), /INFO.*: sent/u)
  })

  it("show the same with React, stop and approval included", async () => {
    await fs.writeFile(path.join(packed.app, "page.tsx"), reactPage)
    const options = ["--noEmit", "--strict", "--module", "nodenext", "--target", "es2024", "--jsx", "react-jsx"]
    assert.strictEqual(compile([...options, "page.tsx"], packed.app), "")
    const { warnings } = await build({
      absWorkingDir: packed.app,
      entryPoints: ["page.tsx"],
      bundle: true,
      jsx: "automatic",
      logLevel: "silent",
      outfile: path.join(packed.app, "page.js")
    })
    assert.deepStrictEqual(warnings, [])
    const html = `<!doctype html><meta charset="utf-8"><div id="root"></div><script src="/page.js"></script>`
    const served = patched(server, patch)
      .replace(/const page = `[^`]*`/u, `const page = ${JSON.stringify(html)}`)
      .replace(
        /^const routes = .*$/mu,
        (line) =>
          `${line}\n  HttpRouter.add("GET", "/page.js", HttpServerResponse.text(script, { contentType: "text/javascript" })),`
      )
    const { stop, url } = await start(
      "react.ts",
      `import { readFileSync } from "node:fs"\nconst script = readFileSync("page.js", "utf8")\n${served}`
    )
    const { page, problems } = await open(url)
    await page.getByRole("status").filter({ hasText: "Connected." }).waitFor()
    await button(page, "Ask").click()
    await line(page, /^active: Reload/u).waitFor()
    await page.reload()
    await line(page, /^active: Reload/u).waitFor()
    await button(page, "Stop").click()
    await line(page, /^cancelled: Reload/u).waitFor()
    await button(page, "Ask").click()
    await line(page, "Send it?").waitFor()
    await page.reload()
    await button(page, "No").click()
    await line(page, `completed: ${said.trim()}`).waitFor()
    assert.strictEqual(await line(page, "Send it?").count(), 0)
    assert.deepStrictEqual(problems, [])
    assert.notMatch(await stop(), /INFO.*: sent/u)
  })
})
