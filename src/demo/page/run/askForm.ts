/**
 * Where a user asks: the question, questions to begin with, and room for a text of their own.
 */
import { count, h, setText } from "../view/dom.ts"
import { suggestions } from "./suggestions.ts"

/** The most characters of a pasted text; the server holds to the same. */
const maxText = 200_000

/** How many suggestions are shown before somebody asks for more. */
const shown = 3

/** The form. `ask` resolves when the server took the question, and rejects with what to tell the user. */
export const askForm = (options: {
  readonly panel: string
  readonly name: string
  readonly ask: (question: string, text: string | undefined) => Promise<void>
}) => {
  const id = (part: string) => `${options.panel}-${part}`
  const question = h("input", {
    type: "text",
    id: id("question"),
    name: "question",
    maxlength: 500,
    required: true,
    autocomplete: "off",
    enterkeyhint: "send",
    placeholder: "Ask about this package",
    "aria-describedby": id("problem")
  })
  const button = h("button", { type: "submit", class: "primary" }, "Ask")
  const problem = h("p", { class: "problem", id: id("problem"), role: "alert" })
  const text = h("textarea", {
    id: id("text"),
    rows: 6,
    spellcheck: "false",
    placeholder: "Paste a text here, and the agent answers from it instead of the package’s documents.",
    "aria-describedby": id("text-size")
  })
  const size = h("span", { id: id("text-size"), class: "size" })
  const clear = h("button", { type: "button", class: "quiet" }, "Clear")
  const own = h(
    "details",
    { class: "own" },
    h("summary", {}, "Answer from a text of my own"),
    h("label", { for: id("text"), class: "unseen" }, "Your text"),
    text,
    h("div", { class: "own-foot" }, size, clear)
  )

  const measure = () => {
    const { length } = text.value
    const tooLong = length > maxText
    setText(size, length === 0 ? "Up to 200,000 characters." : `${count(length)} of ${count(maxText)} characters`)
    size.classList.toggle("over", tooLong)
    clear.hidden = length === 0
    question.placeholder = text.value.trim() === "" ? "Ask about this package" : "Ask about your text"
    return tooLong
  }
  text.addEventListener("input", measure)
  clear.addEventListener("click", () => {
    text.value = ""
    measure()
    text.focus()
  })
  measure()

  const submit = async () => {
    setText(problem, "")
    if (question.value.trim() === "") {
      setText(problem, "Type a question first.")
      question.focus()
      return
    }
    if (measure()) {
      setText(
        problem,
        `Your text has ${count(text.value.length)} characters; ${count(maxText)} is the most. Paste a part of it.`
      )
      text.focus()
      return
    }
    button.disabled = true
    try {
      await options.ask(question.value.trim(), text.value === "" ? undefined : text.value)
    } catch (error) {
      setText(problem, error instanceof Error ? error.message : String(error))
    } finally {
      button.disabled = false
    }
  }

  const chips = (label: string, questions: ReadonlyArray<string>) =>
    h(
      "div",
      { class: "suggestions", role: "group", "aria-label": label },
      ...questions.map((suggestion) =>
        h("button", {
          type: "button",
          class: "chip",
          on: {
            click: () => {
              question.value = suggestion
              void submit()
            }
          }
        }, suggestion)
      )
    )

  const element = h(
    "form",
    {
      class: "ask",
      novalidate: true,
      "aria-label": `Ask as ${options.name}`,
      on: {
        submit: (event) => {
          event.preventDefault()
          void submit()
        }
      }
    },
    h("label", { for: id("question") }, "Your question"),
    h("div", { class: "row" }, question, button),
    problem,
    chips("Questions to begin with", suggestions.slice(0, shown)),
    h(
      "div",
      { class: "folds" },
      h(
        "details",
        { class: "more-questions" },
        h("summary", {}, "More questions"),
        chips("More questions", suggestions.slice(shown))
      ),
      own
    )
  )
  return { element, focus: () => question.focus() }
}
