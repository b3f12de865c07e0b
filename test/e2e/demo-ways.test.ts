/**
 * The demo's runs in its four pages: its own, by the hooks for React, by `useChat`, and by a client of AG-UI.
 */
import { afterAll, assert, beforeAll, describe, it, vi } from "@effect/vitest"
import type { Browser, Page } from "playwright-core"
import { patience } from "../support/patience.ts"
import { findBrowser } from "../support/program.ts"
import { bare, expected, killDemos, launch, record, type Recorder, startDemo } from "./demo.ts"

const executable = findBrowser()

const ways = ["", "react", "chat", "ag-ui"] as const

/** Counts how often a page asks where it stands in what it shows, which has it laid out at once. */
const countLayouts = `
  globalThis.asked = 0
  const { get, ...others } = Object.getOwnPropertyDescriptor(Element.prototype, "scrollHeight")
  Object.defineProperty(Element.prototype, "scrollHeight", { ...others, get() { asked++; return get.call(this) } })
`

describe.skipIf(executable === undefined)("the demo's four pages", () => {
  let browser: Browser
  let recorder: Recorder
  const pages = new Map<string, Page>()
  const problems: Array<string> = []
  const pageOf = (way: typeof ways[number]): Page => pages.get(way) ?? assert.fail(`/${way} is not open`)

  beforeAll(async () => {
    const demo = startDemo(0)
    const launching = launch(executable ?? "chromium")
    const url = await demo.ready
    recorder = await record(url, "ada")
    browser = await launching
    const context = await browser.newContext()
    await context.addInitScript(countLayouts)
    for (const way of ways) {
      const page = await context.newPage()
      page.setDefaultTimeout(20_000 * patience)
      page.on("pageerror", (error) => problems.push(`/${way}: ${error}`))
      page.on("console", (message) => {
        if (message.type() === "error") problems.push(`/${way}: ${message.text()}`)
      })
      await page.goto(`${url}/${way}`)
      pages.set(way, page)
    }
  }, 30_000 * patience)
  afterAll(async () => {
    await browser?.close()
    killDemos()
    assert.deepStrictEqual([problems, recorder?.problems], [[], []])
  })

  /** The newest run of each page, once it stands so. */
  const inAll = async (selector: string) => {
    for (const page of pages.values()) await page.locator(`article:first-child${selector}`).waitFor()
  }
  const ask = async (way: typeof ways[number], question: string) => {
    await pageOf(way).getByLabel("Your question").first().fill(question)
    await pageOf(way).getByRole("button", { name: "Ask", exact: true }).click()
  }
  const answers = async () => {
    const texts: Array<string> = []
    for (const page of pages.values()) {
      const blocks = await page.locator("article:first-child .answer > *").allTextContents()
      texts.push(bare(blocks.join(" ")))
    }
    return texts
  }

  it(
    "show a run that one of them began, the same in all, also after a reload in its middle and at its end",
    async () => {
      const question = "What happens when I reload in the middle of a run?"
      await ask("ag-ui", question)
      await inAll(" .answer > *")
      for (const page of pages.values()) await page.reload()
      await inAll(" .answer > *")
      const no = pageOf("react").getByRole("button", { name: "No", exact: true })
      const completed = pageOf("react").locator("article:first-child[data-status=completed]")
      await no.or(completed).first().waitFor()
      if (await no.isVisible()) await no.click()
      await inAll("[data-status=completed]")
      await vi.waitFor(
        () => assert.include(recorder.events.map(({ type }) => type), "agent_completed"),
        20_000 * patience
      )
      const emitted = bare(expected(recorder.events).answer)
      assert.isAbove(emitted.length, 100)
      assert.deepStrictEqual(await answers(), ways.map(() => emitted))
      for (const page of pages.values()) await page.reload()
      await inAll("[data-status=completed] .answer > *")
      assert.deepStrictEqual(await answers(), ways.map(() => emitted))
      for (const page of pages.values()) {
        assert.strictEqual(await page.locator("article:first-child .heading :is(h2, h3)").textContent(), question)
      }
    },
    60_000 * patience
  )

  it("are not laid out for each event that goes into a list which nobody opened", async () => {
    const own = pageOf("")
    const asked = () => own.evaluate("asked")
    assert.strictEqual(await asked(), 0)
    await own.locator(".every > summary").click()
    await vi.waitFor(async () => assert.notStrictEqual(await asked(), 0), 20_000 * patience)
    await own.locator(".every > summary").click()
  })

  for (const [begins, stops] of [["chat", "ag-ui"], ["react", "chat"], ["", "react"]] as const) {
    it(`stop a run that /${begins} began, by the Stop of /${stops}`, async () => {
      await ask(begins, "Do I need Redis?")
      await inAll("[data-status=active]")
      await pageOf(stops).locator("article[data-status=active] .stop").click()
      await inAll("[data-status=cancelled]")
      const newest = Array.from(pages.values(), (page) => page.locator("article").first().getAttribute("data-status"))
      assert.deepStrictEqual(await Promise.all(newest), ways.map(() => "cancelled"))
    }, 60_000 * patience)
  }
})
