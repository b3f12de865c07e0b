/**
 * Shows the Markdown of an answer while it streams in.
 *
 * Only what answers use: paragraphs, lists, code, emphasis and citations such as `[1]`. Everything becomes elements and
 * text nodes; no text is ever parsed as HTML. A block that did not change keeps its elements, so a long answer is not
 * built anew for each word, and a selection in it stays.
 */
import { h } from "./dom.ts"

const inline = /`([^`]+)`|\*\*([^*]+)\*\*|\*([^*\s][^*]*)\*|\[(\d{1,2})\]/gu

const inlineNodes = (text: string, citation: (number: number) => Node): ReadonlyArray<Node | string> => {
  const out: Array<Node | string> = []
  let from = 0
  for (const match of text.matchAll(inline)) {
    const [whole, code, strong, emphasis, number] = match
    if (match.index > from) out.push(text.slice(from, match.index))
    if (code !== undefined) out.push(h("code", {}, code))
    else if (strong !== undefined) out.push(h("strong", {}, ...inlineNodes(strong, citation)))
    else if (emphasis !== undefined) out.push(h("em", {}, ...inlineNodes(emphasis, citation)))
    else if (number !== undefined) out.push(citation(Number(number)))
    from = match.index + whole.length
  }
  if (from < text.length) out.push(text.slice(from))
  return out
}

interface Block {
  readonly kind: "paragraph" | "list" | "code"
  readonly text: string
}

/** Cuts a text into blocks. A fence that is still open holds all that follows. */
export const blocks = (text: string): ReadonlyArray<Block> => {
  const out: Array<Block> = []
  let lines: Array<string> = []
  const flush = () => {
    if (lines.length > 0) {
      out.push({ kind: /^[-*](?: |$)/u.test(lines[0] ?? "") ? "list" : "paragraph", text: lines.join("\n") })
    }
    lines = []
  }
  let code: Array<string> | undefined
  for (const line of text.split("\n")) {
    if (line.startsWith("```")) {
      if (code === undefined) {
        flush()
        code = []
      } else {
        out.push({ kind: "code", text: code.join("\n") })
        code = undefined
      }
    } else if (code !== undefined) {
      code.push(line)
    } else if (line.trim() === "") {
      flush()
    } else {
      if (/^[-*](?: |$)/u.test(line) !== /^[-*](?: |$)/u.test(lines[0] ?? line)) flush()
      lines.push(line)
    }
  }
  flush()
  if (code !== undefined) out.push({ kind: "code", text: code.join("\n") })
  return out
}

const element = ({ kind, text }: Block, citation: (number: number) => Node): HTMLElement => {
  switch (kind) {
    case "code":
      return h("pre", { tabindex: 0, role: "region", "aria-label": "Code" }, h("code", {}, text))
    case "list":
      return h(
        "ul",
        {},
        ...text.split("\n").map((line) => h("li", {}, ...inlineNodes(line.replace(/^[-*] ?/u, ""), citation)))
      )
    case "paragraph":
      return h("p", {}, ...inlineNodes(text.replace(/\n/gu, " "), citation))
  }
}

/** Shows a text in `target`, and later its longer forms. */
export const view = (target: HTMLElement, citation: (number: number) => Node) => {
  const shown: Array<{ readonly block: Block; readonly element: HTMLElement }> = []
  return (text: string): void => {
    const next = blocks(text)
    next.forEach((block, index) => {
      const before = shown[index]
      if (before?.block.kind === block.kind && before.block.text === block.text) return
      const made = element(block, citation)
      if (before === undefined) target.append(made)
      else before.element.replaceWith(made)
      shown[index] = { block, element: made }
    })
    for (const { element: extra } of shown.splice(next.length)) extra.remove()
  }
}
