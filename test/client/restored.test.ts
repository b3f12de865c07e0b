/**
 * What a page waits for after a reload in mid-run, over a real gateway: the order of what travels says how many round trips
 * that takes, on every machine.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { connect, type Connection, type ConnectOptions, type Run, type TransportName } from "effect-emitter/client"
import { envelope, serve, token, user } from "../gateway/server.ts"
import { until } from "./devices.ts"

const typeOf = (message: unknown): string => {
  const frame: unknown = JSON.parse(String(message))
  return typeof frame === "object" && frame !== null && "type" in frame ? String(frame.type) : "none"
}

/** What the page's transports send and get, in order. */
const noted = () => {
  const travelled: Array<string> = []
  class Socket extends WebSocket {
    constructor(url: string, protocols: string) {
      super(url, protocols)
      this.addEventListener("message", ({ data }) => travelled.push(`got ${typeOf(data)}`))
    }
    override send(data: string): void {
      travelled.push(`sent ${typeOf(data)}`)
      super.send(data)
    }
  }
  const request = (url: string, init: RequestInit) => {
    travelled.push(`sent ${init.method ?? "GET"}`)
    return fetch(url, init)
  }
  return { travelled, platform: { WebSocket: Socket, fetch: request } }
}

const opened = (options: ConnectOptions) =>
  Effect.acquireRelease(Effect.sync(() => connect(options)), ({ close }) => Effect.sync(close))

/** The runs at the first time that the page is told of any, and what had travelled until then. */
const firstRuns = ({ runs }: Connection, travelled: ReadonlyArray<string>) => {
  const first: { runs?: ReadonlyArray<Run>; after?: ReadonlyArray<string> } = {}
  runs.subscribe(() => {
    if (first.runs !== undefined || runs.getSnapshot().length === 0) return
    first.runs = runs.getSnapshot()
    first.after = Array.from(travelled)
  })
  return first
}

const transports: Record<TransportName, ReadonlyArray<string>> = {
  websocket: ["sent hello", "got welcome", "got snapshot"],
  sse: ["sent GET"]
}

describe("a page that is reloaded in mid-run", () => {
  for (const transport of ["websocket", "sse"] as const) {
    it.live(`has the run by the frame after the welcome, and asks for nothing more, over ${transport}`, () =>
      Effect.gen(function*() {
        const served = yield* serve()
        const emit = (type: string, data: Record<string, string | number>) =>
          served.broker.append(user("ada"), [envelope(data, { run: "r1", thread: "t1", type })])
        yield* emit("agent_started", { agentName: "a" })
        yield* emit("text_delta", { messageId: "m1", delta: "one " })
        yield* emit("tool_executing", { toolCallId: "c1", toolName: "search", input: "streams" })
        yield* emit("text_delta", { messageId: "m1", delta: "two" })

        const given = yield* token("ada")
        const { platform, travelled } = noted()
        const page = yield* opened({ url: served.url, token: given, transports: [transport], platform })
        const first = firstRuns(page, travelled)
        yield* until("the run is there", () => first.runs !== undefined)

        assert.deepStrictEqual(first.after, transports[transport])
        assert.deepStrictEqual(first.runs?.map(({ id, parts, status, thread }) => ({ id, parts, status, thread })), [{
          id: "r1",
          thread: "t1",
          status: "active",
          parts: [
            { type: "text", messageId: "m1", text: "one two" },
            { type: "tool", toolCallId: "c1", toolName: "search", status: "executing", input: "streams" }
          ]
        }])

        yield* emit("text_delta", { messageId: "m1", delta: " three" })
        yield* until("it goes on", () => {
          const part = page.run("r1").get()?.parts[0]
          return part?.type === "text" && part.text === "one two three"
        })
      }))
  }
})
