/**
 * Stops a run. The button is there where the run takes it and the server passes it on.
 */
import type { Run } from "../../../client/index.ts"
import { h, setText } from "../view/dom.ts"
import { noAnswer, type Outcome, refusal } from "./commandText.ts"
import * as Facts from "./facts.ts"

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
