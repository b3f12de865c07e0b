/**
 * The demo as a stranger meets it: a real process, a real browser, and a recorder beside them that reads the same user's
 * events over a socket of its own.
 */
import { afterAll, afterEach, assert, beforeAll, beforeEach, describe, it } from "@effect/vitest"
import { readFile, rm } from "node:fs/promises"
import { createServer } from "node:net"
import type { Browser, Page } from "playwright-core"
import { findBrowser } from "../support/program.ts"
import { bare, decline, expected, killDemos, launch, listed, record, type Recorder, shown, startDemo } from "./demo.ts"
import { patience } from "../support/patience.ts"

const executable = findBrowser()

const question = "Which close codes make a client reconnect?"

describe.skipIf(executable === undefined)("the demo's page", () => {
  let browser: Browser
  let demo: ReturnType<typeof startDemo>
  let grace: Recorder
  let url: string
  let page: Page
  let ada: Recorder
  const problems: Array<string> = []

  beforeAll(async () => {
    demo = startDemo(0)
    const launching = launch(executable ?? "chromium")
    url = await demo.ready
    grace = await record(url, "grace")
    browser = await launching
  })
  afterAll(async () => {
    await browser.close()
    killDemos()
  })

  const open = async (path = "/"): Promise<Page> => {
    const context = await browser.newContext({ viewport: { width: 1280, height: 900 } })
    const opened = await context.newPage()
    opened.setDefaultTimeout(20_000 * patience)
    opened.on("pageerror", (error) => problems.push(String(error)))
    await opened.goto(url + path)
    return opened
  }
  const live = (of: Page, user = "ada") => of.locator(`[data-user=${user}] .connection[data-status=live]`).waitFor()
  const ask = async (of: Page, text: string) => {
    await of.getByLabel("Your question").first().fill(text)
    await of.getByRole("button", { name: "Ask", exact: true }).first().click()
  }
  /** What a browser says when its network is back: the client then waits no longer. */
  const networkIsBack = (of: Page) => of.evaluate(() => window.dispatchEvent(new Event("online")))
  /** The newest run; those of other tests are below it. */
  const newest = (of: Page) => of.locator("[data-user=ada] article:first-child")
  const ended = (of: Page, status: string) =>
    of.locator(`[data-user=ada] article:first-child[data-status=${status}]`).waitFor()
  /** Until the agent asks whether to send its summary, and it is not sent. */
  const completed = async (of: Page) => {
    await decline(of)
    await ended(of, "completed")
  }
  const streaming = (of: Page) =>
    of.locator("[data-user=ada] article[data-status=active] .answer > *").first().waitFor()
  /** The run has ended for the recorder too, and the page has listed its last event: a snapshot may tell the end before. */
  const caughtUp = async (of: Page) => {
    while (ada.events.at(-1)?.type !== "agent_completed") await of.waitForTimeout(20)
    await of.locator(`[data-user=ada] .log li[data-offset="${ada.events.at(-1)?.offset}"]`).waitFor({
      state: "attached"
    })
  }
  /** What the three steps say, and how each stands. */
  const steps = (of: Page) =>
    of.locator("[data-user=ada] .strip li").evaluateAll((items) =>
      items.map((item) => `${item.textContent} ${item.getAttribute("data-state")}`)
    )
  /** How many events the page says were restored, once it has all that the log had. */
  const restored = async (of: Page, how: string) => {
    const last = of.locator("[data-user=ada] .strip li[data-state=done]").nth(2)
    await last.waitFor()
    const [, had, all] = /^✓Restored (\d+) of (\d+) events$/u.exec(await last.textContent() ?? "") ?? []
    assert.deepStrictEqual((await steps(of)).slice(0, 2), ["✓Asked done", `✓${how} done`])
    assert.isAbove(Number(had), 5)
    assert.strictEqual(had, all)
    return Number(had)
  }
  const counted = async (of: Page, name: string) =>
    Number(await of.locator(`[data-user=ada] [data-count=${name}]`).textContent())

  beforeEach(async () => {
    problems.length = 0
    ada = await record(url, "ada")
    page = await open()
    await live(page)
  })
  afterEach(async () => {
    ada.close()
    await page.context().close()
    assert.deepStrictEqual(problems, [])
    assert.deepStrictEqual(ada.problems, [])
    assert.deepStrictEqual([...grace.events], [])
  })

  /** The page's list is what was recorded since it was loaded, each event once and in order; its cards show all of it. */
  const assertWhole = async (of: Page, isReloaded = false) => {
    const list = await listed(of, "ada")
    assert.deepStrictEqual(
      list,
      ada.events.slice(isReloaded ? ada.events.length - list.length : 0).map(({ id, offset, run, type }) => ({
        epoch: ada.epoch,
        offset,
        id,
        type,
        run
      }))
    )
    const [card] = await shown(of, "ada")
    const want = expected(ada.events)
    assert.isAbove(want.answer.length, 50)
    assert.strictEqual(bare(card?.answer ?? ""), bare(want.answer))
    assert.deepStrictEqual(card?.tools, want.tools)
    assert.deepStrictEqual(card?.notes, want.notes)
  }

  it("shows a whole run through a reload, a cut and a held connection, and nothing of it to a second user", async () => {
    const addresses: Array<string> = []
    page.on("request", (request) => addresses.push(request.url()))
    page.on("websocket", (socket) => addresses.push(socket.url()))
    await page.getByRole("button", { name: "Open a second user beside" }).click()
    await live(page, "grace")

    assert.deepStrictEqual(await steps(page), ["1Ask now", "2Reload the page later", "3See what came back later"])
    await ask(page, question)
    await streaming(page)
    assert.deepStrictEqual(await steps(page), ["✓Asked done", "2Reload now now", "3See what came back later"])
    await page.reload()
    await live(page)
    await live(page, "grace")
    await page.locator("article[data-status=active]").waitFor()
    await restored(page, "Reloaded")

    await page.getByRole("button", { name: "Cut the connection" }).first().click()
    await page.locator("[data-user=ada] [data-count=reconnects]", { hasText: "1" }).waitFor()
    await page.getByRole("button", { name: "Hold closed for 5 s" }).first().click()
    // It waits and tries by turns.
    await page.locator("[data-user=ada] .connection[data-status=waiting] .detail", {
      hasText: /Next attempt in \d+\.\d s/u
    }).waitFor()
    await newest(page).locator(".badge", { hasText: "Running when last heard of" }).waitFor()
    await page.waitForTimeout(5_000)
    await networkIsBack(page)
    await completed(page)
    await live(page)
    await caughtUp(page)
    await assertWhole(page, true)
    assert.isAbove(await counted(page, "events"), 0)
    assert.strictEqual(await counted(page, "gaps"), 0)
    assert.strictEqual(await counted(page, "reconnects"), 2)

    // Nothing is replayed: the run is there from its state.
    await page.reload()
    await live(page)
    await ended(page, "completed")
    await assertWhole(page, true)
    assert.strictEqual(await restored(page, "Reloaded"), ada.events.length)
    assert.strictEqual(await counted(page, "events"), 0)
    const storage: unknown = await page.evaluate("Object.keys(localStorage).concat(Object.keys(sessionStorage))")
    assert.deepStrictEqual(storage, ["effect-emitter-demo:beside"])

    assert.deepStrictEqual(await listed(page, "grace"), [])
    assert.deepStrictEqual(await shown(page, "grace"), [])
    assert.strictEqual(await page.locator("[data-user=grace] [data-count=events]").textContent(), "0")

    const tokens = /eyJ[\w-]+\.[\w-]+\.[\w-]+/
    assert.isAbove(addresses.filter((address) => address.includes("/events")).length, 3)
    assert.deepStrictEqual(addresses.filter((address) => tokens.test(address)), [])
  })

  it("brings a device that joins in the middle up to date, and a text of the user's own is only ever text", async () => {
    const text =
      "The <img src=x onerror=\"document.title='hit'\"> lamp is lit at sunset.\n\nThe boat brings **oil** on Monday."
    await page.getByText("Answer from a text of my own").click()
    await page.getByLabel("Your text", { exact: true }).fill(text)
    const late = await (await browser.newContext()).newPage()
    // Once before, so that it has the page at hand when it comes back in the middle, also on a slow machine.
    await late.goto(url)
    await late.goto("about:blank")
    await ask(page, "What is lit at sunset, and when does the boat bring oil?")
    await page.locator("article[data-status=active] [data-tool]").first().waitFor({ state: "attached" })
    await late.goto(url)
    await late.locator("article[data-status=active]").waitFor()
    await restored(late, "Opened later")
    await completed(page)
    await ended(late, "completed")
    await caughtUp(page)
    await assertWhole(page)
    const [card] = await shown(late, "ada")
    assert.strictEqual(bare(card?.answer ?? ""), bare(expected(ada.events).answer))
    assert.isBelow(await counted(late, "events"), ada.events.length)

    await late.setViewportSize({ width: 390, height: 844 })
    await late.reload()
    await ended(late, "completed")
    await late.waitForFunction(() => {
      const { bottom = 0, top = -1 } = document.querySelector("[data-user=ada] article h3")?.getBoundingClientRect() ??
        {}
      return top >= 0 && bottom < innerHeight
    })
    const [again] = await shown(late, "ada")
    assert.strictEqual(again?.answer, card?.answer)
    assert.notStrictEqual(await page.title(), "hit")
    assert.strictEqual(await page.locator("article img").count(), 0)
    await late.context().close()
  })

  it("is used with the keyboard alone, also to stop a run, and says on each tab who stopped it", async () => {
    const other = await open()
    await live(other)
    await page.keyboard.press("Tab")
    assert.strictEqual(await page.locator(":focus").textContent(), "Skip to the question")
    await page.keyboard.press("Enter")
    await page.keyboard.type(question)
    await page.keyboard.press("Enter")
    const stop = page.getByRole("button", { name: `Stop ${question}` })
    await other.locator("article[data-status=active]").waitFor()
    await stop.focus()
    await page.keyboard.press("Enter")
    await ended(page, "cancelled")
    await ended(other, "cancelled")
    assert.strictEqual(await page.getByRole("button", { name: "Stop" }).count(), 0)
    assert.strictEqual(await page.locator(":focus").textContent(), question)
    const said = (of: Page) => newest(of).locator(".ending").textContent()
    assert.strictEqual(await said(page), "Stopped by you.")
    assert.strictEqual(await said(other), "Stopped by you, from another tab or device.")
    assert.match(await page.getByRole("status").textContent() ?? "", /Stopped by you\./)
    while (ada.events.at(-1)?.type !== "agent_error") await page.waitForTimeout(20)
    assert.deepStrictEqual([ada.events.at(-1)?.data["reason"], ada.events.at(-1)?.data["by"]], ["cancelled", "user"])
    await page.reload()
    await ended(page, "cancelled")
    assert.strictEqual(await said(page), "Stopped by you.")
    await other.context().close()
  })

  it("shows what the agent asks on each tab and after a reload, and both see what one of them answers", async () => {
    const other = await open()
    await live(other)
    const request = (of: Page, status: string) => newest(of).locator(`.request[data-request=${status}]`)
    const says = async (of: Page, outcome: string) => {
      await request(of, "answered").waitFor()
      assert.strictEqual(await request(of, "answered").locator(".outcome").textContent(), outcome)
    }
    await ask(page, question)
    await request(page, "open").waitFor()
    await request(other, "open").waitFor()
    assert.strictEqual(await newest(page).locator(".badge").textContent(), "Waits for your answer")
    await page.reload()
    await request(page, "open").waitFor()
    assert.strictEqual(await newest(page).locator("[data-tool]", { hasText: /Sent|Sending/u }).count(), 0)
    const yes = newest(other).getByRole("group", { name: "Shall I send this summary?" }).getByRole("button", {
      name: "Yes"
    })
    await yes.focus()
    await other.keyboard.press("Enter")
    await says(other, "You said yes.")
    await says(page, "You said yes.")
    assert.strictEqual(await other.locator(":focus").textContent(), "You said yes.")
    await ended(page, "completed")
    await ended(other, "completed")
    const sent = newest(page).locator("[data-tool][data-status=completed] summary", { hasText: "Sent" })
    const file = /\.tmp\/demo\/[\w-]+\.md/u.exec(await sent.textContent() ?? "")?.[0] ?? ""
    while (ada.events.at(-1)?.type !== "agent_completed") await page.waitForTimeout(20)
    assert.strictEqual(await readFile(file, "utf8"), `${expected(ada.events).answer}\n`)
    await rm(file)

    await ask(page, question)
    await request(page, "open").waitFor()
    await decline(other)
    await says(page, "You said no.")
    await ended(page, "completed")
    assert.strictEqual(await newest(page).locator(".note").last().textContent(), "I do not send it.")
    await other.context().close()
  })

  it("tells what is wrong with a question or a text before anything runs", async () => {
    await page.getByRole("button", { name: "Ask", exact: true }).click()
    assert.strictEqual(await page.getByRole("alert").textContent(), "Type a question first.")
    await page.getByText("Answer from a text of my own").click()
    await page.getByLabel("Your text", { exact: true }).evaluate((area, text) => {
      if (area instanceof HTMLTextAreaElement) area.value = text
    }, "word ".repeat(50_000))
    await ask(page, question)
    assert.match(await page.getByRole("alert").textContent() ?? "", /250,000 characters; 200,000 is the most/)
    await page.getByLabel("Your text", { exact: true }).fill(" … ")
    await ask(page, question)
    await page.getByText("The text has no words in it.").waitFor()
    assert.deepStrictEqual([...ada.events], [])
  })

  it("makes up with a snapshot for what a slow connection does not get, and says so in one calm line", async () => {
    // The page presses the button itself, as soon as a tool is shown: from here it may come too late for the run.
    await page.evaluate(`
      new MutationObserver((_, observer) => {
        if (document.querySelector("article[data-status=active] [data-tool]") === null) return
        observer.disconnect()
        Array.from(document.querySelectorAll("button")).find(({ textContent }) => textContent === "Slow it down for 3 s").click()
      }).observe(document.body, { childList: true, subtree: true, attributes: true })
      undefined`)
    await ask(page, "What is the difference between batched and critical events?")
    await page.locator("article[data-status=active] [data-tool]").first().waitFor({ state: "attached" })
    await completed(page)
    await caughtUp(page)
    assert.isAbove(await counted(page, "gaps"), 0)
    assert.isAbove(await counted(page, "snapshots"), 0)
    const got = await listed(page, "ada")
    assert.isBelow(got.length, ada.events.length)
    assert.strictEqual(got.at(-1)?.offset, ada.events.at(-1)?.offset)
    const [card] = await shown(page, "ada")
    const want = expected(ada.events)
    assert.strictEqual(bare(card?.answer ?? ""), bare(want.answer))
    assert.deepStrictEqual([card?.tools, card?.notes], [want.tools, want.notes])
    assert.match(
      await page.locator("[data-user=ada] .missing").textContent() ?? "",
      /left out, since this page read too slowly/
    )
  })

  it("shows a whole run, and says calmly how, where no WebSocket gets through", async () => {
    const blocked = await (await browser.newContext({ viewport: { width: 1280, height: 900 } })).newPage()
    blocked.on("pageerror", (error) => problems.push(String(error)))
    const addresses: Array<string> = []
    blocked.on("request", (request) => addresses.push(request.url()))
    let handshakes = 0
    // What a proxy does that knows no WebSocket.
    await blocked.routeWebSocket(/events/, (socket) => {
      handshakes++
      void socket.close({ code: 1006 })
    })
    await blocked.goto(url)
    await blocked.locator("[data-user=ada] .connection[data-status=live][data-transport=sse]").waitFor()
    // Another one may be on its way while the page asks whether the server answers over HTTP.
    const failed = handshakes
    assert.isAtLeast(failed, 2)
    assert.match(await blocked.locator("[data-user=ada] .detail").textContent() ?? "", /come over plain HTTP/)
    assert.strictEqual(await blocked.getByRole("alert").count(), 0)

    await ask(blocked, question)
    await streaming(blocked)
    await blocked.getByRole("button", { name: "Cut the connection" }).first().click()
    await blocked.locator("[data-user=ada] [data-count=reconnects]", { hasText: "1" }).waitFor()
    await completed(blocked)
    await caughtUp(blocked)
    await assertWhole(blocked)
    assert.strictEqual(await counted(blocked, "gaps"), 0)
    // What works is kept, also by the connection after the cut.
    assert.strictEqual(handshakes, failed)
    assert.deepStrictEqual(addresses.filter((address) => /eyJ[\w-]+\./.test(address)), [])
    await blocked.context().close()
  })

  it("stops in time with a run under way, and the page goes on with the server that is started after it", async () => {
    await ask(page, question)
    await page.locator("article[data-status=active]").waitFor()
    const { code, ms, readyMs, stderr, stdout } = await demo.stop("SIGINT")
    assert.strictEqual(stderr, "")
    assert.strictEqual(stdout, `effect-emitter demo: ${url}\nPress Ctrl-C to stop.\n`)
    assert.strictEqual(code, 0)
    assert.isBelow(ms, 3_000 + 3 * readyMs)
    // The run's ending is there before the goodbye: the page shows nothing as running that does not run.
    await ended(page, "cancelled")
    assert.strictEqual(await newest(page).locator(".ending").textContent(), "Ended by its server before it was done.")
    await page.locator(".connection[data-status=waiting]").waitFor()
    // What a screen reader is told when the server takes its leave.
    assert.match(await page.getByRole("status").textContent() ?? "", /The server is stopping, and will be back/)
    assert.deepStrictEqual([...ada.problems], ["a frame of type goodbye", "closed with 4500"])
    ada = { ...ada, problems: [] }

    demo = startDemo(new URL(url).port)
    await demo.ready
    await networkIsBack(page)
    await live(page)
    assert.strictEqual(await counted(page, "gaps"), 1)
    const after = await record(url, "ada")
    await ask(page, question)
    await page.locator("article[data-status=active] [data-tool=call-1]").waitFor({ state: "attached" })
    await page.getByRole("button", { name: "Stop" }).click()
    await newest(page).locator(".ending", { hasText: "Stopped by you." }).waitFor()
    const [card] = await shown(page, "ada")
    assert.deepStrictEqual(card?.tools.map(({ id }) => id), expected(after.events).tools.map(({ id }) => id))
    assert.deepStrictEqual([...after.problems], [])
    after.close()
  })

  it("misses nothing on a phone while the operator takes the broker away and sees breaker and spool", async () => {
    const operator = await open("/operator")
    const total = (name: string) => operator.locator("#totals div", { hasText: name }).locator("dd")
    await operator.locator("#state[data-breaker=closed]").waitFor()
    await page.setViewportSize({ width: 390, height: 844 })
    const box = await page.getByLabel("Your question").boundingBox()
    assert.isBelow(box?.y ?? 1_000, 400)
    await ask(page, "How do I define my own event?")
    await streaming(page)
    await operator.getByRole("button", { name: "Take the broker away for 5 s" }).click()
    await operator.locator("#state[data-breaker=open]").waitFor()
    await completed(page)
    await caughtUp(page)
    await assertWhole(page)
    assert.isAtMost(await page.evaluate(() => document.documentElement.scrollWidth), 390)
    await operator.locator("#state[data-breaker=closed]").waitFor()
    assert.isAbove(Number(await total("Out of the spool").textContent()), 5)
    assert.strictEqual(await total("Dead letters").textContent(), "0")
    assert.match(await operator.locator("[data-chart=spooled] .most").textContent() ?? "", /^highest [1-9]/)
    await operator.context().close()
  })
})

