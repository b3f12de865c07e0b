/**
 * A page that was reloaded, at seeded moments of several runs, a second device, and a tab that never left: they show the
 * same, in a real Chromium over a real gateway. The pages keep nothing; each draws `connection.runs` as it finds them.
 *
 * The agent's time is virtual, and reloads go on side by side: each is a document in a frame of its own that reloads while
 * events go on coming. When each has reloaded once, all are looked at in mid-run.
 */
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { Effect, Exit, Scope } from "effect"
import { build } from "esbuild"
import { fileURLToPath } from "node:url"
import type { Browser, Page } from "playwright-core"
import { serve, type Served, token, user } from "../gateway/server.ts"
import { toEnvelope } from "../support/envelopes.ts"
import { patience } from "../support/patience.ts"
import { findBrowser } from "../support/program.ts"
import { type Draw, seeded } from "../support/random.ts"
import { launch } from "./demo.ts"
import { servePage } from "./servePage.ts"

const executable = findBrowser()
const root = fileURLToPath(new URL("../..", import.meta.url))

const framesAtOnce = 25

/** With `frames` it holds so many of itself, else it draws. */
const script = `
  import { connect } from ${JSON.stringify(`${root}src/client/index.ts`)}
  const asked = new URLSearchParams(location.search)
  const sorted = (value) =>
    Array.isArray(value) ? value.map(sorted)
    : value !== null && typeof value === "object"
    ? Object.fromEntries(Object.keys(value).sort().map((key) => [key, sorted(value[key])]))
    : value
  const element = (name, data, ...children) => {
    const made = document.createElement(name)
    Object.assign(made.dataset, data)
    made.append(...children)
    return made
  }
  const drawPart = ({ type, ...part }) => element("li", { type }, JSON.stringify(sorted(part)))
  const drawRun = ({ id, parts, status, ...run }) =>
    element("section", { id, status }, JSON.stringify(sorted(run)), element("ol", {}, ...parts.map(drawPart)))
  const frames = Number(asked.get("frames") ?? 0)
  if (frames > 0) {
    asked.delete("frames")
    const all = Array.from({ length: frames }, () => document.createElement("iframe"))
    for (const frame of all) frame.src = "/?" + asked
    addEventListener("DOMContentLoaded", () => document.body.append(...all))
    globalThis.reload = (n) => all[n].contentWindow.location.reload()
    globalThis.drawn = () => all.map(({ contentDocument }) => contentDocument?.body?.innerHTML)
    globalThis.restored = () => all.map(({ contentWindow }) => contentWindow?.restored?.())
  } else {
    let welcomedAt = 0
    let drawnAfterMs
    class Noted extends WebSocket {
      constructor(url, protocols) {
        super(url, protocols)
        this.addEventListener("message", () => { welcomedAt = performance.now() }, { once: true })
      }
    }
    const { position, runs, status } = connect({
      url: asked.get("url"),
      token: asked.get("token"),
      recentRuns: 20,
      platform: { WebSocket: Noted }
    })
    let isDrawn = true
    const draw = () => {
      isDrawn = true
      document.body.replaceChildren(...runs.getSnapshot().map(drawRun))
    }
    const leave = runs.subscribe(() => {
      leave()
      draw()
      drawnAfterMs = performance.now() - welcomedAt
    })
    runs.subscribe(() => {
      if (isDrawn) setTimeout(draw, 50)
      isDrawn = false
    })
    globalThis.drawn = () => [document.body.innerHTML]
    globalThis.drawnAfterMs = () => drawnAfterMs
    globalThis.restored = () => isDrawn ? status.getSnapshot().state + " " + position()?.offset : "drawing"
  }`

interface Told {
  readonly run: string
  readonly type: string
  readonly data: Record<string, unknown>
}

/** Several runs at once, of which the next event is drawn. */
const makeAgent = (draw: Draw) => {
  const active: Array<string> = []
  let started = 0
  let parts = 0
  const words = ["Streams ", "are “lazy” ", "sequences 👩‍💻 ", "of values.\n"]
  const id = (prefix: string) => `${prefix}${draw.below(3)}`
  const happenings: ReadonlyArray<() => Omit<Told, "run">> = [
    () => ({ type: "text_delta", data: { messageId: id("m"), delta: draw.pick(words) } }),
    () => ({ type: "text_delta", data: { messageId: id("m"), delta: draw.pick(words) } }),
    () => ({ type: "thinking_delta", data: { messageId: id("t"), delta: draw.pick(words) } }),
    () => ({ type: "agent_thinking", data: { text: draw.pick(words), step: draw.below(5) } }),
    () => ({ type: "message_completed", data: { messageId: id("m") } }),
    () => ({ type: "tool_input_delta", data: { toolCallId: id("c"), toolName: "search", delta: "{\"q\":" } }),
    () => ({
      type: "tool_executing",
      data: { toolCallId: id("c"), toolName: "search", input: { q: draw.pick(words) } }
    }),
    () => ({
      type: "tool_completed",
      data: {
        toolCallId: id("c"),
        toolName: "search",
        output: [draw.below(9)],
        isError: draw.chance(0.2),
        durationMs: 5
      }
    }),
    () => ({ type: "progress_update", data: { progress: draw.below(100), message: "reading" } }),
    () => ({
      type: "usage_reported",
      data: { inputTokens: draw.below(100), outputTokens: draw.below(100), cost: 0.25 }
    }),
    () => ({ type: "step_started", data: { name: id("step ") } }),
    () => ({ type: "step_finished", data: { name: id("step ") } }),
    () => ({ type: "source_cited", data: { sourceId: id("s"), title: "A source", url: "https://example.com/s" } }),
    () => ({ type: "file_produced", data: { fileId: id("f"), mediaType: "text/plain", name: "notes.txt" } }),
    () => ({ type: "state_snapshot", data: { state: { plan: [draw.below(9)], done: 0 } } }),
    () => ({ type: "state_delta", data: { patch: [{ op: "add", path: "/plan/-", value: draw.below(9) }] } }),
    () => ({ type: "input_requested", data: { requestId: `q${++parts}`, kind: "approval", title: "Send it?" } }),
    () => ({ type: "input_resolved", data: { requestId: `q${parts}`, outcome: "answered", answer: true } }),
    () => ({ type: "custom", data: { name: "note", data: { n: draw.below(9) } } })
  ]
  const start = (): Told => {
    const run = `r${++started}`
    active.push(run)
    return {
      run,
      type: "agent_started",
      data: { agentName: "researcher", input: { n: started }, commands: ["cancel"] }
    }
  }
  const end = (): Told => {
    const [run = ""] = active.splice(draw.below(active.length), 1)
    return draw.chance(0.5)
      ? { run, type: "agent_completed", data: { agentName: "researcher", durationMs: 9, result: { n: run } } }
      : { run, type: "agent_error", data: { reason: "failed", message: "no such page", retryable: false } }
  }
  return {
    next: (): Told => {
      if (active.length === 0 || (active.length < 3 && started < 15 && draw.chance(0.05))) return start()
      if (active.length > 1 && draw.chance(0.02)) return end()
      return { run: draw.pick(active), ...draw.pick(happenings)() }
    },
    end,
    hasActive: () => active.length > 0
  }
}

