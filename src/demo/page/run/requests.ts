/**
 * What a run asks its user: the question with its buttons, and what came of it.
 */
import type { Connection, Run } from "../../../client/index.ts"
import { h, setText } from "../view/dom.ts"
import { noAnswer, refusal } from "./commandText.ts"

type Part = Run["parts"][number]

/** A request of a run. */
export type RequestPart = Extract<Part, { readonly type: "request" }>

const isApproval = (answer: unknown): boolean =>
  answer === true || (typeof answer === "object" && answer !== null && "approved" in answer && answer.approved === true)

/** What came of a request, for its user; until when it is open. */
export const outcomeText = ({ answer, expiresAt, kind, status }: RequestPart): string => {
  switch (status) {
    case "open":
      return expiresAt === undefined ? "" : `Open until ${new Date(expiresAt).toLocaleTimeString()}.`
    case "answered":
      if (kind !== "approval" || answer === undefined) return "You answered."
      return isApproval(answer) ? "You said yes." : "You said no."
    case "expired":
      return "Nobody answered in time."
    case "withdrawn":
      return "Not answered before the run ended."
  }
}

type Answer = ReturnType<Connection["run"]>["answer"]

const requestView = (id: string, requestId: string, answer: Answer) => {
  let isSending = false
  const title = h("h4", { id: `${id}-${requestId}` })
  const detail = h("p", { class: "more" })
  const outcome = h("p", { class: "outcome", tabindex: -1 })
  const problem = h("p", { class: "problem", role: "alert" })
  const say = async (isApproved: boolean) => {
    if (isSending) return
    isSending = true
    setText(problem, "")
    for (const button of buttons) button.setAttribute("aria-disabled", "true")
    const text = await answer(requestId, isApproved).then(refusal, noAnswer)
    isSending = false
    for (const button of buttons) button.removeAttribute("aria-disabled")
    if (text !== undefined) setText(problem, `Not answered: ${text}`)
  }
  const yes = h("button", { type: "button", class: "primary", on: { click: () => void say(true) } }, "Yes")
  const no = h("button", { type: "button", on: { click: () => void say(false) } }, "No")
  const buttons = [yes, no]
  const choice = h("div", { class: "buttons" }, yes, no)
  const element = h(
    "div",
    { class: "request", role: "group", "aria-labelledby": `${id}-${requestId}` },
    title,
    detail,
    choice,
    outcome,
    problem
  )
  return {
    element,
    update: (part: RequestPart, takesCommands: boolean) => {
      element.dataset["request"] = part.status
      setText(title, part.title)
      setText(detail, part.detail ?? "")
      setText(outcome, outcomeText(part))
      const isOpen = part.status === "open"
      if (!isOpen) setText(problem, "")
      const hadFocus = choice.contains(document.activeElement)
      choice.hidden = !isOpen || part.kind !== "approval" || !takesCommands
      if (hadFocus && choice.hidden) outcome.focus()
    }
  }
}

/** What a run asks, in order. `id` begins the ids of its elements; `announce` speaks to screen readers. */
export const requests = (id: string, answer: Answer, announce: (text: string) => void) => {
  const element = h("div", { class: "requests" })
  const views = new Map<string, ReturnType<typeof requestView>>()
  return {
    element,
    update: ({ parts }: Run, takesCommands: boolean) => {
      for (const part of parts) {
        if (part.type !== "request") continue
        let view = views.get(part.requestId)
        if (view === undefined) {
          view = requestView(id, part.requestId, answer)
          views.set(part.requestId, view)
          element.append(view.element)
          if (part.status === "open") announce(`The agent asks: ${part.title} ${part.detail ?? ""}`)
        }
        view.update(part, takesCommands)
      }
    }
  }
}
