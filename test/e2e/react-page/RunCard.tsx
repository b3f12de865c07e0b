/** One run of the page: the test edits this file, and the page goes on. */
import { useState } from "react"
import { useRun } from "effect-emitter/react"
import { draw } from "./counts.ts"

export const RunCard = ({ id }: { readonly id: string }) => {
  draw(id)
  const run = useRun(id)
  const [clicks, setClicks] = useState(0)
  const texts = run?.parts.map((part) => part.type === "text" ? part.text : "") ?? []
  return (
    <article id={id} data-status={run?.status} data-version="1" data-clicks={clicks}>
      <button onClick={() => setClicks(clicks + 1)}>click</button>
      {run?.commands?.includes("cancel") && <button className="stop" onClick={() => run.cancel()}>stop</button>}
      <p>{texts.join("")}</p>
    </article>
  )
}
