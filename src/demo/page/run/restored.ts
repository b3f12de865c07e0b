/**
 * The three steps that the page invites to: ask, reload, and see what came back. Each says only what is so at this moment.
 */
import { h, plural, setText } from "../view/dom.ts"

/**
 * How far somebody is.
 *
 * - `Idle`: there is no run to reload under.
 * - `Running`, `Ended`: a run that this page has seen from its beginning.
 * - `Restoring`: the page came in the middle or later, and does not yet know the run whole.
 * - `Restored`: it has `had` of the `all` events that the server's log held of the run when it was asked. `isReload` tells
 *   a reload from a page that was opened later, such as a second device.
 */
export type Stage =
  | { readonly _tag: "Idle" }
  | { readonly _tag: "Running" }
  | { readonly _tag: "Ended" }
  | { readonly _tag: "Restoring"; readonly isReload: boolean }
  | { readonly _tag: "Restored"; readonly isReload: boolean; readonly had: number; readonly all: number }

/** What one step says, and whether it is done, the next to do, or later. */
export interface Step {
  readonly text: string
  readonly state: "done" | "now" | "later"
}

const came = (isReload: boolean): Step => ({ text: isReload ? "Reloaded" : "Opened later", state: "done" })

/** The three steps. */
export const stepsOf = (stage: Stage): readonly [Step, Step, Step] => {
  switch (stage._tag) {
    case "Idle":
      return [
        { text: "Ask", state: "now" },
        { text: "Reload the page", state: "later" },
        { text: "See what came back", state: "later" }
      ]
    case "Running":
      return [
        { text: "Asked", state: "done" },
        { text: "Reload now", state: "now" },
        { text: "See what came back", state: "later" }
      ]
    case "Ended":
      return [
        { text: "Asked", state: "done" },
        { text: "Reload the page", state: "now" },
        { text: "See what came back", state: "later" }
      ]
    case "Restoring":
      return [{ text: "Asked", state: "done" }, came(stage.isReload), { text: "Restoring", state: "now" }]
    case "Restored":
      return [
        { text: "Asked", state: "done" },
        came(stage.isReload),
        {
          text: `Restored ${stage.had} of ${plural(stage.all, "event")}`,
          state: stage.had === stage.all ? "done" : "now"
        }
      ]
  }
}

/** The strip, and what brings it up to date. */
export const strip = () => {
  const items = [0, 1, 2].map((index) => {
    const text = h("span")
    const mark = h("span", { class: "mark", "aria-hidden": "true" }, String(index + 1))
    return { element: h("li", {}, mark, text), mark, text }
  })
  const element = h("ol", { class: "strip", "aria-label": "What to try" }, ...items.map(({ element }) => element))
  return {
    element,
    update: (stage: Stage) => {
      element.dataset["stage"] = stage._tag
      for (const [index, { state, text }] of stepsOf(stage).entries()) {
        const item = items[index]
        if (item === undefined) continue
        setText(item.text, text)
        setText(item.mark, state === "done" ? "✓" : String(index + 1))
        item.element.dataset["state"] = state
        if (state === "now") item.element.setAttribute("aria-current", "step")
        else item.element.removeAttribute("aria-current")
      }
    }
  }
}
