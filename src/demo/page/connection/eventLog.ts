/**
 * Lists every event that was handed over, and what happened to the connection between them.
 */
import { count, h, setText } from "../view/dom.ts"
import type { Item } from "./connection.ts"

/** How many lines are kept; the oldest go first. */
const kept = 2_000

/** The list, and what adds to it: it tells that it `changed`, and shows what was added when it is told to. */
export const eventLog = (name: string, changed: () => void) => {
  const total = h("span", { class: "total" }, "0")
  const list = h("ol")
  const scroller = h("div", { class: "log", tabindex: 0, role: "region", "aria-label": `Every event of ${name}` }, list)
  const details = h("details", { class: "every" }, h("summary", {}, "Every event ", total), scroller)
  let events = 0
  let added: Array<HTMLLIElement> = []

  const add = (line: HTMLLIElement) => {
    added.push(line)
    // A page that is put aside may show nothing for long.
    if (added.length > 2 * kept) added = added.slice(-kept)
    changed()
  }
  const show = () => {
    if (added.length === 0) return
    // To ask where it stands has the page laid out: only where somebody looks.
    const follows = details.open && scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < 40
    list.append(...added)
    added = []
    while (list.children.length > kept) list.firstElementChild?.remove()
    setText(total, count(events))
    if (follows) scroller.scrollTop = scroller.scrollHeight
  }
  details.addEventListener("toggle", () => {
    scroller.scrollTop = scroller.scrollHeight
  })

  return {
    element: details,
    show,
    item: (item: Item) => {
      switch (item._tag) {
        case "Event": {
          const { id, offset, run, type } = item.event
          events++
          return add(h(
            "li",
            { "data-offset": offset, "data-epoch": item.epoch, "data-id": id, "data-type": type, "data-run": run },
            h("span", { class: "offset" }, String(offset)),
            " ",
            type
          ))
        }
        case "Gap":
          return add(h(
            "li",
            { class: "between" },
            item.to < item.from
              ? `gap: ${item.reason}, a new log begins`
              : `gap: ${item.from} to ${item.to} will not come (${item.reason})`
          ))
        case "Snapshot":
          return add(h("li", { class: "between" }, `snapshot at ${item.offset}`))
        case "Lost":
          return add(h("li", { class: "between" }, "a run was lost"))
      }
    },
    between: (text: string) => add(h("li", { class: "between" }, text))
  }
}
