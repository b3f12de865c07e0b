/**
 * One user on the page: their question, their connection, their runs.
 */
import type { Run, Status } from "../../client/index.ts"
import * as Api from "./connection/api.ts"
import { askForm } from "./run/askForm.ts"
import * as Connection from "./connection/connection.ts"
import { connectionCard, gapText, spoken } from "./connection/connectionCard.ts"
import { h, setText } from "./view/dom.ts"
import { eventLog } from "./connection/eventLog.ts"
import { following } from "./connection/following.ts"
import * as Facts from "./run/facts.ts"
import { strip } from "./run/restored.ts"
import { endingText, type RunView, runView, type Seen } from "./run/runView.ts"

/** Text reads as well at thirty pictures a second as at sixty, and a phone lasts longer: how far apart they are, in milliseconds. */
const apartMs = 30

/** A panel. `close` ends its connection and takes it off the page. */
export interface Panel {
  readonly element: HTMLElement
  readonly focus: () => void
  readonly close: () => void
}

/** A run on the page: as it is shown now, and what this page has seen and done of it. */
interface View extends RunView {
  shown: Run | undefined
  seenActive: boolean
  stoppedHere: boolean
}

/** Whether this page was there before: what was done then is not known any more. */
const isReload = performance.getEntriesByType("navigation").some((entry) =>
  entry instanceof PerformanceNavigationTiming && entry.type === "reload"
)

/** What stands in place of runs: what is so, or what to do. */
export const emptyText = (
  { isConnected, isGuest, isWaiting, name }: {
    readonly isConnected: boolean
    readonly isGuest: boolean
    readonly isWaiting: boolean
    readonly name: string
  }
): string =>
  isWaiting
    ? isConnected ? "Connected, waiting for the run." : "Not connected. The run shows once the connection is back."
    : !isConnected
    ? "Not connected."
    : isGuest
    ? `Nothing has arrived for ${name}. What others ask is delivered to them alone.`
    : "Connected. Ask something, and reload the page while the answer comes."

