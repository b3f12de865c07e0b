/**
 * One user's connection as the page shows it: the client's facade, what it hands over, and what is counted on the way.
 */
import {
  type AnyEvent,
  connect,
  type Connection,
  type Fetch,
  type Gap,
  type Snapshot,
  type Status
} from "../../../client/index.ts"
import type { Api } from "./api.ts"

/** What the client hands over. */
export type Item =
  | { readonly _tag: "Event"; readonly epoch: string; readonly event: AnyEvent }
  | { readonly _tag: "Gap" } & Gap
  | { readonly _tag: "Snapshot" } & Snapshot
  | { readonly _tag: "Lost" }

/** How many runs that have ended the page begins with. */
const recentRuns = 10

/**
 * - `events`: handed over to the page, each once.
 * - `duplicates`: came again over a WebSocket and were not handed over again.
 * - `gaps`, `snapshots`: frames of these kinds.
 * - `reconnects`: connections after the first.
 */
export interface Counts {
  events: number
  duplicates: number
  gaps: number
  snapshots: number
  reconnects: number
}

/** What the page does with what comes. */
export interface Handlers {
  readonly item: (item: Item) => void
  readonly status: (status: Status) => void
  readonly counted: () => void
  readonly problem: (error: unknown) => void
}

/**
 * A user's connection. `line` names it to the server, which can cut it; `gateway` is the process it leads to, where there
 * are several; `takesCommands` tells whether the server passes on what is asked of runs.
 */
export interface Live extends Pick<Connection, "position" | "runs" | "run" | "close"> {
  readonly line: string
  readonly counts: Readonly<Counts>
  readonly gateway: () => string | undefined
  readonly takesCommands: () => boolean
}

const parse = (data: unknown): Record<string, unknown> => {
  try {
    const frame: unknown = typeof data === "string" ? JSON.parse(data) : undefined
    return typeof frame === "object" && frame !== null ? { ...frame } : {}
  } catch {
    return {}
  }
}

/** Connects a user. The page begins with the runs that are active and the newest others, and keeps nothing itself. */
export const open = (api: Api, handlers: Handlers): Live => {
  const counts: Counts = { events: 0, duplicates: 0, gaps: 0, snapshots: 0, reconnects: 0 }
  const line = crypto.randomUUID()
  let connections = 0
  let gateway: string | undefined
  const connected = () => {
    connections++
    counts.reconnects = connections - 1
  }
  let epoch = ""
  const reached = new Map<string, number>()

  /** The client hides what it drops; the page wants to count it, so it looks at the frames as well. */
  const look = (data: unknown) => {
    const frame = parse(data)
    if (frame["type"] === "welcome") {
      epoch = String(frame["epoch"])
      gateway = /^([^.]+)\./u.exec(String(frame["connection"]))?.[1]
    }
    if (frame["type"] !== "events" || !Array.isArray(frame["events"])) return
    const key = String(frame["epoch"])
    let highest = reached.get(key) ?? 0
    for (const event of frame["events"]) {
      if (event.offset <= highest) counts.duplicates++
      else highest = event.offset
    }
    reached.set(key, highest)
  }

  class WatchedSocket extends WebSocket {
    constructor(url: string, protocols: string) {
      super(url, protocols)
      this.addEventListener("open", connected)
      this.addEventListener("message", ({ data }) => look(data))
    }
  }

  /** Where no WebSocket gets through, events come by HTTP. */
  const watchedFetch: Fetch = async (url, init) => {
    const response = await fetch(url, init)
    const { body, headers } = response
    if (body === null || headers.get("content-type")?.startsWith("text/event-stream") !== true) return response
    connected()
    const decoder = new TextDecoder()
    let rest = ""
    const watch = new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>({
      transform: (chunk, controller) => {
        const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n")
        rest = lines.pop() ?? ""
        for (const line of lines) if (line.startsWith("data: ")) look(line.slice("data: ".length))
        controller.enqueue(chunk)
      }
    })
    return new Response(body.pipeThrough(watch), response)
  }

  const connection: Connection = connect({
    url: `/events?line=${line}`,
    token: () => api.token(),
    client: "effect-emitter demo page",
    recentRuns,
    platform: { WebSocket: WatchedSocket, fetch: watchedFetch },
    onStatus: handlers.status,
    onEvent: (event) => {
      counts.events++
      handlers.item({ _tag: "Event", epoch, event })
      handlers.counted()
    },
    onGap: (gap) => {
      counts.gaps++
      epoch = gap.epoch
      handlers.item({ _tag: "Gap", ...gap })
      handlers.counted()
    },
    onSnapshot: (snapshot) => {
      counts.snapshots++
      handlers.item({ _tag: "Snapshot", ...snapshot })
      handlers.counted()
    },
    onLost: () => handlers.item({ _tag: "Lost" }),
    onError: handlers.problem
  })

  const { accepts, close, position, run, runs } = connection
  const takesCommands = () => accepts().includes("command")
  return { line, counts, gateway: () => gateway, takesCommands, position, runs, run, close }
}
