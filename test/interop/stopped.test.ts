/**
 * Runs that their pages stop, over real sockets.
 */
import { assert, describe, it } from "@effect/vitest"
import { ChatClient } from "@tanstack/ai-client"
import { Deferred, Effect, Layer } from "effect"
import { AgentEvents, Broker, Emitter, UserLog } from "effect-emitter"
import { AgUi } from "effect-emitter/ag-ui"
import { EmitterAgent } from "effect-emitter/ag-ui/client"
import { AiSdk } from "effect-emitter/ai-sdk"
import { EmitterChatTransport } from "effect-emitter/ai-sdk/client"
import { EmitterConnectionAdapter } from "effect-emitter/tanstack-ai"
import { until } from "../client/devices.ts"
import { token, user } from "../gateway/server.ts"
import { type App, serveApp } from "./app.ts"

/** What a page asks for, and how it stops that. */
interface Asked {
  readonly connection: EmitterChatTransport["connection"]
  readonly ask: () => void
  readonly stop: () => void
  readonly close: () => void
}

const pages: ReadonlyArray<readonly [string, (app: App, token: string) => Asked]> = [
  ["the AI SDK", ({ url }, token) => {
    const transport = new EmitterChatTransport({ url: `${url}/events`, api: `${url}/chat`, token })
    const stopping = new AbortController()
    const ask = async () => {
      const stream = await transport.sendMessages({
        trigger: "submit-message",
        chatId: "t1",
        messageId: undefined,
        messages: [],
        abortSignal: stopping.signal
      })
      await stream.getReader().read()
    }
    return {
      connection: transport.connection,
      ask: () => void ask().catch(() => {}),
      stop: () => stopping.abort(),
      close: transport.close
    }
  }],
  ["AG-UI", ({ url }, token) => {
    const agent = new EmitterAgent({
      threadId: "t1",
      api: `${url}/agent`,
      connection: { url: `${url}/events`, token }
    })
    return {
      connection: agent.connection,
      ask: () => void agent.runAgent({ runId: "r1" }).catch(() => {}),
      stop: () => agent.abortRun(),
      close: () => agent.close()
    }
  }],
  ["TanStack AI", ({ url }, token) => {
    const connection = new EmitterConnectionAdapter({ url: `${url}/events`, api: `${url}/agent`, token })
    const chat = new ChatClient({ connection, threadId: "t1", persistence: true })
    chat.attach()
    return {
      connection: connection.connection,
      ask: () => void chat.sendMessage("Hello"),
      stop: () => chat.stop(),
      close: () => {
        chat.dispose()
        connection.close()
      }
    }
  }]
]

describe("a run that is stopped before it has begun", () => {
  for (const [name, make] of pages) {
    it.live(`ends as it begins, by the client for ${name}`, () =>
      Effect.gen(function*() {
        const asked = yield* Deferred.make<void>()
        const ready = yield* Deferred.make<void>()
        // What a program looks up first takes its time.
        const run = () =>
          Deferred.succeed(asked, undefined).pipe(
            Effect.andThen(Deferred.await(ready)),
            Effect.andThen(
              Emitter.emit(AgentEvents.AgentThinking.make({ text: "on it" })).pipe(
                Effect.andThen(Effect.never),
                Emitter.run({ agentName: "a" })
              )
            )
          )
        const app = yield* serveApp(
          Layer.merge(AgUi.layer({ path: "/agent", run }), AiSdk.layer({ path: "/chat", run }))
        )
        const shown = yield* token("ada")
        const page = yield* Effect.acquireRelease(
          Effect.sync(() => make(app, shown)),
          ({ close }) => Effect.sync(close)
        )
        yield* until("live", () => page.connection.status.getSnapshot().state === "live", 20)
        page.ask()
        yield* Deferred.await(asked)
        yield* Effect.sleep("100 millis")
        page.stop()
        yield* Effect.sleep("300 millis")
        yield* Deferred.succeed(ready, undefined)
        yield* until(
          "its end",
          () => page.connection.runs.getSnapshot().some(({ status }) => status !== "active"),
          1
        )
        const { runs } = yield* Effect.provideService(UserLog.runs(user("ada")), Broker.Broker, app.broker)
        assert.deepStrictEqual(runs.map(({ state }) => [state.status, state.endedBy]), [["cancelled", "user"]])
      }), 60_000)
  }
})
