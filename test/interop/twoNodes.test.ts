/**
 * The first requests for one run, at two nodes at the same moment: one of them starts the program.
 */
import { HttpAgent } from "@ag-ui/client"
import { assert, describe, it } from "@effect/vitest"
import { DefaultChatTransport, readUIMessageStream, type UIMessage } from "ai"
import { Context, Deferred, Effect, Exit, Fiber, Layer, Logger, Scope } from "effect"
import { AgentEvents, Broker, Emitter, Event, Identity } from "effect-emitter"
import { AgUi } from "effect-emitter/ag-ui"
import { AiSdk } from "effect-emitter/ai-sdk"
import { eventually } from "../broker/events.ts"
import { LeaseRegistry } from "../broker/leases/leaseRegistry.ts"
import { token, user } from "../gateway/server.ts"
import { type App, serveApp } from "./app.ts"

const say = (delta: string) => Emitter.emit(Event.critical(AgentEvents.TextDelta.make({ messageId: "m", delta })))

const ada = user("ada")

/** A client asks for the same run as all others, and gives the text that it shows in the end. */
type Ask = (app: App) => Effect.Effect<string>

const overAgUi: Ask = (app) =>
  Effect.flatMap(token("ada"), (shown) =>
    Effect.promise(async () => {
      const agent = new HttpAgent({
        url: `${app.url}/agent`,
        headers: { authorization: `Bearer ${shown}` },
        threadId: "t1",
        initialMessages: [{ id: "u1", role: "user", content: "hello" }]
      })
      await agent.runAgent({ runId: "r1" })
      return agent.messages.filter(({ role }) => role === "assistant").map(({ content }) => String(content)).join()
    }))

const overAiSdk: Ask = (app) =>
  Effect.flatMap(token("ada"), (shown) =>
    Effect.promise(async () => {
      const headers = { authorization: `Bearer ${shown}` }
      const transport = new DefaultChatTransport<UIMessage>({ api: `${app.url}/chat`, headers, body: { runId: "r1" } })
      const stream = await transport.sendMessages({
        trigger: "submit-message",
        chatId: "t1",
        messageId: undefined,
        messages: [{ id: "q1", role: "user", parts: [{ type: "text", text: "hello" }] }],
        abortSignal: undefined
      })
      let text = ""
      for await (const { parts } of readUIMessageStream({ stream })) {
        text = parts.map((part) => part.type === "text" ? part.text : "").join("")
      }
      return text
    }))

/** Two nodes over one log, each with a gateway; `around` comes between the first looks of each for the run and what it hears. */
const twoNodes = Effect.fnUntraced(function*(around: Effect.Effect<void> = Effect.void) {
  const memory = Context.get(yield* Layer.build(Broker.layerMemory()), Broker.Broker)
  const registry = yield* LeaseRegistry.make("30 seconds", memory)
  const more = yield* Deferred.make<void>()
  const starts: Array<string> = []
  const node = Effect.fnUntraced(function*(name: string) {
    let looks = 0
    const snapshot: Broker.Broker["Service"]["snapshot"] = (of, run) =>
      Effect.tap(memory.snapshot(of, run), () => looks++ < 2 ? around : Effect.void)
    const broker = yield* registry.process({ name, broker: { ...memory, snapshot } })
    const run = () =>
      Effect.gen(function*() {
        starts.push(name)
        yield* Effect.gen(function*() {
          yield* say("one")
          yield* Deferred.await(more)
          yield* say(" two")
        }).pipe(Emitter.run({ agentName: "speaker" }))
      })
    const routes = Layer.mergeAll(AgUi.layer({ path: "/agent", run }), AiSdk.layer({ path: "/chat", run }))
    return { broker, app: yield* serveApp(routes, {}, { broker: Layer.succeed(Broker.Broker, broker) }) }
  })
  return {
    first: yield* node("first"),
    second: yield* node("second"),
    memory,
    starts,
    more: Deferred.succeed(more, undefined)
  }
})

const readersOf = (broker: Broker.Broker["Service"]) => Effect.orDie(broker.readers(ada))

for (const [name, ask] of [["AG-UI", overAgUi], ["the AI SDK", overAiSdk]] as const) {
  describe(`A run of ${name} that two nodes are asked for at the same moment`, () => {
    it.live("is started by one of them, and both tell it, character by character", () =>
      Effect.gen(function*() {
        // What a node sees is old when it hears of it: each sees that nobody knows the run, however often it looks at first.
        const { first, memory, more, second, starts } = yield* twoNodes(Effect.sleep("300 millis"))
        const asked = yield* Effect.forkChild(
          Effect.all([ask(first.app), ask(second.app)], { concurrency: 2 })
        )
        // An answer reads the run, and looks whether its user is sent away.
        yield* eventually(readersOf(memory), (readers) => readers >= 4, "both answers to read the run", 20)
        yield* more
        assert.deepStrictEqual(yield* Fiber.join(asked), ["one two", "one two"])
        assert.lengthOf(starts, 1)
        const { entries } = yield* memory.pull(ada, { epoch: (yield* memory.head(ada)).epoch, offset: 0 }, {
          maxEvents: 100,
          maxBytes: 100_000
        })
        assert.lengthOf(entries.filter(({ type }) => type === "agent_started"), 1)
      }).pipe(Effect.provide(Logger.layer([]))), 60_000)

    it.live(
      "is begun by whoever waits for it, where the one that was to begin it is gone",
      () =>
        Effect.gen(function*() {
          const { first, more, second, starts } = yield* twoNodes()
          yield* more
          const gone = yield* Scope.make()
          assert.isTrue(yield* Scope.provide(first.broker.claim(ada, Identity.RunId.make("r1")), gone))
          const asked = yield* Effect.forkChild(ask(second.app))
          yield* eventually(readersOf(second.broker), (readers) => readers >= 2, "the answer to wait for the run", 20)
          assert.deepStrictEqual(starts, [])
          yield* Scope.close(gone, Exit.void)
          assert.strictEqual(yield* Fiber.join(asked), "one two")
          assert.deepStrictEqual(starts, ["second"])
        }).pipe(Effect.provide(Logger.layer([]))),
      60_000
    )
  })
}