/** Opens a panel for a user. `announce` speaks to screen readers; with `onClose` the panel offers to close itself. */
export const open = (options: {
  readonly user: string
  readonly name: string
  readonly announce: (text: string) => void
  readonly onClose?: () => void
}): Panel => {
  const { announce, name, user } = options
  const api = Api.forUser(user)
  const isGuest = options.onClose !== undefined
  const views = new Map<string, View>()
  let scheduled = false
  let paintedAt = 0
  let tookCommands = false
  let wasLive = false
  /** The run to bring into view. */
  let wanted: string | undefined

  const form = askForm({
    panel: user,
    name,
    ask: async (question, text) => {
      const { run } = await api.ask(question, text)
      wanted = String(run)
      follower.asked(wanted)
      repaint()
      announce(`${name} asked: ${question}`)
    }
  })
  const log = eventLog(name, () => repaint())
  const card = connectionCard({
    name,
    log: log.element,
    cut: (holdMs) => {
      api.cut(live.line, holdMs, live.gateway()).catch((error: unknown) => log.between(`not cut: ${String(error)}`))
    },
    slow: (ms) => {
      api.slow(live.line, ms, live.gateway()).then(
        () => log.between(`nothing comes through for ${ms / 1000} s`),
        (error: unknown) => log.between(`not slowed down: ${String(error)}`)
      )
    },
    kill: (node) => {
      api.kill(node).then(
        () => log.between(`${node} is killed`),
        (error: unknown) => log.between(`not killed: ${error instanceof Error ? error.message : String(error)}`)
      )
    }
  })
  const empty = h("p", { class: "empty" })
  const steps = strip()
  const missing = h("p", { class: "missing" })
  const list = h("div", { class: "runs" })
  const stage = h("div", { class: "stage" }, steps.element, missing, empty, list)
  const close = h("button", { type: "button", class: "quiet", "aria-label": `Close ${name}` }, "Close")
  const heading = h("h2", { id: `${user}-name` }, name)
  const element = h(
    "section",
    { class: "panel", "aria-labelledby": `${user}-name`, "data-user": user },
    h(
      "header",
      { class: "who" },
      h("span", { class: "avatar", "aria-hidden": "true" }, name.slice(0, 1)),
      heading,
      options.onClose === undefined ? undefined : close
    ),
    h(
      "div",
      { class: "columns" },
      form.element,
      stage,
      h("div", { class: "side" }, card.element)
    )
  )

  const viewOf = (run: Run): View => {
    const known = views.get(run.id)
    if (known !== undefined) return known
    const view: View = {
      ...runView(live.run(run.id), `${user}-${run.id}`, {
        stop: () => {
          view.stoppedHere = true
        },
        announce
      }),
      shown: undefined,
      seenActive: false,
      stoppedHere: false
    }
    views.set(run.id, view)
    return view
  }

  const show = (run: Run, view: View) => {
    const stoppedBy: Seen["stoppedBy"] = view.stoppedHere
      ? "here"
      : view.seenActive && !isReload
      ? "elsewhere"
      : undefined
    view.update(run, { takesCommands: tookCommands, isLive: wasLive, stoppedBy })
    // Once, when it is whole: not each word as it streams in.
    if (view.shown?.status === "active" && run.status !== "active") {
      announce(run.status === "completed" ? `Answer: ${Facts.answer(run)}` : endingText(run, stoppedBy) ?? "")
    }
    view.shown = run
    view.seenActive ||= run.status === "active"
  }

  /**
   * On a small screen a run begins below the form. It is short at first, so the page may have to grow before it can reach
   * the top; whoever scrolls is left alone.
   */
  const bringIntoView = () => {
    const view = wanted === undefined ? undefined : views.get(wanted)
    if (view === undefined) return
    const { top } = stage.getBoundingClientRect()
    if (view.element.getBoundingClientRect().bottom > innerHeight && top > 24) stage.scrollIntoView({ block: "start" })
    if (top <= 24 || view.shown?.status !== "active") wanted = undefined
  }

  const paint = () => {
    scheduled = false
    const isLive = before === "live"
    const isSame = tookCommands === live.takesCommands() && wasLive === isLive
    tookCommands = live.takesCommands()
    wasLive = isLive
    const runs = live.runs.getSnapshot().toSorted(Facts.byTime)
    for (const [index, run] of runs.entries()) {
      const view = viewOf(run)
      if (view.shown !== run || !isSame) show(run, view)
      if (list.children[index] !== view.element) list.insertBefore(view.element, list.children[index] ?? null)
    }
    while (list.children.length > runs.length) list.lastElementChild?.remove()
    for (const id of views.keys()) if (!runs.some((run) => run.id === id)) views.delete(id)
    const isFirst = follower.subject() === undefined
    steps.update(follower.follow(runs))
    if (isReload && isFirst && !isGuest) wanted = follower.subject()
    const isWaiting = follower.isWaiting()
    const isConnected = isLive || before === "degraded"
    empty.hidden = runs.length > 0 && !isWaiting
    setText(empty, emptyText({ isConnected, isGuest, isWaiting, name }))
    log.show()
    card.counts(live.counts, live.position(), live.gateway())
    // Last, since it asks where things are: what changed after that would have the page laid out twice.
    bringIntoView()
  }
  const paintInTime = (now: number) => {
    if (now - paintedAt < apartMs) requestAnimationFrame(paintInTime)
    else {
      paintedAt = now
      paint()
    }
  }
  const letGo = () => {
    wanted = undefined
  }
  for (const type of ["wheel", "touchmove", "keydown"]) addEventListener(type, letGo, { passive: true })

  const repaint = () => {
    // A hidden page gets no animation frames; it is painted all the same, so that it is whole when it is shown.
    if (scheduled) return
    scheduled = true
    if (document.hidden) setTimeout(paint, 200)
    else requestAnimationFrame(paintInTime)
  }

  let before: Status["state"] = "connecting"
  const onStatus = (status: Status) => {
    card.status(status)
    const text = spoken(status)
    if (text !== undefined && status.state !== before) announce(text)
    if (status.state === "waiting") log.between("the connection was lost")
    if (status.state === "degraded") log.between("events may be late")
    if (status.state === "live" && before !== "connecting") log.between("live again")
    if (status.state === "live" && before !== "live") follower.live()
    before = status.state
    repaint()
  }

  const follower = following({
    isReload,
    position: () => live.position(),
    logged: api.logged,
    changed: repaint,
    failed: (error) => log.between(`not compared with the log: ${String(error)}`)
  })

  const live = Connection.open(api, {
    item: (item) => {
      log.item(item)
      if (item._tag === "Gap") setText(missing, gapText(item))
      follower.item(item)
    },
    status: onStatus,
    counted: repaint,
    problem: (error) => {
      log.between(error instanceof Error ? error.message : String(error))
    }
  })

  live.runs.subscribe(repaint)

  const closePanel = () => {
    live.close()
    card.close()
    for (const type of ["wheel", "touchmove", "keydown"]) removeEventListener(type, letGo)
    element.remove()
  }
  close.addEventListener("click", () => {
    closePanel()
    options.onClose?.()
  })
  return { element, focus: form.focus, close: closePanel }
}
