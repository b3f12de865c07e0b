/**
 * What people use on top of AG-UI, against `AgUi.layer`; and a client whose stream is cut.
 */
import { CopilotKitCore } from "@copilotkit/core"
import { assert, describe, it } from "@effect/vitest"
import { ChatClient, fetchServerSentEvents } from "@tanstack/ai-client"
import { HttpAgent } from "ag-ui-client-0.0.59"
import { Effect } from "effect"
import { AgentEvents, Emitter } from "effect-emitter"
import { AgUi } from "effect-emitter/ag-ui"
import { execFile } from "node:child_process"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { proxyTo } from "../../client/Proxy.ts"
import { token } from "../../gateway/server.ts"
import { patience } from "../../support/patience.ts"
import { seeded } from "../../support/random.ts"
import { serveApp } from "../app.ts"

const text = "Streams are pull-based: 日本語 👩‍🚀\n\ndata: {}\n"

const answer = Effect.forEach(text, (delta) => Emitter.emit(AgentEvents.TextDelta.make({ messageId: "m1", delta })), {
  discard: true
}).pipe(
  Effect.andThen(Effect.succeed(["a"]).pipe(Emitter.tool("search", { q: "streams" }))),
  Emitter.run({ agentName: "a" })
)

const served = Effect.map(
  Effect.all([serveApp(AgUi.layer({ path: "/agent", run: () => answer })), token("ada")]),
  ([app, shown]) => ({ url: `${app.url}/agent`, shown, headers: { authorization: `Bearer ${shown}` } })
)

/** What a child says, a line of messages for each run. */
const linesOf = (child: string, ...args: ReadonlyArray<string>) =>
  Effect.map(
    Effect.promise(() =>
      promisify(execFile)(process.execPath, [fileURLToPath(new URL(child, import.meta.url)), ...args], {
        timeout: 60_000 * patience,
        killSignal: "SIGKILL"
      })
    ),
    ({ stdout }) => stdout.trim().split("\n").map((line): unknown => JSON.parse(line))
  )

/** The messages that a run becomes. */
const messagesOf = (run: string) => [
  { id: `${run}:text:m1`, role: "assistant", content: text },
  {
    id: `${run}:call:call-1`,
    role: "assistant",
    toolCalls: [{
      id: `${run}:call:call-1`,
      type: "function",
      function: { name: "search", arguments: JSON.stringify({ q: "streams" }) }
    }]
  },
  { id: `${run}:result:call-1`, role: "tool", toolCallId: `${run}:call:call-1`, content: "[\"a\"]" }
]

describe("A client", () => {
  it.live("whose stream is cut behind any byte has the same messages once it asks again", () =>
    Effect.gen(function*() {
      const { shown, url } = yield* served
      const draw = seeded(20_261_128)
      const cuts = Array.from({ length: 24 }, (_, index) => index === 0 ? 0 : index === 1 ? 1e9 : draw.below(9_000))
      const lines = yield* linesOf("cut-child.ts", url, shown, ...cuts.map(String))
      assert.lengthOf(lines, cuts.length)
      for (const [index, messages] of lines.entries()) {
        assert.deepStrictEqual(messages, messagesOf(`r${index}`), `cut behind ${cuts[index]}`)
      }
    }), 60_000 * patience)

  it.live(
    "that is an agent for pages comes back by connect, with the same messages, wherever its connection is cut",
    () =>
      Effect.gen(function*() {
        const app = yield* serveApp(AgUi.layer({ path: "/agent", run: () => answer }), { reconnectSpread: "1 millis" })
        const draw = seeded(20_261_129)
        const cuts = Array.from({ length: 16 }, (_, index) => index === 0 ? 1 : 1 + draw.below(4_000))
        const lines = yield* Effect.forEach(cuts, (cut, index) =>
          Effect.gen(function*() {
            const asked = { threadId: `t${index}`, runId: `r${index}`, messages: [], tools: [], context: [] }
            const response = yield* app.post("/agent", { ...asked, state: {}, forwardedProps: {} })
            yield* Effect.promise(() => response.text())
            return yield* proxyTo(() => Number(new URL(app.url).port), cut)
          }))
        const urls = lines.map(({ port }) => `ws://127.0.0.1:${port}/events`)
        const told = yield* linesOf("connect-child.ts", `${app.url}/agent`, yield* token("ada"), ...urls)
        assert.deepStrictEqual(told, cuts.map((_, index) => messagesOf(`r${index}`)))
        assert.isAtLeast(lines.filter(({ stats }) => stats().total > 1).length, cuts.length / 4)
      }),
    60_000 * patience
  )
})

describe("CopilotKit", () => {
  it.live("shows the run's text, character by character", () =>
    Effect.gen(function*() {
      const { headers, url } = yield* served
      // It has a copy of the client of its own, whose types are others for TypeScript.
      const agents = { speaker: new HttpAgent({ url, headers, threadId: "t1" }) }
      const core: CopilotKitCore = Reflect.construct(CopilotKitCore, [{ agents__unsafe_dev_only: agents }])
      const agent = core.getAgent("speaker") ?? assert.fail("it has no such agent")
      agent.addMessage({ id: "u1", role: "user", content: "What are streams?" })
      yield* Effect.promise(() => core.runAgent({ agent }))
      const shown = agent.messages.flatMap(({ content, id }) => id.includes(":text:") ? [content] : [])
      assert.deepStrictEqual(shown, [text])
    }))
})

describe("TanStack AI", () => {
  it.live("reads the run by its own connection, character by character", () =>
    Effect.gen(function*() {
      const { headers, url } = yield* served
      const client = new ChatClient({ connection: fetchServerSentEvents(url, { headers }), threadId: "t1" })
      yield* Effect.promise(() => client.sendMessage("What are streams?"))
      const shown = client.getMessages().flatMap(({ parts, role }) =>
        role === "assistant" ? parts.flatMap((part) => part.type === "text" ? [part.content] : []) : []
      )
      assert.deepStrictEqual(shown, [text])
    }))
})