describe("npm start", () => {
  afterAll(killDemos)

  it("says in one line that its port is taken, and what to do", async () => {
    const other = createServer().listen(0, "127.0.0.1")
    await new Promise((resolve) => other.once("listening", resolve))
    const address = other.address()
    const port = typeof address === "object" && address !== null ? address.port : 0
    const { code, stderr, stdout } = await startDemo(port).ended
    other.close()
    assert.deepStrictEqual([code, stdout], [1, ""])
    assert.strictEqual(
      stderr,
      `Port ${port} is taken: something is listening on it already, perhaps another demo. `
        + "Stop that, or choose another one: PORT=4321 npm start\n"
    )
  })

  it("says in one line that PORT is no port", async () => {
    const { code, stderr, stdout } = await startDemo("80.5").ended
    assert.deepStrictEqual([code, stdout], [1, ""])
    assert.strictEqual(
      stderr,
      "PORT must be a whole number from 0 to 65535, and is \"80.5\". Try: PORT=4322 npm start\n"
    )
  })

  it("refuses in one line what it cannot be told, and tells what it can", async () => {
    const wrong = await startDemo(0, ["src/demo/main.ts", "--nonsense"]).ended
    assert.deepStrictEqual([wrong.code, wrong.stdout], [2, ""])
    assert.strictEqual(wrong.stderr, "Unknown option '--nonsense' (npm run start -- --help tells the options)\n")
    const { code, stderr, stdout } = await startDemo(0, ["src/demo/main.ts", "--help"]).ended
    assert.deepStrictEqual([code, stderr], [0, ""])
    assert.include(stdout, "npm start -- [--help]")
  })

  it("ends with 0 on SIGTERM too", async () => {
    const demo = startDemo(0)
    await demo.ready
    const { code, ms, readyMs, stderr } = await demo.stop("SIGTERM")
    assert.deepStrictEqual([code, stderr], [0, ""])
    assert.isBelow(ms, 2_000 + 3 * readyMs)
  })
})
