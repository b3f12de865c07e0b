/**
 * What an answer cites, as a list that its numbers lead to.
 */
import type { Run } from "../../../client/index.ts"
import { h } from "../view/dom.ts"
import * as Facts from "./facts.ts"

/** The list. `id` begins the ids of its entries; `update` tells whether there are others than before. */
export const sources = (id: string) => {
  const list = h("ol", { class: "sources" })
  const element = h("div", { class: "cited" }, h("h4", {}, "Sources"), list)
  let result: Run["result"]
  let cited: ReadonlyArray<Facts.Citation> = []
  element.hidden = true
  return {
    element,
    /** The link of a number in the answer. */
    citation: (number: number) => {
      const known = cited.find((candidate) => candidate.number === number)
      return known === undefined
        ? h("span", { class: "cite" }, `[${number}]`)
        : h(
          "a",
          { class: "cite", href: `#${id}-source-${number}`, "aria-label": `Source ${number}: ${known.title}` },
          `[${number}]`
        )
    },
    update: (run: Run): boolean => {
      if (run.result === result) return false
      result = run.result
      cited = Facts.citations(run)
      element.hidden = cited.length === 0
      list.replaceChildren(...cited.map(({ excerpt, line, number, source, title }) =>
        h(
          "li",
          { id: `${id}-source-${number}`, value: number, tabindex: -1 },
          h("span", { class: "source-title" }, title),
          " ",
          h("span", { class: "where" }, source === "your text" ? `your text, line ${line}` : `${source}:${line}`),
          h("p", {}, excerpt)
        )
      ))
      return true
    }
  }
}
