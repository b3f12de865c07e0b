/**
 * One user on the page: their question, their connection, their runs.
 */
import type { Status } from "../../client/index.ts"
import * as Api from "./connection/api.ts"
import { askForm } from "./run/askForm.ts"
import * as Connection from "./connection/connection.ts"
import { connectionCard, spoken } from "./connection/connectionCard.ts"
import { h } from "./view/dom.ts"
import { eventLog } from "./connection/eventLog.ts"
import { type Item, type Run, Runs } from "./run/model.ts"
import { type RunView, runView } from "./run/runView.ts"

/** A panel. `close` ends its connection and takes it off the page. */
export interface Panel {
  readonly element: HTMLElement
  readonly focus: () => void
  readonly close: () => void
}

/** Opens a panel for a user. `announce` speaks to screen readers; with `onClose` the panel offers to close itself. */
export const open = (options: {
  readonly user: string
  readonly name: string
  readonly announce: (text: string) => void
  readonly onClose?: () => void
}): Panel => {
  const { announce, name, user } = options
  const api = Api.forUser(user)
  const runs = new Runs()
  const views = new Map<string, RunView & { ended: boolean }>()
  const dirty = new Set<Run>()
  let scheduled = false
  /** The run that was asked for here, until it has been brought into view. */
  let asked: string | undefined

  const form = askForm({
    panel: user,
    name,
    ask: async (question, text) => {
      const { run } = await api.ask(question, text)
      asked = String(run)
      repaint()
      announce(`${name} asked: ${question}`)
    }
  })
  const log = eventLog(name)
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
  const empty = h(
    "p",
    { class: "empty" },
    options.onClose === undefined
      ? "Ask something, or take one of the questions above. While the answer streams in: reload the page, or cut its connection."
      : `Nothing has arrived for ${name}. What others ask is delivered to them alone.`
  )
  const list = h("div", { class: "runs" }, empty)
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
      h("aside", { class: "side", "aria-label": `Delivery to ${name}` }, card.element),
      h("div", { class: "work" }, form.element, list)
    )
  )

  const cancel = (run: Run) => {
    api.cancel(run.id).catch((error: unknown) => announce(error instanceof Error ? error.message : String(error)))
  }

  const paint = () => {
    scheduled = false
    for (const run of dirty) {
      let view = views.get(run.id)
      if (view === undefined) {
        view = { ...runView(run, user, cancel), ended: run.status !== "active" && !catchingUp }
        views.set(run.id, view)
        empty.remove()
        list.prepend(view.element)
      }
      view.update()
      if (run.status !== "active" && !view.ended) {
        view.ended = true
        // Once, when it is whole: not each word as it streams in.
        if (!catchingUp) {
          announce(run.status === "completed" ? `Answer: ${run.answer}` : `The run ended. ${run.error ?? ""}`)
        }
      }
    }
    dirty.clear()
    const view = asked === undefined ? undefined : views.get(asked)
    // On a small screen the run begins below the form. It is short at first, so the page may have to grow before the run
    // can reach the top; whoever scrolls is left alone.
    if (view !== undefined) {
      const { bottom, top } = view.element.getBoundingClientRect()
      if (bottom > innerHeight && top > 24) view.element.scrollIntoView({ block: "start" })
      if (top <= 24 || view.ended) asked = undefined
    }
    card.counts(live.counts, live.position(), live.gateway())
  }
  const letGo = () => {
    asked = undefined
  }
  for (const type of ["wheel", "touchmove", "keydown"]) addEventListener(type, letGo, { passive: true })

  const repaint = () => {
    // A hidden page gets no animation frames; it is painted all the same, so that it is whole when it is shown.
    if (scheduled) return
    scheduled = true
    if (document.hidden) setTimeout(paint, 200)
    else requestAnimationFrame(paint)
  }

  /** What comes before the first `live` is the past, which nobody wants read out. */
  let catchingUp = true
  let before: Status["state"] = "connecting"
  const onStatus = (status: Status) => {
    card.status(status)
    const text = spoken(status)
    if (text !== undefined && status.state !== before) announce(text)
    if (status.state === "waiting") log.between("the connection was lost")
    if (status.state === "degraded") log.between("events may be late")
    if (status.state === "live" && before !== "connecting") log.between("live again")
    if (status.state === "live") catchingUp = false
    before = status.state
    repaint()
  }

  const onItem = (item: Item) => {
    log.item(item)
    for (const run of runs.apply(item)) dirty.add(run)
    repaint()
  }

  const live = Connection.open(user, api, {
    item: onItem,
    status: onStatus,
    counted: repaint,
    problem: (error) => {
      log.between(error instanceof Error ? error.message : String(error))
    }
  })

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
