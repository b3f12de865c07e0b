/** The page: the runs of a thread, how the connection stands, and a part that waits for something now and then. */
import { EmitterProvider, useConnection, useEvent, useRequests, useRuns } from "effect-emitter/react"
import { memo, Suspense, use, useState } from "react"
import { draw, hear } from "./counts.ts"
import { RunCard } from "./RunCard.tsx"

const Card = memo(RunCard)

const Status = () => {
  draw("status")
  const { reconnect, status } = useConnection()
  return <button id="status" data-state={status.state} onClick={reconnect}>{status.state}</button>
}

const Runs = () => {
  draw("runs")
  const runs = useRuns({ thread: "t1" })
  useEvent("text_delta", ({ payload }) => hear(payload.delta))
  return <main>{runs.map((run) => <Card key={run.id} id={run.id} />)}</main>
}

const Questions = () =>
  useRequests().map(({ answer, requestId, title }) => (
    <p key={requestId} className="question">
      {title} <button onClick={() => answer(true)}>yes</button>
    </p>
  ))

const Waiting = ({ until }: { readonly until: Promise<unknown> | undefined }) => {
  if (until !== undefined) use(until)
  return <i id="waiting">{until === undefined ? "not waiting" : "has waited"}</i>
}

/** All that is below the provider is hidden while a part of it waits. */
const Waits = () => {
  const [until, setUntil] = useState<Promise<unknown>>()
  const wait = () => setUntil(new Promise((resolve) => setTimeout(resolve, 1_500)))
  return (
    <Suspense fallback={<i id="hidden">hidden</i>}>
      <button id="wait" onClick={wait}>wait</button>
      <Waiting until={until} />
      <Runs />
    </Suspense>
  )
}

interface AppProps {
  readonly url: string
  readonly token: string
  readonly shared?: string | undefined
}

export const App = ({ shared, token, url }: AppProps) => (
  <EmitterProvider
    url={url}
    token={() => Promise.resolve(token)}
    shared={shared}
  >
    <Status />
    <Questions />
    <Waits />
  </EmitterProvider>
)
