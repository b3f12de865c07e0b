/**
 * A Chromium whose tabs are really in front or behind, and treated as such: driven by its own protocol, since Playwright
 * keeps every page visible, and switches off what browsers do to tabs in the background.
 *
 * @see https://chromedevtools.github.io/devtools-protocol/
 */
import { spawn } from "node:child_process"
import * as fs from "node:fs/promises"
import * as os from "node:os"
import * as path from "node:path"
import { WebSocket } from "ws"

/** One tab. */
export interface Tab {
  /** The value of an expression. It fails where the page goes away before it answers. */
  readonly evaluate: (expression: string) => Promise<unknown>
  /** The value of an expression that changes nothing, of the page that is there when it answers. */
  readonly read: (expression: string) => Promise<unknown>
  readonly bringToFront: () => Promise<void>
  /** What browsers do to tabs that were behind for long: no task of theirs runs any more. */
  readonly freeze: () => Promise<void>
  readonly thaw: () => Promise<void>
}

export interface Tabs {
  readonly open: (url: string) => Promise<Tab>
  readonly close: () => Promise<void>
}

/** Starts a browser; its windows are of no screen, its tabs are as those of any window. */
export const startTabs = async (executable: string, flags: ReadonlyArray<string>): Promise<Tabs> => {
  const profile = await fs.mkdtemp(path.join(os.tmpdir(), "effect-emitter-tabs-"))
  const child = spawn(executable, [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",
    `--user-data-dir=${profile}`,
    ...flags,
    "about:blank"
  ], { stdio: ["ignore", "ignore", "pipe"] })
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()))
  const address = await new Promise<string>((resolve, reject) => {
    let said = ""
    child.stderr.on("data", (chunk) => {
      said += chunk
      const found = /ws:\/\/\S+/.exec(said)?.[0]
      if (found !== undefined) resolve(found)
    })
    void ended.then(() => reject(new Error(`the browser ended before it was ready:\n${said}`)))
  })
  const socket = new WebSocket(address)
  await new Promise((resolve) => socket.once("open", resolve))

  let calls = 0
  const waiting = new Map<number, (answer: Answer) => void>()
  socket.on("message", (data) => {
    const answer: Answer & { readonly id?: number } = JSON.parse(String(data))
    if (answer.id === undefined) return
    waiting.get(answer.id)?.(answer)
    waiting.delete(answer.id)
  })
  const call = (method: string, params: object, sessionId?: unknown): Promise<Record<string, unknown>> =>
    new Promise((resolve, reject) => {
      const id = ++calls
      waiting.set(
        id,
        ({ error, result }) =>
          result === undefined ? reject(new Error(`${method}: ${error?.message}`)) : resolve(result)
      )
      socket.send(JSON.stringify({ id, method, params, sessionId }))
    })

  return {
    open: async (url) => {
      const { targetId } = await call("Target.createTarget", { url })
      const { sessionId } = await call("Target.attachToTarget", { targetId, flatten: true })
      const evaluate = async (expression: string) => {
        const { result } = await call("Runtime.evaluate", { expression, returnByValue: true }, sessionId)
        return typeof result === "object" && result !== null && "value" in result ? result.value : undefined
      }
      const read = (expression: string): Promise<unknown> =>
        evaluate(expression).catch((error) => {
          if (error instanceof Error && error.message.endsWith(wentAway)) return read(expression)
          throw error
        })
      return {
        evaluate,
        read,
        bringToFront: async () => {
          await call("Target.activateTarget", { targetId })
        },
        freeze: async () => {
          await call("Page.setWebLifecycleState", { state: "frozen" }, sessionId)
        },
        thaw: async () => {
          await call("Page.setWebLifecycleState", { state: "active" }, sessionId)
        }
      }
    },
    close: async () => {
      socket.terminate()
      child.kill("SIGKILL")
      await ended
      await fs.rm(profile, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 })
    }
  }
}

/** Said of an expression whose page gave its place to another, or whose tab was closed: that one is asked in vain. */
const wentAway = "Inspected target navigated or closed"

interface Answer {
  readonly result?: Record<string, unknown>
  readonly error?: { readonly message: string }
}
