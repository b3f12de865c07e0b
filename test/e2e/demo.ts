/**
 * What the end-to-end tests share: the demo as a process, a browser, and a recorder that knows nothing of the package.
 */
import { type ChildProcess, spawn } from "node:child_process"
import { fileURLToPath } from "node:url"
import { type Browser, chromium, type Page } from "playwright-core"
import { WebSocket } from "ws"

const root = fileURLToPath(new URL("../..", import.meta.url))

/** How a process ended, and what it said. */
export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
  /** From the signal to the end, and from the start until it was ready: a yardstick for the machine. */
  readonly ms: number
  readonly readyMs: number
}

const running = new Set<ChildProcess>()

/** Runs the demo until it ends by itself, or by a signal after it was ready. */
export const startDemo = (
  port: number | string,
  script: string | ReadonlyArray<string> = "src/demo/main.ts",
  env: Record<string, string> = {}
) => {
  const child = spawn(process.execPath, [script].flat(), {
    cwd: root,
    // The profile whose breaker tries again soonest.
    env: {
      ...process.env,
      DEMO_LOG: "memory",
      // Nobody reads along.
      DEMO_PACE: "4",
      PORT: String(port),
      EMITTER_PROFILE: "lowLatency",
      NO_COLOR: "1",
      OPENAI_BASE_URL: "",
      ...env
    },
    stdio: ["ignore", "pipe", "pipe"]
  })
  running.add(child)
  let stdout = ""
  let stderr = ""
  const spawnedAt = performance.now()
  let readyMs = 0
  let signalledAt = spawnedAt
  child.stdout.on("data", (chunk) => stdout += chunk)
  child.stderr.on("data", (chunk) => stderr += chunk)
  const ended = new Promise<Ended>((resolve) => {
    child.once("close", (code, signal) => {
      running.delete(child)
      resolve({ code, signal, stdout, stderr, ms: performance.now() - signalledAt, readyMs })
    })
  })
  const ready = new Promise<string>((resolve, reject) => {
    child.stdout.on("data", () => {
      // Before it may stand where another model is.
      const url = /^(?!Answers are written).*?(http:\/\/\S+)/mu.exec(stdout)?.[1]
      if (url === undefined || !stdout.includes("Press Ctrl-C")) return
      readyMs = performance.now() - spawnedAt
      resolve(url)
    })
    void ended.then(() => reject(new Error(`the demo ended before it was ready:\n${stdout}${stderr}`)))
  })
  ready.catch(() => undefined)
  return {
    ready,
    ended,
    said: () => stdout,
    stop: (signal: NodeJS.Signals): Promise<Ended> => {
      signalledAt = performance.now()
      child.kill(signal)
      return ended
    }
  }
}

/** Ends whatever a failed test left running. */
export const killDemos = (): void => {
  for (const child of running) child.kill("SIGKILL")
}

/**
 * Headless Chromium that talks to nobody but the demo. Pages keep still: without a graphics card each frame of an animation
 * is drawn by the processor.
 */
export const launch = async (executablePath: string): Promise<Browser> => {
  const browser = await chromium.launch({
    executablePath,
    args: [
      "--headless",
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync"
    ]
  })
  const newContext = browser.newContext.bind(browser)
  browser.newContext = (options) => newContext({ reducedMotion: "reduce", ...options })
  return browser
}

/** Asks the demo's server, and gives its answer. */
export const post = async (
  url: string,
  path: string,
  body: unknown,
  token = ""
): Promise<{ readonly status: number; readonly answer: Readonly<Record<string, unknown>> }> => {
  const headers = { authorization: `Bearer ${token}` }
  const response = await fetch(url + path, { method: "POST", headers, body: JSON.stringify(body) })
  return { status: response.status, answer: await response.json() }
}

/** A token for a user of the demo. */
export const tokenOf = async (url: string, user: string): Promise<string> =>
  String((await post(url, "/api/token", { user })).answer["token"])

/** An event as it came over the wire. */
export interface Recorded {
  readonly offset: number
  readonly id: string
  readonly type: string
  readonly run?: string
  readonly data: { readonly [key: string]: unknown }
}

/** Every event of a user since the recorder began, read by a plain WebSocket. `problems` is what should not have come. */
export interface Recorder {
  readonly epoch: string
  readonly events: ReadonlyArray<Recorded>
  readonly problems: ReadonlyArray<string>
  readonly close: () => void
}

/**
 * Begins to record a user's events, at the head of their log. When the server says that the log cannot be read at the
 * moment, it comes back and resumes, as the protocol asks; so it does after the closes in `comesBackFrom`. Every other
 * close is a problem.
 */
