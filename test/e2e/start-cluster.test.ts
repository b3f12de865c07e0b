/**
 * The demo on several processes, as a stranger meets it: real processes that are really killed, and a real browser.
 */
import { afterAll, afterEach, assert, beforeAll, describe, it } from "@effect/vitest"
import { once } from "node:events"
import { existsSync } from "node:fs"
import { readFile } from "node:fs/promises"
import { createConnection, createServer } from "node:net"
import type { Browser, Page } from "playwright-core"
import { findBrowser, findProgram } from "../support/program.ts"
import { bare, decline, expected, killDemos, launch, listed, post, record, shown, startDemo, tokenOf } from "./demo.ts"
import { patience } from "../support/patience.ts"

const chromium = findBrowser()
const redis = findProgram("redis-server")
const postgres = findProgram("postgres")
const script = "src/demo/cluster/main.ts"
const overPostgres = [script, "--broker", "postgres"]

/** A connection that a killed process leaves behind. */
const cut = 1006

const isAlive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

const listens = (port: number) =>
  new Promise<boolean>((resolve) => {
    const socket = createConnection(port, "127.0.0.1")
    socket.once("connect", () => resolve(true)).once("error", () => resolve(false))
    socket.once("connect", () => socket.destroy())
  })

const until = async (what: string, is: () => boolean | Promise<boolean>, seconds = 15) => {
  for (const end = performance.now() + seconds * patience * 1000; !(await is());) {
    if (performance.now() > end) throw new Error(`not within ${seconds} s: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

/** What the demo said of its processes. */
const partsOf = (said: string) => ({
  processes: [...said.matchAll(/process (\d+)$/gmu)].map(([, pid]) => Number(pid)),
  serverPort: Number(/(?:Redis|Postgres) +port (\d+)/u.exec(said)?.[1])
})

const folderOf = async (pids: ReadonlyArray<number>) => {
  const environment = await readFile(`/proc/${pids[0]}/environ`, "utf8")
  return /\0DEMO_PAGE=([^\0]+)\/page\0/u.exec(environment)?.[1] ?? ""
}

let demo: ReturnType<typeof startDemo>

const begin = async (program: string | ReadonlyArray<string> = script) => {
  demo = startDemo(0, program)
  const url = await demo.ready
  const parts = partsOf(demo.said())
  assert.strictEqual(parts.processes.length, 3)
  const folder = await folderOf(parts.processes)
  assert.isTrue(existsSync(folder))
  return { ...parts, url, folder }
}

const assertNothingLeft = async ({ folder, processes, serverPort }: Awaited<ReturnType<typeof begin>>) => {
  await until("its processes end", () => !processes.some(isAlive))
  await until("its server ends", async () => !(await listens(serverPort)))
  await until("its folder goes", () => !existsSync(folder))
}

describe.skipIf(postgres === undefined)("npm run start:cluster -- --broker postgres", () => {
  afterAll(killDemos)

  it("runs an agent on the worker, shows it through a gateway, serves the pages of other libraries, and leaves nothing behind when it is itself killed", async () => {
    const cluster = await begin(overPostgres)
    const ada = await record(cluster.url, "ada")
    const question = "Which close codes make a client reconnect?"
    const { status } = await post(cluster.url, "/api/ask", { question }, await tokenOf(cluster.url, "ada"))
    assert.strictEqual(status, 202)
    await until("its answer begins", () => ada.events.some(({ type }) => type === "text_delta"))
    assert.deepStrictEqual([...ada.problems], [])
    ada.close()
    const others = await fetch(`${cluster.url}/react.js`)
    assert.strictEqual(others.headers.get("content-type"), "text/javascript; charset=utf-8")
    assert.include(await others.text(), "Your question")
    await demo.stop("SIGKILL")
    await assertNothingLeft(cluster)
  })
})

describe.skipIf(redis === undefined)("npm run start:cluster", () => {
  afterAll(killDemos)

  describe.skipIf(chromium === undefined)("in a browser", () => {
    let browser: Browser
    let cluster: Awaited<ReturnType<typeof begin>>
    const problems: Array<string> = []
    beforeAll(async () => {
      const launching = launch(chromium ?? "chromium")
      cluster = await begin()
      browser = await launching
    })
    afterEach(() => assert.deepStrictEqual(problems.splice(0), []))
    afterAll(async () => {
      await browser.close()
      const { code, stderr } = await demo.stop("SIGTERM")
      assert.strictEqual(code, 0)
      // The one thing worth a line: who ended the runs of the worker that was killed. On a machine that has no time for them
      // processes also tell that Redis did not answer in time, or that a lease was renewed late.
      const needless = stderr.split("\n").filter((line) =>
        line !== "" && !line.endsWith("died, and 1 runs of it were ended as lost\"") &&
        !/"(Redis at|The lease of this process) /u.test(line)
      )
      assert.deepStrictEqual(needless, [])
      await assertNothingLeft(cluster)
    })

    const open = async (path: string): Promise<Page> => {
      const page = await (await browser.newContext({ viewport: { width: 1280, height: 900 } })).newPage()
      page.setDefaultTimeout(20_000 * patience)
      page.on("pageerror", (error) => problems.push(String(error)))
      await page.goto(cluster.url + path)
      return page
    }
    const gatewayOf = (page: Page) => page.locator(".gateway strong").textContent()

    it("moves to the other gateway when its own is killed, with nothing missing, and shows all processes", async () => {
      const page = await open("/")
      await page.locator(".connection[data-status=live]").waitFor()
      const operator = await open("/operator")
      const row = (name: string, state: string) => operator.locator(`[data-node=${name}][data-state=${state}]`)
      for (const name of ["gateway-1", "gateway-2", "worker"]) await row(name, "up").waitFor()
      const ada = await record(cluster.url, "ada", [cut])

      const askUntilItAnswers = async (question: string) => {
        await page.getByLabel("Your question").fill(question)
        await page.getByRole("button", { name: "Ask", exact: true }).click()
        await page.locator("article[data-status=active] .answer > *").first().waitFor()
      }
      const completed = async (count: number) => {
        await decline(page)
        await page.locator("article[data-status=completed]").nth(count - 1).waitFor()
      }
      await askUntilItAnswers("Which close codes make a client reconnect?")
      const first = await gatewayOf(page) ?? ""
      const second = first === "gateway-1" ? "gateway-2" : "gateway-1"
      await page.getByRole("button", { name: "Kill this gateway" }).click()
      await page.locator(".gateway strong", { hasText: second }).waitFor()
      await row(first, "down").waitFor()
      await completed(1)

      await row(first, "up").waitFor()
      await askUntilItAnswers("How do I define my own event?")
      await page.getByRole("button", { name: "Kill this gateway" }).click()
      await page.locator(".gateway strong", { hasText: first }).waitFor()
      await completed(2)
      await page.locator(".connection[data-status=live]").waitFor()

      const ends = () => ada.events.filter(({ type }) => type === "agent_completed").length
      await until("the recorder has it all", () => ends() === 2)
      ada.close()
      assert.deepStrictEqual([...ada.problems], [])
      assert.deepStrictEqual(
        await listed(page, "ada"),
        ada.events.map(({ id, offset, run, type }) => ({ epoch: ada.epoch, offset, id, type, run }))
      )
      const { run } = ada.events.at(-1) ?? {}
      const [card] = await shown(page, "ada")
      assert.strictEqual(
        bare(card?.answer ?? ""),
        bare(expected(ada.events.filter((event) => event.run === run)).answer)
      )
      assert.strictEqual(await page.locator("[data-count=gaps]").textContent(), "0")
      const accepted = async () => Number(await row("worker", "up").locator("td").nth(5).textContent())
      await until("the operator sees what was accepted", async () => await accepted() >= ada.events.length)
      await page.context().close()
      await operator.context().close()
    })

    it("stops a run on the worker from a page on a gateway, and both tabs say so", async () => {
      const page = await open("/")
      const other = await open("/")
      for (const tab of [page, other]) await tab.locator(".connection[data-status=live]").waitFor()
      await page.getByLabel("Your question").fill("How do I define my own event?")
      await page.getByRole("button", { name: "Ask", exact: true }).click()
      await other.locator("article[data-status=active]").waitFor()
      await page.getByRole("button", { name: "Stop" }).click()
      const ending = async (tab: Page) => {
        await tab.locator("article:first-child[data-status=cancelled]").waitFor()
        return tab.locator("article:first-child .ending").textContent()
      }
      assert.strictEqual(await ending(page), "Stopped by you.")
      assert.strictEqual(await ending(other), "Stopped by you, from another tab or device.")
      await page.context().close()
      await other.context().close()
    })

    it("ends a run as lost when its worker is killed, and runs the next question on the worker started anew", async () => {
      const page = await open("/?user=grace")
      await page.locator(".connection[data-status=live]").waitFor()
      const ask = async (question: string) => {
        await page.getByLabel("Your question").fill(question)
        await page.getByRole("button", { name: "Ask", exact: true }).click()
      }
      await ask("How do I define my own event?")
      await page.locator("article[data-status=active] .answer > *").first().waitFor()
      await page.getByRole("button", { name: "Kill the worker" }).click()
      await page.locator("article[data-status=lost]").waitFor()
      await until("the worker is back", async () => {
        await ask("Which close codes make a client reconnect?")
        await page.locator(".ask .primary:not([disabled])").waitFor()
        const problem = await page.locator(".ask .problem").textContent()
        if (problem !== "") assert.match(problem ?? "", /^There is no worker just now/u)
        return problem === ""
      }, 40)
      await decline(page, "grace")
      await page.locator("article[data-status=completed]").waitFor()
      assert.strictEqual(await page.locator("article").count(), 2)
      assert.strictEqual(await page.locator("[data-count=gaps]").textContent(), "0")
      await page.context().close()
    })
  })

  it("stops on Ctrl-C within a bounded time, and leaves nothing behind", async () => {
    const cluster = await begin()
    const { code, ms, readyMs, stderr, stdout } = await demo.stop("SIGINT")
    assert.deepStrictEqual([code, stderr], [0, ""])
    assert.strictEqual(
      stdout.replace(/\d+$/gmu, "N"),
      [
        "effect-emitter demo on several processes: http://127.0.0.1:N",
        "  gateway-1  process N",
        "  gateway-2  process N",
        "  worker     process N",
        "  Redis      port N",
        "Press Ctrl-C to stop.",
        ""
      ].join("\n")
    )
    assert.isBelow(ms, 6_000 + 3 * readyMs)
    await assertNothingLeft(cluster)
  })

  it("leaves nothing behind when it is itself killed", async () => {
    const cluster = await begin()
    await demo.stop("SIGKILL")
    await assertNothingLeft(cluster)
  })
})

describe("npm run start:cluster, where it cannot start", () => {
  afterAll(killDemos)

  it("says in one line how to get redis-server where there is none", async () => {
    const { code, stderr, stdout } = await startDemo(0, script, { PATH: "/nowhere" }).ended
    assert.deepStrictEqual([code, stdout], [1, ""])
    assert.strictEqual(
      stderr,
      "redis-server is not installed, and this demo starts one of its own. "
        + "Try: apt-get install redis-server (Debian, Ubuntu) or brew install redis (macOS)\n"
    )
  })

  it("says in one line how to get Postgres where there is none", async () => {
    const { code, stderr, stdout } = await startDemo(0, overPostgres, { PATH: "/nowhere" }).ended
    assert.deepStrictEqual([code, stdout], [1, ""])
    assert.strictEqual(
      stderr,
      "Postgres is not installed (15 or later), and this demo starts one of its own. "
        + "Try: apt-get install postgresql (Debian, Ubuntu) or brew install postgresql@17 (macOS)\n"
    )
  })

  it("refuses in one line what it cannot be told", async () => {
    const wrong = ["--brokr=redis", "--broker=mysql"].map((option) => startDemo(0, [script, option]).ended)
    const [unknown, other] = (await Promise.all(wrong)).map(({ code, stderr, stdout }) => [code, stdout, stderr])
    const remedy = "(npm run start:cluster -- --help tells the options)\n"
    assert.deepStrictEqual(unknown, [2, "", `Unknown option '--brokr' ${remedy}`])
    assert.deepStrictEqual(other, [2, "", `--broker must be redis or postgres, not "mysql" ${remedy}`])
  })

  it.skipIf(redis === undefined)("says in one line that its port is taken", async () => {
    const other = createServer().listen(0, "127.0.0.1")
    await once(other, "listening")
    const address = other.address()
    const port = typeof address === "object" && address !== null ? address.port : assert.fail("it does not listen")
    const { code, stderr, stdout } = await startDemo(port, script).ended
    other.close()
    assert.deepStrictEqual([code, stdout], [1, ""])
    assert.match(stderr, new RegExp(`^Port ${port} is taken: .*\\n$`, "u"))
  })
})
