/**
 * The steps of a run, in the order in which they began: what the agent thought, and the tools that it called.
 */
import type { Run } from "../../../client/index.ts"
import { duration, h, plural, setText } from "../view/dom.ts"

type Part = Run["parts"][number]
type ToolPart = Extract<Part, { readonly type: "tool" }>
type ThinkingPart = Extract<Part, { readonly type: "thinking" }>

/** What a tool is doing, also where it came to nothing, and what it has done. */
const tools: Record<string, readonly [doing: string, done: string]> = {
  search: ["Searching", "Searched"],
  read_section: ["Reading", "Read"],
  compare_sections: ["Comparing", "Compared"],
  send_summary: ["Sending", "Sent"]
}

/** What a call does, or has done, in a word. */
export const toolText = ({ status, toolName }: Pick<ToolPart, "status" | "toolName">): string => {
  const [doing, done] = tools[toolName] ?? [toolName, toolName]
  return status === "completed" ? done : doing
}

const isRecord = (value: unknown): value is { readonly [key: string]: unknown } =>
  typeof value === "object" && value !== null

/** What a tool call was about, in a few words. */
const summary = ({ input, output }: ToolPart): string => {
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
    given["to"] !== undefined ? `to ${String(given["to"])}` : undefined,
    gave["similarity"] !== undefined ? `— ${Math.round(Number(gave["similarity"]) * 100)} % alike` : undefined
  ]
  return parts.filter((part) => part !== undefined).join(" ")
}

const json = (value: unknown): string => JSON.stringify(value, undefined, 2) ?? "nothing"

/** One entry; it can be brought up to date. */
interface Entry<A> {
  readonly element: HTMLLIElement
  readonly update: (part: A) => void
}

const noteEntry = (): Entry<ThinkingPart> => {
  const words = h("span", { class: "words" })
  return { element: h("li", { class: "step note" }, words), update: ({ text }) => setText(words, text) }
}

const toolEntry = (): Entry<ToolPart> => {
  const name = h("span", { class: "tool" })
  const about = h("span", { class: "about" })
  const time = h("span", { class: "time" })
  const input = h("pre", { tabindex: 0, role: "group", "aria-label": "Input" })
  const output = h("pre", { tabindex: 0, role: "group", "aria-label": "Output" })
  const body = h("div", { class: "io" }, h("h4", {}, "Input"), input, h("h4", {}, "Output"), output)
  const details = h(
    "details",
    {},
    h("summary", {}, h("span", { class: "words" }, name, " ", about, " ", time)),
    body
  )
  const element = h("li", { class: "step" }, details)
  return {
    element,
    update: (part) => {
      element.dataset["tool"] = part.toolCallId
      element.dataset["status"] = part.status
      setText(name, toolText(part))
      setText(about, summary(part))
      const took = part.durationMs === undefined ? undefined : duration(part.durationMs)
      setText(
        time,
        part.status === "executing"
          ? "…"
          : part.status === "failed"
          ? took === undefined ? "not finished" : `failed after ${took}`
          : took ?? ""
      )
      setText(input, json(part.input))
      setText(output, part.status === "executing" ? "Not there yet." : json(part.output))
    }
  }
}

/** Brings an entry up to date, if the part is of its kind. */
interface Shown {
  readonly element: HTMLLIElement
  readonly show: (part: Part) => void
}

const entryOf = (part: Part): Shown | undefined => {
  let shown: Part | undefined
  const once = (update: () => void, next: Part) => {
    if (shown !== next) update()
    shown = next
  }
  if (part.type === "tool") {
    const { element, update } = toolEntry()
    return { element, show: (next) => once(() => next.type === "tool" && update(next), next) }
  }
  if (part.type === "thinking") {
    const { element, update } = noteEntry()
    return { element, show: (next) => once(() => next.type === "thinking" && update(next), next) }
  }
  return undefined
}

/**
 * The list, and what brings it up to date. It is folded once the answer begins or the run has ended, and no step failed,
 * unless its user did otherwise.
 */
export const timeline = () => {
  const list = h("ol", { class: "steps", "aria-label": "Steps" })
  const summary = h("summary")
  const element = h("details", { class: "fold", open: true }, summary, list)
  let isChosen = false
  summary.addEventListener("click", () => {
    isChosen = true
  })
  const entries = new Map<string, Shown>()
  return {
    element,
    update: ({ parts, status }: Run) => {
      let count = 0
      for (const [index, part] of parts.entries()) {
        const key = part.type === "tool" ? part.toolCallId : `${part.type} ${index}`
        const entry = entries.get(key) ?? entryOf(part)
        if (entry === undefined) continue
        entries.set(key, entry)
        entry.show(part)
        if (list.children[count] !== entry.element) {
          list.insertBefore(entry.element, list.children[count] ?? null)
        }
        count++
      }
      while (list.children.length > count) list.lastElementChild?.remove()
      setText(summary, plural(count, "step"))
      element.hidden = count === 0
      const isFailed = parts.some((part) => part.type === "tool" && part.status === "failed")
      const isAnswering = parts.some((part) => part.type === "text")
      if (!isChosen) element.open = status === "active" && !isAnswering || isFailed
    }
  }
}
