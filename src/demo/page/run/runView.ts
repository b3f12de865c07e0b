/**
 * Shows one run: its question, its steps in order, and its answer as it streams in.
 */
import { count, duration, h, plural, setText } from "../view/dom.ts"
import * as Markdown from "../view/markdown.ts"
import type { Citation, Run, Step } from "./model.ts"

const states: Record<Run["status"], string> = {
  active: "Running",
  completed: "Completed",
  failed: "Failed",
  cancelled: "Cancelled",
  timeout: "Timed out",
  lost: "Lost"
}

const tools: Record<string, string> = {
  search: "Searched",
  read_section: "Read",
  compare_sections: "Compared"
}

const isRecord = (value: unknown): value is { readonly [key: string]: unknown } =>
  typeof value === "object" && value !== null

/** What a tool call was about, in a few words. */
const summary = ({ input, output }: Extract<Step, { readonly _tag: "Tool" }>): string => {
  const given = isRecord(input) ? input : {}
  const gave = isRecord(output) ? output : {}
  const hits = gave["hits"]
  const parts = [
    given["query"] !== undefined ? `“${String(given["query"])}”` : undefined,
    given["in"] !== undefined
      ? `in ${given["in"] === "api" ? "code comments" : given["in"] === "guide" ? "guides" : String(given["in"])}`
      : undefined,
    Array.isArray(hits) ? `— ${plural(hits.length, "section")}` : undefined,
    given["section"] !== undefined ? String(gave["title"] ?? given["section"]) : undefined,
    gave["words"] !== undefined ? `— ${plural(Number(gave["words"]), "word")}` : undefined,
    given["first"] !== undefined
      ? `${String(gave["first"] ?? given["first"])} with ${String(gave["second"] ?? given["second"])}`
      : undefined,
    gave["similarity"] !== undefined ? `— ${Math.round(Number(gave["similarity"]) * 100)} % alike` : undefined
  ]
  return parts.filter((part) => part !== undefined).join(" ")
}

const json = (value: unknown): string => JSON.stringify(value, undefined, 2) ?? "nothing"

const offsetLabel = (offset: number | undefined) =>
  h(
    "span",
    { class: "offset" },
    offset === undefined ? "" : h("span", { class: "unseen" }, "offset "),
    offset === undefined ? "" : String(offset)
  )

/** One entry of the timeline; it can be brought up to date. */
interface Entry {
  readonly element: HTMLLIElement
  readonly update: (step: Step) => void
}

const noteEntry = (): Entry => {
  const words = h("span", { class: "words" })
  const offset = h("span")
  const element = h("li", { class: "step note" }, words, offset)
  return {
    element,
    update: (step) => {
      if (step._tag === "Tool") return
      element.classList.toggle("mark", step._tag === "Mark")
      setText(words, step.text)
      offset.replaceChildren(offsetLabel(step._tag === "Note" ? step.offset : undefined))
      if (step._tag === "Note" && step.offset !== undefined) element.dataset["offset"] = String(step.offset)
    }
  }
}

const toolEntry = (): Entry => {
  const name = h("span", { class: "tool" })
  const about = h("span", { class: "about" })
  const time = h("span", { class: "time" })
  const offset = h("span")
  const input = h("pre", { tabindex: 0, role: "region", "aria-label": "Input" })
  const output = h("pre", { tabindex: 0, role: "region", "aria-label": "Output" })
  const body = h("div", { class: "io" }, h("h4", {}, "Input"), input, h("h4", {}, "Output"), output)
  const details = h(
    "details",
    {},
    h("summary", {}, h("span", { class: "words" }, name, " ", about, " ", time), offset),
    body
  )
  const element = h("li", { class: "step" }, details)
  return {
    element,
    update: (step) => {
      if (step._tag !== "Tool") return
      element.dataset["tool"] = step.key
      element.dataset["status"] = step.status
      setText(name, tools[step.name] ?? step.name)
      setText(about, summary(step))
      setText(
        time,
        step.status === "executing"
          ? "…"
          : `${step.status === "failed" ? "failed after " : ""}${duration(step.durationMs ?? 0)}`
      )
      offset.replaceChildren(offsetLabel(step.offset))
      setText(input, json(step.input))
      setText(output, step.status === "executing" ? "Not there yet." : json(step.output))
    }
  }
}

/** A run on the page. `update` brings it up to date with what is known of the run now. */
export interface RunView {
  readonly element: HTMLElement
  readonly update: () => void
}

