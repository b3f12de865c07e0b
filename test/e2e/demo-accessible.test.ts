/**
 * The demo for whoever does not see it, or sees it small: what axe-core finds on its pages, with all that they can show,
 * and whether everything has its room.
 */
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { source } from "axe-core"
import type { Browser, Page } from "playwright-core"
import { patience } from "../support/patience.ts"
import { findBrowser } from "../support/program.ts"
import { decline, killDemos, launch, startDemo } from "./demo.ts"

const executable = findBrowser()

const question = "Which close codes make a client reconnect?"

describe.skipIf(executable === undefined)("the demo, for everybody", () => {
  let browser: Browser
  let url: string
  beforeAll(async () => {
    const launching = launch(executable ?? "chromium")
    url = await startDemo(0).ready
    browser = await launching
  })
  afterAll(async () => {
    await browser.close()
    killDemos()
  })

  const open = async (path: string): Promise<Page> => {
    const page = await (await browser.newContext({ reducedMotion: "reduce" })).newPage()
    page.setDefaultTimeout(20_000 * patience)
    await page.goto(url + path)
    await page.evaluate(`${source}; undefined`)
    return page
  }
  const ask = async (page: Page) => {
    await page.getByLabel("Your question").first().fill(question)
    await page.getByRole("button", { name: "Ask", exact: true }).first().click()
  }

  /** What axe-core finds at both widths, light and dark, one line for each element. Dark is nothing but other colours. */
  const findings = async (page: Page): Promise<ReadonlyArray<string>> => {
    const found: Array<string> = []
    for (const width of [390, 1280]) {
      for (const colorScheme of ["light", "dark"] as const) {
        await page.setViewportSize({ width, height: 900 })
        await page.emulateMedia({ colorScheme })
        const rules = colorScheme === "dark" ? `{ runOnly: ["cat.color"] }` : "{}"
        const lines: ReadonlyArray<string> = await page.evaluate(`
          axe.run(${rules}).then(({ violations }) => violations.flatMap(({ id, nodes }) => nodes.map(({ html }) => id + ": " + html.slice(0, 120))))
        `)
        found.push(...lines.map((line) => `${width} ${colorScheme} ${line}`))
      }
    }
    return found
  }

  /** What can be pressed or read and stands over something else, or past the edge, on the narrowest phone. */
  const crowded = async (page: Page): Promise<ReadonlyArray<string>> => {
    await page.setViewportSize({ width: 320, height: 640 })
    return page.evaluate(() => {
      // What is there for screen readers alone is clipped away.
      const isClipped = (element: Element | null): boolean =>
        element !== null && (getComputedStyle(element).clipPath !== "none" || isClipped(element.parentElement))
      const isShown = (element: Element) =>
        element.checkVisibility() && !isClipped(element) && element.closest(".skip, .log, pre") === null
      const controls = [...document.querySelectorAll("button, input, textarea, summary")].filter(isShown).map((
        element
      ) => ({
        element,
        name: `${element.tagName} ${element.textContent.slice(0, 40)}`,
        box: element.getBoundingClientRect()
      }))
      const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
      const lines: typeof controls = []
      while (walker.nextNode() !== null) {
        const { parentElement: element, textContent } = walker.currentNode
        if (element === null || textContent?.trim() === "" || !isShown(element)) continue
        const range = document.createRange()
        range.selectNodeContents(walker.currentNode)
        for (const box of range.getClientRects()) lines.push({ element, name: `“${textContent?.slice(0, 40)}”`, box })
      }
      const boxes = [...controls, ...lines]
      const wide = boxes.filter(({ box }) => box.left < 0 || box.right > innerWidth).map(({ name }) =>
        `past the edge: ${name}`
      )
      const over = boxes.flatMap((a, index) =>
        boxes.slice(index + 1).filter((b) =>
          !a.element.contains(b.element) && a.box.left < b.box.right - 2 && b.box.left < a.box.right - 2
          && a.box.top < b.box.bottom - 2 && b.box.top < a.box.bottom - 2
        ).map((b) => `${a.name} over ${b.name}`)
      )
      const scrolls = document.documentElement.scrollWidth > innerWidth ? ["the page scrolls sideways"] : []
      return [...wide, ...over, ...scrolls]
    })
  }

  it("finds nothing on the page with a run that asks, one that was stopped, one that is complete, and every event", {
    timeout: 300_000
  }, async () => {
    const page = await open("/")
    await page.locator(".connection[data-status=live]").waitFor()
    assert.deepStrictEqual(await findings(page), [])
    await ask(page)
    await page.locator("article[data-status=active] .stop").click()
    await page.locator("article[data-status=cancelled]").waitFor()
    await ask(page)
    await decline(page)
    await page.locator("article[data-status=completed]").waitFor()
    await ask(page)
    await page.locator(".request[data-request=open]").waitFor()
    await page.locator("details").evaluateAll((all) => all.forEach((details) => details.setAttribute("open", "")))
    // Hundreds of lines that are alike; each takes its time.
    await page.locator(".every li:nth-child(n + 50)").evaluateAll((all) => all.forEach((line) => line.remove()))
    assert.deepStrictEqual(await findings(page), [])
    assert.deepStrictEqual(await crowded(page), [])
    await page.getByRole("button", { name: "Open a second user beside" }).click()
    await page.locator("[data-user=grace] .connection[data-status=live]").waitFor()
    assert.deepStrictEqual(await findings(page), [])
    assert.deepStrictEqual(await crowded(page), [])
    await page.context().close()
  })

  it("finds nothing on the pages of other libraries", { timeout: 300_000 }, async () => {
    for (const path of ["/react", "/chat", "/ag-ui"]) {
      const page = await open(path)
      await page.locator("article[data-status=completed]").first().waitFor()
      assert.deepStrictEqual([path, ...await findings(page), ...await crowded(page)], [path])
      await page.context().close()
    }
  })

  it("finds nothing on the operator's view", async () => {
    const page = await open("/operator")
    await page.locator("#state[data-breaker=closed]").waitFor()
    assert.deepStrictEqual(await findings(page), [])
    assert.deepStrictEqual(await crowded(page), [])
    await page.context().close()
  })

  it("finds nothing on the operator's view in an outage, with several processes of which one is not there", async () => {
    const page = await open("/operator")
    await page.route("**/api/stats*", async (route) => {
      if (route.request().url().includes("node=worker")) return route.fulfill({ status: 502 })
      const response = await route.fetch()
      const report: object = await response.json()
      await route.fulfill({
        json: {
          ...report,
          nodes: ["gateway", "worker"],
          node: { role: "gateway", process: "p1", upMs: 90_000 },
          breaker: "open",
          brokerAway: true,
          draining: true,
          spooled: 12,
          closed: { draining: 2, tooSlow: 1 }
        }
      })
    })
    await page.reload()
    await page.evaluate(`${source}; undefined`)
    await page.locator("#state[data-breaker=open][data-broker=away]").waitFor()
    await page.locator("[data-node=worker][data-state=down]").waitFor()
    assert.deepStrictEqual(await findings(page), [])
    await page.context().close()
  })

  it("moves nothing by itself for whoever asked for that, on any page", async () => {
    // The styles themselves: no script can see what moves within a progress bar.
    const rules = await Promise.all(["/", "/react", "/chat", "/ag-ui", "/operator"].map(async (path) => {
      const page = await open(path)
      const moving = await page.evaluate(() => {
        const of = (rules: CSSRuleList): ReadonlyArray<string> =>
          [...rules].flatMap((rule) =>
            rule instanceof CSSMediaRule
              ? of(rule.cssRules).map((inner) => `${rule.conditionText}: ${inner}`)
              : rule instanceof CSSStyleRule && /animation|transition|scroll-behavior/u.test(rule.cssText)
              ? [rule.selectorText]
              : []
          )
        return [...document.styleSheets].flatMap(({ cssRules }) => of(cssRules))
      })
      await page.context().close()
      return moving.map((rule) => `${path} ${rule}`)
    }))
    const all = rules.flat()
    assert.isAbove(all.length, 3)
    assert.deepStrictEqual(all.filter((rule) => !rule.includes(" (prefers-reduced-motion: no-preference): ")), [])
  })
})
