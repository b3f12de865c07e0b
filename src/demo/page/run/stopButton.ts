/**
 * Stops a run. The button is there where the run takes it and the server passes it on.
 */
import { CommandError, type Connection, type NoAnswer, type Run } from "../../../client/index.ts"
import { h, setText } from "../view/dom.ts"
import * as Facts from "./facts.ts"

type Outcome = Awaited<ReturnType<ReturnType<Connection["run"]>["cancel"]>>

const unanswered: Record<NoAnswer, string> = {
  unsupported: "this server takes no commands.",
  invalid: "the page wrote a command that is none.",
  tooLarge: "the command is too large.",
  tooMany: "too many commands wait for an answer already.",
  timeout: "no answer came in time. It may have been done all the same.",
  stopped: "the connection has ended. It may have been done all the same."
}

/** Why a command was not done, as far as that is known; nothing where there is no more to do. */
export const refusal = (outcome: Outcome): string | undefined =>
  outcome.outcome === "accepted" || outcome.reason === "ended"
    ? undefined
    : outcome.reason === "unknownRun"
    ? "the server does not know this run any more."
    : outcome.reason === "unavailable"
    ? "the process that runs it cannot be reached just now."
    : outcome.message ?? `the server refused it (${outcome.reason}).`

/** What to tell of an answer that did not come. */
export const noAnswer = (error: unknown): string =>
  error instanceof CommandError ? unanswered[error.reason] : error instanceof Error ? error.message : String(error)

/** The button. `stop` asks the run to stop; `failed` tells why it was not done. */
export const stopButton = (stop: () => Promise<Outcome>, failed: (text: string) => void) => {
  let isStopping = false
  const press = async () => {
    if (isStopping) return
    const text = await stop().then(refusal, noAnswer)
    if (text !== undefined) failed(`Not stopped: ${text}`)
  }
  const element = h("button", { type: "button", class: "stop", on: { click: () => void press() } })
  return {
    element,
    update: (run: Run, takesCommands: boolean) => {
      isStopping = run.stopping === true
      setText(element, isStopping ? "Stopping…" : "Stop")
      // It keeps its focus while it can do no more.
      element.setAttribute("aria-disabled", String(isStopping))
      element.setAttribute("aria-label", `${isStopping ? "Stopping…" : "Stop"} ${Facts.question(run) ?? "this run"}`)
      element.hidden = run.status !== "active" || !takesCommands || run.commands?.includes("cancel") !== true
    }
  }
}