/** Shows a run, and offers to cancel it. */
export const runView = (run: Run, panel: string, cancel: (run: Run) => void): RunView => {
  const id = `${panel}-${run.id}`
  const title = h("h3", { id: `${id}-title` })
  const state = h("span", { class: "badge" })
  const meta = h("p", { class: "meta" })
  const cancelButton = h("button", { type: "button", class: "quiet", on: { click: () => cancel(run) } }, "Cancel")
  const bar = h("progress", { max: 100, "aria-label": "Progress" })
  const steps = h("ol", { class: "steps", "aria-label": "Steps" })
  const answer = h("div", { class: "answer" })
  const answerOffsets = h("p", { class: "offsets" })
  const problem = h("p", { class: "problem" })
  const sources = h("ol", { class: "sources" })
  const sourcesSection = h("section", { class: "cited", "aria-label": "Sources" }, h("h4", {}, "Sources"), sources)
  const element = h(
    "article",
    { class: "run", "aria-labelledby": `${id}-title`, "data-run": run.id },
    h("header", {}, h("div", { class: "heading" }, title, state), cancelButton),
    meta,
    bar,
    steps,
    h("section", { class: "reply", "aria-label": "Answer" }, answer, answerOffsets),
    problem,
    sourcesSection
  )

  const citation = (number: number) => {
    const known = run.citations.find((candidate) => candidate.number === number)
    return known === undefined
      ? h("span", { class: "cite" }, `[${number}]`)
      : h(
        "a",
        { class: "cite", href: `#${id}-source-${number}`, "aria-label": `Source ${number}: ${known.title}` },
        `[${number}]`
      )
  }
  let show = Markdown.view(answer, citation)
  let cited: ReadonlyArray<Citation> = []
  const entries = new Map<string, Entry & { shown: Step | undefined }>()

  const updateSteps = () => {
    run.steps.forEach((step, index) => {
      let entry = entries.get(step.key)
      if (entry === undefined) {
        entry = { ...(step._tag === "Tool" ? toolEntry() : noteEntry()), shown: undefined }
        entries.set(step.key, entry)
      }
      if (entry.shown !== step) entry.update(step)
      entry.shown = step
      if (steps.children[index] !== entry.element) steps.insertBefore(entry.element, steps.children[index] ?? null)
    })
    while (steps.children.length > run.steps.length) steps.lastElementChild?.remove()
  }

  const updateSources = () => {
    if (cited === run.citations) return
    cited = run.citations
    sources.replaceChildren(...cited.map(({ excerpt, line, number, source, title: heading }) =>
      h(
        "li",
        { id: `${id}-source-${number}`, value: number, tabindex: -1 },
        h("span", { class: "source-title" }, heading),
        " ",
        h("span", { class: "where" }, source === "your text" ? `your text, line ${line}` : `${source}:${line}`),
        h("p", {}, excerpt)
      )
    ))
    // Numbers become links once their sources are known.
    answer.replaceChildren()
    show = Markdown.view(answer, citation)
  }

  const update = () => {
    setText(title, run.question ?? "A run that was under way")
    setText(state, states[run.status])
    element.dataset["status"] = run.status
    const active = run.status === "active"
    const seconds = run.startedAt !== undefined && run.endedAt !== undefined
      ? duration(run.endedAt - run.startedAt)
      : undefined
    setText(
      meta,
      [
        run.documents === undefined ? undefined : `from ${run.documents}`,
        seconds,
        run.tokens === undefined
          ? undefined
          : `${count(run.tokens.read)} words read, ${count(run.tokens.written)} written`
      ].filter((part) => part !== undefined).join(" · ")
    )
    cancelButton.hidden = !active
    bar.hidden = !active
    if (run.progress !== undefined) bar.value = run.progress
    else bar.removeAttribute("value")
    updateSteps()
    updateSources()
    show(run.answer)
    element.classList.toggle("streaming", active && run.answer !== "")
    setText(
      answerOffsets,
      run.answerTo === undefined
        ? ""
        : run.answerFrom === undefined
        ? `Answer up to offset ${run.answerTo}`
        : `Answer in offsets ${run.answerFrom} to ${run.answerTo}`
    )
    problem.hidden = run.error === undefined
    setText(problem, run.error ?? "")
    sourcesSection.hidden = run.citations.length === 0
  }
  update()
  return { element, update }
}