describe.skipIf(executable === undefined)("a page that was reloaded", () => {
  let scope: Scope.Closeable
  let served: Served
  let browser: Browser
  let address: (name: string) => Promise<string>

  beforeAll(async () => {
    browser = await launch(executable ?? "chromium")
    const { outputFiles } = await build({
      stdin: { contents: script, resolveDir: root, loader: "ts" },
      bundle: true,
      minify: true,
      format: "iife",
      write: false,
      logLevel: "silent"
    })
    scope = await Effect.runPromise(Scope.make())
    const start = Effect.gen(function*() {
      served = yield* serve({ origins: "any", connections: { perUser: 100, perSecond: 1_000 } })
      const page = yield* servePage(outputFiles[0]?.text ?? "")
      address = async (name) =>
        `${page.url}/?${new URLSearchParams({ url: served.url, token: await Effect.runPromise(token(name)) })}`
    })
    await Effect.runPromise(Scope.provide(start, scope))
  })
  afterAll(async () => {
    await browser?.close()
    await Effect.runPromise(Scope.close(scope, Exit.void))
  })

  const open = async (name: string, more = ""): Promise<Page> => {
    const page = await (await browser.newContext()).newPage()
    await page.goto(await address(name) + more)
    return page
  }
  const drawn = (page: Page) => page.evaluate<ReadonlyArray<string | undefined>>("drawn()")

  for (
    const { name, rounds, tags } of [{ rounds: 2, name: "ann", tags: [] }, { rounds: 8, name: "bob", tags: ["storm"] }]
  ) {
    it(
      `shows at each of ${rounds * framesAtOnce} moments what a tab that never left and a second device show`,
      { tags, timeout: 60_000 * patience },
      async () => {
        const draw = seeded(20_261_128)
        const agent = makeAgent(draw)
        let count = 0
        const tell = async ({ data, run, type }: Told) => {
          count += 1
          const told = { id: `e${count}`, source: "agent", sequence: count, at: 1_000 * count, type, run }
          const thread = Number(run.slice(1)) % 2 === 0 ? "t1" : "t2"
          await Effect.runPromise(
            served.broker.append(user(name), [toEnvelope({ ...told, thread, data: JSON.parse(JSON.stringify(data)) })])
          )
        }

        const stayed = await open(name)
        const frames = await open(name, `&frames=${framesAtOnce}`)
        const pages = [stayed, frames]
        /** Waits until all show the same: the last of them what came last. */
        const same = async (): Promise<string> => {
          let all: ReadonlyArray<string | undefined> = []
          for (let attempt = 0; attempt < 400 * patience; attempt++) {
            const places = await Promise.all(pages.map((page) => page.evaluate<unknown>("restored()")))
            if (places.flat().every((place) => place === `live ${count}`)) {
              all = (await Promise.all(pages.map(drawn))).flat()
              const [first] = all
              if (all.every((html) => html === first)) return first ?? ""
            }
            await new Promise((resolve) => setTimeout(resolve, 50))
          }
          return assert.fail(`they do not show the same:\n${Array.from(new Set(all)).join("\n\n")}`)
        }
        await same()

        for (let round = 0; round < rounds; round++) {
          const order = Array.from({ length: framesAtOnce }, (_, frame) => ({ frame, at: draw.next() }))
          for (const { frame } of order.toSorted((a, b) => a.at - b.at)) {
            for (let events = draw.below(4); events >= 0; events--) await tell(agent.next())
            await frames.evaluate(`reload(${frame})`)
          }
          if (round === rounds / 2) pages.push(await open(name))
          assert.include(await same(), `data-status="active"`)
        }

        const [, , second] = pages
        await second?.reload()
        await same()
        const afterMs = await second?.evaluate<number>("drawnAfterMs()")
        process.stdout.write(`a reload in mid-run shows the runs ${afterMs?.toFixed(1)} ms after the welcome\n`)

        while (agent.hasActive()) await tell(agent.end())
        pages.push(await open(name))
        const last = await same()
        assert.notInclude(last, `data-status="active"`)
        assert.include(last, `data-id="r1"`)
        await Promise.all(pages.map((page) => page.context().close()))
      }
    )
  }
})
