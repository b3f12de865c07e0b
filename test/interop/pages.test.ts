/**
 * What pages are told of runs that do not begin as they should, over real sockets.
 */
import { assert, describe, it } from "@effect/vitest"
import { ChatClient } from "@tanstack/ai-client"
import { Deferred, Effect, Layer, Option } from "effect"
import { AgentEvents, Broker, Emitter, UserLog } from "effect-emitter"
import { AgUi } from "effect-emitter/ag-ui"
import { EmitterAgent } from "effect-emitter/ag-ui/client"
import { AiSdk } from "effect-emitter/ai-sdk"
import { EmitterChatTransport } from "effect-emitter/ai-sdk/client"
import { EmitterConnectionAdapter } from "effect-emitter/tanstack-ai"
import { until } from "../client/devices.ts"
import { token, user } from "../gateway/server.ts"
import { type App, serveApp } from "./app.ts"

/** A page: `ask` asks for a run, and gives why there is none; `stop` stops it. */
interface Asked {
  readonly connection: EmitterChatTransport["connection"]
  readonly ask: () => Promise<unknown>
  readonly stop: () => void
  readonly close: () => void
}

type Token = () => Promise<string>

const pages: ReadonlyArray<readonly [string, (app: App, token: Token) => Asked]> = [
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
      ask: () => ask().catch((error: unknown) => error),
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
      ask: () => agent.runAgent({ runId: "r1" }).catch((error: unknown) => error),
      stop: () => agent.abortRun(),
      close: () => agent.close()
    }
  }],
  ["TanStack AI", ({ url }, token) => {
    const connection = new EmitterConnectionAdapter({ url: `${url}/events`, api: `${url}/agent`, token })
    let error: unknown
    const chat = new ChatClient({
      connection,
      threadId: "t1",
      persistence: true,
      onError: (failure) => {
        error = failure
      }
    })
    chat.attach()
    return {
      connection: connection.connection,
      ask: async () => {
        await chat.sendMessage("Hello")
        return error
      },
      stop: () => chat.stop(),
      close: () => {
        chat.dispose()
        connection.close()
      }
    }
  }]
]

/** A page with a live connection, and the application that runs this for it. */
const opened = Effect.fnUntraced(function*<E>(
  make: (app: App, token: Token) => Asked,
  run: () => Effect.Effect<unknown, E, Emitter.Emitter>,
  tokens = Infinity
) {
  const app = yield* serveApp(Layer.merge(AgUi.layer({ path: "/agent", run }), AiSdk.layer({ path: "/chat", run })))
  const shown = yield* token("ada")
  let left = tokens
  const page = yield* Effect.acquireRelease(
    Effect.sync(() => make(app, () => left-- > 0 ? Promise.resolve(shown) : new Promise(() => {}))),
    ({ close }) => Effect.sync(close)
  )
  yield* until("live", () => page.connection.status.getSnapshot().state === "live", 20)
  return { app, page }
})

describe("a run whose program ends without beginning it", () => {
  for (const [name, make] of pages) {
    it.live(`is not waited for, by the client for ${name}`, () =>
      Effect.gen(function*() {
        const { page } = yield* opened(make, () => Effect.sleep("100 millis"))
        const answer = yield* Effect.timeoutOption(Effect.promise(page.ask), "5 seconds")
        assert.include(
          String(Option.getOrElse(answer, () => "no answer")),
          "The program has ended without beginning the run"
        )
      }), 60_000)
  }
})

describe("a run that is stopped while no token comes for its request", () => {
  for (const [name, make] of pages) {
    it.live(`is not waited for, by the client for ${name}`, () =>
      Effect.gen(function*() {
        const { page } = yield* opened(make, () => Effect.void, 1)
        const asked = page.ask()
        yield* Effect.sleep("50 millis")
        page.stop()
        const answer = yield* Effect.timeoutOption(Effect.promise(() => asked), "3 seconds")
        assert.isTrue(Option.isSome(answer))
      }), 60_000)
  }
})

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
        const { app, page } = yield* opened(make, run)
        void page.ask()
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
