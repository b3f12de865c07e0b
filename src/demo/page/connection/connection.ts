/**
 * One user's connection as the page shows it: the client's facade, what it hands over, and what is counted on the way.
 */
import { connect, type Connection, type Fetch, type Status } from "../../../client/index.ts"
import type { Position } from "../../../protocol/values/Position.ts"
import type { Api } from "./api.ts"
import type { Item } from "../run/model.ts"
import * as ViewStart from "./viewStart.ts"

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
 * are several.
 */
export interface Live {
  readonly line: string
  readonly counts: Readonly<Counts>
  readonly gateway: () => string | undefined
  readonly position: () => Position | undefined
  readonly close: () => void
}

const parse = (data: unknown): Record<string, unknown> => {
  try {
    const frame: unknown = typeof data === "string" ? JSON.parse(data) : undefined
    return typeof frame === "object" && frame !== null ? { ...frame } : {}
  } catch {
    return {}
  }
}

/** Connects a user, and brings back what this tab's view began with. */
export const open = (user: string, api: Api, handlers: Handlers): Live => {
  const counts: Counts = { events: 0, duplicates: 0, gaps: 0, snapshots: 0, reconnects: 0 }
  const line = crypto.randomUUID()
  let start = ViewStart.load(user)
  let connections = 0
  let gateway: string | undefined
  const connected = () => {
    connections++
    counts.reconnects = connections - 1
  }
  let epoch = start?.position.epoch ?? ""
  const reached = new Map<string, number>()
  /** Snapshots that come before any event belong to the view's beginning. */
  let beginning = start === undefined

  for (const base of start?.runs ?? []) handlers.item({ _tag: "Snapshot", epoch, ...base })

  const begin = (position: Position, runs: ReadonlyArray<ViewStart.Base>) => {
    start = { position, runs }
    ViewStart.save(user, start)
  }

  /** The client hides what it drops; the page wants to count it, so it looks at the frames as well. */
  const look = (data: unknown) => {
    const frame = parse(data)
    if (frame["type"] === "welcome") gateway = /^([^.]+)\./u.exec(String(frame["connection"]))?.[1]
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
    // The view begins where the client does, and from then on at what it keeps of its own.
    storage: {
      load: () => start?.position,
      save: (position) => {
        epoch = position.epoch
        if (start === undefined) begin(position, [])
      }
    },
    platform: { WebSocket: WatchedSocket, fetch: watchedFetch },
    onStatus: handlers.status,
    onEvent: (event) => {
      beginning = false
      counts.events++
      handlers.item({ _tag: "Event", epoch, event })
      handlers.counted()
    },
    onGap: (gap) => {
      counts.gaps++
      epoch = gap.epoch
      // What is gone cannot be resumed from: the view now begins behind it, with the snapshots that follow.
      if (gap.reason !== "slow") {
        begin({ epoch: gap.epoch, offset: gap.to }, [])
        beginning = true
      }
      handlers.item({ _tag: "Gap", ...gap })
      handlers.counted()
    },
    onSnapshot: (snapshot) => {
      counts.snapshots++
      const { offset, run, state } = snapshot
      if (beginning && start !== undefined) {
        begin(start.position, [...start.runs.filter((base) => base.run !== run), { run, offset, state }])
      }
      handlers.item({ _tag: "Snapshot", ...snapshot })
      handlers.counted()
    },
    onLost: (run) => handlers.item({ _tag: "Lost", run, at: Date.now() }),
    onError: handlers.problem
  })

  return { line, counts, gateway: () => gateway, position: connection.position, close: connection.close }
}
