/**
 * The published client of TanStack AI over a real gateway.
 */
import { assert, describe, it } from "@effect/vitest"
import { ChatClient } from "@tanstack/ai-client"
import { type Cause, Effect, Queue, Stream } from "effect"
import { AgentEvents, Emitter, Event } from "effect-emitter"
import { AgUi, RunAgentInput } from "effect-emitter/ag-ui"
import { type AdapterOptions, EmitterConnectionAdapter } from "effect-emitter/tanstack-ai"
import { until } from "../../client/devices.ts"
import { token, user } from "../../gateway/server.ts"
import { type App, serveApp } from "../app.ts"

const say = (delta: string) => Emitter.emit(Event.critical(AgentEvents.TextDelta.make({ messageId: "m1", delta })))

/** Serves a run that says what it is given, until that ends. */
const serveSpeaker = Effect.gen(function*() {
  const pieces = yield* Queue.unbounded<string, Cause.Done>()
  const app = yield* serveApp(AgUi.layer({
    path: "/agent",
    run: (input) =>
      Stream.runForEach(Stream.fromQueue(pieces), say).pipe(
        Emitter.run({ agentName: "speaker", input: RunAgentInput.question(input) })
      )
  }))
  return { app, pieces }
})

const chatOf = Effect.fnUntraced(function*(app: App, options: Partial<AdapterOptions> = {}) {
  const shown = yield* token("ada")
  const connection = new EmitterConnectionAdapter({
    url: `${app.url}/events`,
    api: `${app.url}/agent`,
    token: shown,
    ...options
  })
  const errors: Array<Error> = []
  const chat = new ChatClient({
    connection,
    threadId: "t1",
    persistence: true,
    onError: (error) => {
      errors.push(error)
    }
  })
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      chat.dispose()
      connection.close()
    })
  )
  return { chat, connection, errors }
})

const textsOf = (chat: ChatClient): ReadonlyArray<readonly [string, string]> =>
  chat.getMessages().flatMap(({ parts, role }) =>
    parts.flatMap((part) => part.type === "text" ? [[role, part.content] as const] : [])
  )

const waits = 10

const shows = (chat: ChatClient, ...texts: ReadonlyArray<readonly [string, string]>) =>
  until(
    `the messages ${JSON.stringify(texts)}`,
    () => JSON.stringify(textsOf(chat)) === JSON.stringify(texts),
    waits
  )

describe("EmitterConnectionAdapter", () => {
  it.live(
    "shows a run character by character, to who asked, who joins in its middle, and who reloads",
    () =>
      Effect.gen(function*() {
        const { app, pieces } = yield* serveSpeaker
        const first = yield* chatOf(app)
        first.chat.attach()
        const asked = first.chat.sendMessage("What are streams?")
        yield* Queue.offerAll(pieces, ["Streams ", "are 👩‍🚀\n"])
        yield* shows(first.chat, ["user", "What are streams?"], ["assistant", "Streams are 👩‍🚀\n"])
        const second = yield* chatOf(app)
        second.chat.attach()
        yield* shows(second.chat, ["user", "What are streams?"], ["assistant", "Streams are 👩‍🚀\n"])
        yield* Queue.offerAll(pieces, ["{pull}", " <b>-based"])
        yield* Queue.end(pieces)
        yield* Effect.promise(() => asked)
        const late = yield* chatOf(app)
        late.chat.attach()
        for (const { chat, errors } of [first, second, late]) {
          yield* shows(chat, ["user", "What are streams?"], ["assistant", "Streams are 👩‍🚀\n{pull} <b>-based"])
          yield* until("the end", () => chat.getStatus() === "ready" && !chat.getIsLoading(), waits)
          assert.deepStrictEqual(errors, [])
        }
      }),
    120_000
  )

  it.live(
    "stops its run for all devices, also from a page that joined it; one that leaves stops nothing",
    () =>
      Effect.gen(function*() {
        const { app, pieces } = yield* serveSpeaker
        const first = yield* chatOf(app, { abort: "leave" })
        first.chat.attach()
        void first.chat.sendMessage("Go on")
        yield* Queue.offer(pieces, "one")
        yield* shows(first.chat, ["user", "Go on"], ["assistant", "one"])
        first.chat.stop()
        const second = yield* chatOf(app)
        second.chat.attach()
        yield* shows(second.chat, ["user", "Go on"], ["assistant", "one"])
        const statuses = Effect.map(
          app.broker.snapshots(user("ada"), undefined, { count: 4 }),
          ({ snapshots }) => snapshots.map(({ state }) => [state.status, state.endedBy])
        )
        assert.deepStrictEqual(yield* statuses, [["active", undefined]])
        second.chat.stop()
        yield* until(
          "the run to end",
          () => first.connection.connection.runs.getSnapshot().every(({ status }) => status === "cancelled"),
          waits
        )
        assert.deepStrictEqual(yield* statuses, [["cancelled", "user"]])
      }),
    120_000
  )

  it.live("answers what the run asks, and is told the rest behind what it was told", () =>
    Effect.gen(function*() {
      const app = yield* serveApp(AgUi.layer({
        path: "/agent",
        run: () =>
          say("It is written. ").pipe(
            Effect.andThen(Emitter.ask({ kind: "text", title: "To whom?", timeout: "10 minutes" })),
            Effect.flatMap((name) => say(`Sent to ${name}.`)),
            Emitter.run({ agentName: "sender", input: "Write" })
          )
      }))
      const { chat, errors } = yield* chatOf(app)
      chat.attach()
      void chat.sendMessage("Write")
      yield* until("the request", () => chat.getInterrupts().length === 1, waits)
      const late = yield* chatOf(app)
      late.chat.attach()
      yield* until("the request in another page", () => late.chat.getInterrupts().length === 1, waits)
      yield* shows(late.chat, ["user", "Write"], ["assistant", "It is written. "])
      const [interrupt] = chat.getInterrupts()
      if (interrupt?.kind !== "generic") return assert.fail("a request that any answer resolves is needed")
      interrupt.resolveInterrupt("Bob")
      yield* shows(chat, ["user", "Write"], ["assistant", "It is written. Sent to Bob."])
      assert.deepStrictEqual(errors, [])
    }), 120_000)

  it.live(
    "tells why a run is not to be had: a request that is refused, a connection that has stopped",
    () =>
      Effect.gen(function*() {
        const { app } = yield* serveSpeaker
        const refused = yield* chatOf(app, { headers: { authorization: "Bearer nonsense" } })
        refused.chat.attach()
        yield* Effect.promise(() => refused.chat.sendMessage("Hello"))
        assert.lengthOf(refused.errors, 1)
        const stopped = yield* chatOf(app)
        stopped.chat.attach()
        stopped.connection.close()
        yield* Effect.promise(() => stopped.chat.sendMessage("Hello"))
        assert.lengthOf(stopped.errors, 1)
      }),
    120_000
  )
})