export const record = async (
  url: string,
  user: string,
  comesBackFrom: ReadonlyArray<number> = []
): Promise<Recorder> => {
  const token = await tokenOf(url, user)
  const events: Array<Recorded> = []
  const problems: Array<string> = []
  let position: { readonly epoch: string; readonly offset: number } | undefined
  let socket: WebSocket
  let closing = false

  const connect = (welcomed: (epoch: string) => void): void => {
    socket = new WebSocket(url.replace("http", "ws") + "/events", "emitter.v1.json", { origin: url })
    const send = (frame: unknown) => socket.send(JSON.stringify(frame))
    let cause = ""
    socket.on("error", (error) => cause = String(error))
    socket.once("open", () => send({ type: "hello", token, ...(position === undefined ? {} : { resume: position }) }))
    socket.on("message", (data) => {
      const frame = JSON.parse(String(data))
      if (frame.type === "welcome") {
        if (!frame.recovered && position !== undefined) problems.push("not recovered")
        position ??= { epoch: frame.epoch, offset: frame.offset }
        welcomed(frame.epoch)
      } else if (frame.type === "events" && position !== undefined) {
        for (const event of frame.events) {
          if (event.offset !== position.offset + 1) problems.push(`${event.offset} came after ${position.offset}`)
          position = { epoch: frame.epoch, offset: event.offset }
          events.push(event)
        }
        send({ type: "ack", offset: position.offset })
      } else if (frame.type === "ping") {
        send({ type: "pong" })
      } else if (frame.type !== "status" && (frame.type !== "error" || frame.code !== "brokerUnavailable")) {
        problems.push(`a frame of type ${frame.type}`)
      }
    })
    socket.once("close", (code) => {
      if (closing) return
      if (code === 4503 || comesBackFrom.includes(code)) setTimeout(() => connect(() => undefined), 200)
      else problems.push(`closed with ${code}${cause}`)
    })
  }
  const epoch = await new Promise<string>(connect)
  return {
    epoch,
    events,
    problems,
    close: () => {
      closing = true
      socket.terminate()
    }
  }
}

/** What the page lists of a user's events. */
export const listed = (page: Page, user: string) =>
  page.locator(`[data-user=${user}] .log li[data-offset]`).evaluateAll((lines) =>
    lines.map((line) => {
      const { epoch, id, offset, run, type } = line instanceof HTMLElement ? line.dataset : {}
      return { epoch, offset: Number(offset), id, type, run }
    })
  )

/** What a run's card shows. */
export const shown = (page: Page, user: string) =>
  page.locator(`[data-user=${user}] article`).evaluateAll((articles) =>
    articles.map((article) => ({
      question: article.querySelector("h3")?.textContent,
      status: article.querySelector(".badge")?.textContent,
      answer: [...article.querySelectorAll(".answer > *")].map((block) => block.textContent).join(" "),
      tools: [...article.querySelectorAll("[data-tool]")].map((step) => ({
        id: step.getAttribute("data-tool"),
        status: step.getAttribute("data-status"),
        texts: [...step.querySelectorAll("pre")].map((pre) => pre.textContent)
      })),
      notes: [...article.querySelectorAll(".note:not(.mark) .words")].map((note) => note.textContent)
    }))
  )

/** Says no to what the run that is under way asks at its end, so that it can end. */
export const decline = (page: Page, user = "ada") =>
  page.locator(`[data-user=${user}] article[data-status=active]`).getByRole("button", { name: "No", exact: true })
    .click()

/** What a run's card has to show, by what was recorded of the run. */
export const expected = (events: ReadonlyArray<Recorded>) => {
  const of = (type: string) => events.filter((event) => event.type === type).map(({ data }) => data)
  const pretty = (value: unknown) => JSON.stringify(value, undefined, 2)
  // A thought comes whole, or in pieces.
  const notes = new Map<unknown, string>()
  for (const { data: { delta, messageId, text }, type } of events) {
    if (type === "agent_thinking") notes.set(notes.size, String(text))
    if (type === "thinking_delta") notes.set(messageId, (notes.get(messageId) ?? "") + String(delta))
  }
  return {
    answer: of("text_delta").map(({ delta }) => String(delta)).join(""),
    tools: of("tool_executing").map(({ input, toolCallId }) => {
      const id = String(toolCallId)
      const completed = of("tool_completed").find((data) => data["toolCallId"] === toolCallId)
      return { id, status: "completed", texts: [pretty(input), pretty(completed?.["output"])] }
    }),
    notes: [...notes.values()]
  }
}

/** A text without Markdown's marks and without white space, to compare what was written with what is shown. */
export const bare = (text: string): string =>
  text.replace(/^```\w*$/gmu, "").replace(/^- /gmu, "").replace(/`|\*\*|\s/gu, "")
