/**
 * Shows one run: its question, its steps in order, and its answer as it streams in.
 */
import type { Connection, Run } from "../../../client/index.ts"
import { count, duration, h, setText } from "../view/dom.ts"
import * as Markdown from "../view/markdown.ts"
import { states } from "../view/states.ts"
import * as Facts from "./facts.ts"
import { requests } from "./requests.ts"
import { sources } from "./sources.ts"
import { stopButton } from "./stopButton.ts"
import { timeline } from "./timeline.ts"

/** How a run stands, in a word or a few. */
const stateText = (run: Run, isLive: boolean): string =>
  run.stopping === true
    ? "Stopping…"
    : run.status === "active" && !isLive
    ? "Running when last heard of"
    : run.parts.some((part) => part.type === "request" && part.status === "open")
    ? "Waits for your answer"
    : states[run.status]

/** How a run is shown, besides what it says itself. */
export interface Seen {
  /** The server passes on what is asked of runs. */
  readonly takesCommands: boolean
  /** Every event so far is here. */
  readonly isLive: boolean
  /** Who stopped the run, where that is known: here, or from another tab or device of the user's. */
  readonly stoppedBy: "here" | "elsewhere" | undefined
}

/** What a run says of an ending without an answer; nothing of any other. */
export const endingText = (run: Run, stoppedBy: Seen["stoppedBy"]): string | undefined => {
  switch (run.status) {
    case "active":
    case "completed":
      return undefined
    case "cancelled":
      if (run.endedBy !== "user") return "Ended by its server before it was done."
      return stoppedBy === "elsewhere" ? "Stopped by you, from another tab or device." : "Stopped by you."
    case "lost":
      return "The server that ran it is gone."
    case "failed":
    case "timeout":
      return run.error
  }
}

/** A run on the page. `update` brings it up to date with what is known of the run now. */
export interface RunView {
  readonly element: HTMLElement
  readonly update: (run: Run, seen: Seen) => void
}

/** Shows a run, and offers to stop it and to answer what it asks. */
export const runView = (
  handle: ReturnType<Connection["run"]>,
  id: string,
  on: { readonly stop: () => void; readonly announce: (text: string) => void }
): RunView => {
  const title = h("h3", { id: `${id}-title`, tabindex: -1 })
  const state = h("span", { class: "badge" })
  const meta = h("p", { class: "meta" })
  const problem = h("p", { class: "problem", role: "alert" })
  const stop = stopButton(() => {
    setText(problem, "")
    on.stop()
    return handle.cancel()
  }, (text) => setText(problem, text))
  const bar = h("progress", { max: 100, "aria-label": "Progress" })
  const steps = timeline()
  const answer = h("div", { class: "answer" })
  const asked = requests(id, handle.answer, on.announce)
  const ending = h("p", { class: "ending" })
  const cited = sources(id)
  const element = h(
    "article",
    { class: "run", "aria-labelledby": `${id}-title` },
    h("header", {}, h("div", { class: "heading" }, title, state), stop.element),
    problem,
    meta,
    bar,
    steps.element,
    h("div", { class: "reply" }, answer),
    asked.element,
    ending,
    cited.element
  )
  let show = Markdown.view(answer, cited.citation)

  const update = (run: Run, seen: Seen) => {
    element.dataset["run"] = run.id
    element.dataset["status"] = run.status
    setText(title, Facts.question(run) ?? "A run that was under way")
    setText(state, stateText(run, seen.isLive))
    const documents = Facts.documents(run)
    setText(
      meta,
      [
        documents === undefined ? undefined : `from ${documents}`,
        run.startedAt !== undefined && run.endedAt !== undefined ? duration(run.endedAt - run.startedAt) : undefined,
        run.usage.inputTokens === 0 ? undefined : `${count(run.usage.inputTokens)} words read`,
        run.usage.outputTokens === 0 ? undefined : `${count(run.usage.outputTokens)} written`
      ].filter((part) => part !== undefined).join(" · ")
    )
    const hadFocus = document.activeElement === stop.element
    stop.update(run, seen.takesCommands)
    if (hadFocus && stop.element.hidden) title.focus()
    bar.hidden = run.status !== "active"
    if (run.progress !== undefined) bar.value = run.progress
    else bar.removeAttribute("value")
    steps.update(run)
    // Numbers become links once their sources are known.
    if (cited.update(run)) {
      answer.replaceChildren()
      show = Markdown.view(answer, cited.citation)
    }
    const text = Facts.answer(run)
    show(text)
    asked.update(run, seen.takesCommands)
    const isWritten = run.parts.some((part) => part.type === "text" && part.completed === true)
    element.classList.toggle("streaming", run.status === "active" && text !== "" && !isWritten)
    if (run.status !== "active") setText(problem, "")
    setText(ending, endingText(run, seen.stoppedBy) ?? "")
  }
  return { element, update }
}
