/**
 * Takes pictures of the demo's page in what states it has, to be looked at.
 *
 * `node test/e2e/screenshots.ts` writes all of them into `.tmp/screenshots`, at three widths, light and dark; with
 * `--readme` only the README's, into `.github/screenshot.png`.
 */
import { mkdir } from "node:fs/promises"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import type { Page } from "playwright-core"
import { lookFor } from "../support/program.ts"
import { killDemos, launch, startDemo } from "./demo.ts"

const root = fileURLToPath(new URL("../..", import.meta.url))
const question = "What happens when I reload in the middle of a run?"

const { values: { readme } } = parseArgs({ options: { readme: { type: "boolean", default: false } } })

const executable = lookFor("chromium")
if (executable === undefined) throw new Error("chromium is not installed")
const launching = launch(executable)
const url = await startDemo(0).ready
const browser = await launching

const open = async (
  options: { readonly width: number; readonly height: number; readonly colorScheme: "light" | "dark" }
) => {
  const { colorScheme, height, width } = options
  const page = await (await browser.newContext({ viewport: { width, height }, colorScheme, deviceScaleFactor: 1 }))
    .newPage()
  await page.goto(url)
  await page.locator(".connection[data-status=live]").waitFor()
  return page
}
const ask = async (page: Page) => {
  await page.getByLabel("Your question").fill(question)
  await page.getByRole("button", { name: "Ask", exact: true }).click()
  await page.locator("article[data-status=active] .answer > *").first().waitFor()
}
const reload = async (page: Page) => {
  await page.reload()
  await page.locator(".connection[data-status=live]").waitFor()
  await page.locator("article[data-status=active]").waitFor()
}

if (readme) {
  const page = await open({ width: 1000, height: 640, colorScheme: "light" })
  await ask(page)
  await page.waitForTimeout(1_000)
  await reload(page)
  await page.locator(".strip li[data-state=done]").nth(2).waitFor()
  await page.locator(".request[data-request=open]").waitFor()
  await mkdir(`${root}.github`, { recursive: true })
  await page.screenshot({ path: `${root}.github/screenshot.png` })
} else {
  const folder = `${root}.tmp/screenshots`
  await mkdir(folder, { recursive: true })
  for (const width of [1280, 390, 320]) {
    for (const colorScheme of ["light", "dark"] as const) {
      const page = await open({ width, height: width === 1280 ? 860 : 800, colorScheme })
      const shoot = (name: string, fullPage = false) =>
        page.screenshot({ path: `${folder}/${width}-${colorScheme}-${name}.png`, fullPage })
      await shoot("1-first")
      await ask(page)
      await page.waitForTimeout(800)
      await shoot("2-running")
      await reload(page)
      await page.waitForTimeout(300)
      await shoot("3-reloaded")
      await page.locator(".request[data-request=open]").waitFor()
      await page.waitForTimeout(300)
      await shoot("4-asks", true)
      await page.getByRole("button", { name: /^Stop/u }).first().click()
      await page.locator("article[data-status=cancelled]").first().waitFor()
      await page.waitForTimeout(300)
      await shoot("5-stopped")
      await page.context().close()
    }
  }
}
await browser.close()
killDemos()
