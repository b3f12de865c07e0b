/**
 * The demo's runs by the hooks of `effect-emitter/react`.
 */
import { statusMessage } from "../../../client/index.ts"
import { EmitterProvider, useConnection, useRuns } from "../../../react/index.ts"
import { forUser } from "../connection/api.ts"
import * as Facts from "../run/facts.ts"
import { draw, Page, type Shown, thread, user } from "./Page.tsx"

const api = forUser(user)

const Runs = () => {
  const { status } = useConnection()
  const runs = useRuns({ thread }).map((run): Shown => {
    const request = run.parts.find((part) => part.type === "request" && part.status === "open")
    return {
      id: run.id,
      question: Facts.question(run),
      status: run.status,
      text: Facts.answer(run),
      asks: request?.type === "request"
        ? { title: request.title, answer: (yes) => run.answer(request.requestId, yes) }
        : undefined,
      stop: run.cancel
    }
  })
  return (
    <Page ask={(question) => api.ask(question, undefined)} runs={runs.toReversed()} status={statusMessage(status)} />
  )
}

draw(
  <EmitterProvider url="/events" token={api.token} recentRuns={10}>
    <Runs />
  </EmitterProvider>
)
