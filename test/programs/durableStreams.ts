/** Shows what a run writes, up to its end, by the client of Durable Streams. */
import { stream } from "@durable-streams/client"

interface RunEvent {
  readonly type: string
  readonly data: { readonly delta?: string }
}

export const follow = async (base: string, run: string, token: string, show: (text: string) => void) => {
  const events = await stream<RunEvent>({
    url: `${base}/streams/runs/${run}`,
    headers: { authorization: `Bearer ${token}` },
    offset: "-1",
    live: "sse"
  })
  for await (const { data, type } of events.jsonStream()) {
    if (type === "text_delta") show(data.delta ?? "")
  }
}
