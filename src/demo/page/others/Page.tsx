/**
 * What the pages of other libraries look like: a question, the runs, Stop, and what a run asks. Where the runs come from is
 * each page's own.
 */
import { type FormEvent, StrictMode, useEffect, useRef, useState } from "react"
import { createRoot } from "react-dom/client"
import type { Run } from "../../../client/index.ts"
import * as Markdown from "../view/markdown.ts"
import { states } from "../view/states.ts"

/** The thread that the demo's runs are in. */
export const thread = "demo"

/** Whose runs a page shows: `?user=`, as in the demo's own page. */
export const user = new URLSearchParams(location.search).get("user") === "grace" ? "grace" : "ada"

/** A run as these pages show it. */
export interface Shown {
  readonly id: string
  readonly question: string | undefined
  readonly status: Run["status"]
  readonly text: string
  readonly asks?: { readonly title: string; readonly answer: (yes: boolean) => Promise<unknown> } | undefined
  readonly stop?: (() => unknown) | undefined
}

/** The demo's own page links its citations; here they are numbers. */
const citation = (number: number) => document.createTextNode(`[${number}]`)

const Answer = ({ text }: { readonly text: string }) => {
  const target = useRef<HTMLDivElement>(null)
  const show = useRef<(text: string) => void>(undefined)
  useEffect(() => {
    if (target.current === null) return
    show.current ??= Markdown.view(target.current, citation)
    show.current(text)
  }, [text])
  return (
    <div className="reply">
      <div className="answer" ref={target} />
    </div>
  )
}

const RunCard = ({ asks, id, question, status, stop, text }: Shown) => (
  <article
    className={status === "active" && asks === undefined ? "run streaming" : "run"}
    data-run={id}
    data-status={status}
    aria-label={question}
  >
    <header>
      <div className="heading">
        <h2>{question ?? "A run that was under way"}</h2>
        <span className="badge">
          {status === "active" && asks !== undefined ? "Waits for your answer" : states[status]}
        </span>
      </div>
      {status === "active" && stop !== undefined && <button type="button" className="stop" onClick={stop}>Stop</button>}
    </header>
    <Answer text={text} />
    {status === "active" && asks !== undefined && (
      <div className="request" data-request="open">
        <h3>{asks.title}</h3>
        <div className="buttons">
          <button type="button" className="primary" onClick={() => void asks.answer(true)}>Yes</button>
          <button type="button" onClick={() => void asks.answer(false)}>No</button>
        </div>
      </div>
    )}
  </article>
)

/** The page. `ask` fails with what to tell its user; the newest run comes first. */
export const Page = ({ ask, runs, status }: {
  readonly ask: (question: string) => Promise<unknown>
  readonly runs: ReadonlyArray<Shown>
  readonly status: string
}) => {
  const [question, setQuestion] = useState("")
  const [problem, setProblem] = useState("")
  const submit = (event: FormEvent) => {
    event.preventDefault()
    setProblem("")
    setQuestion("")
    ask(question).catch((error: unknown) => setProblem(error instanceof Error ? error.message : String(error)))
  }
  return (
    <>
      <form className="ask" onSubmit={submit}>
        <label htmlFor="question">Your question</label>
        <div className="row">
          <input
            id="question"
            maxLength={500}
            required
            autoComplete="off"
            placeholder="Ask about this package"
            value={question}
            onChange={({ target }) => setQuestion(target.value)}
          />
          <button type="submit" className="primary">Ask</button>
        </div>
        <p className="problem" role="alert">{problem}</p>
        <p className="position" role="status">{status}</p>
      </form>
      <div className="runs">{runs.map((run) => <RunCard key={run.id} {...run} />)}</div>
      {runs.length === 0 && (
        <p className="empty">Ask something, here or in another of these pages: all of them show it.</p>
      )}
    </>
  )
}

/** Draws a page. */
export const draw = (page: React.ReactNode) => {
  const main = document.getElementById("main")
  if (main !== null) createRoot(main).render(<StrictMode>{page}</StrictMode>)
  for (const link of document.querySelectorAll<HTMLAnchorElement>(".ways a")) link.search = location.search
}
