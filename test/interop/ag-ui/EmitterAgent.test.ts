/**
 * The agent for pages, over real sockets.
 */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect } from "effect"
import { AgentEvents, Emitter, Identity } from "effect-emitter"
import { AgUi } from "effect-emitter/ag-ui"
import { EmitterAgent } from "effect-emitter/ag-ui/client"
import { until } from "../../client/devices.ts"
import { token, user } from "../../gateway/server.ts"
import { type App, serveApp } from "../app.ts"

const say = (delta: string) => Emitter.emit(AgentEvents.TextDelta.make({ messageId: "m1", delta }))

const question = { id: "u1", role: "user" as const, content: "What are streams?" }

const agentOf = Effect.fnUntraced(function*(app: App) {
  const text = yield* token("ada")
  return yield* Effect.acquireRelease(
    Effect.sync(() =>
      new EmitterAgent({
        threadId: "t1",
        api: `${app.url}/agent`,
        initialMessages: [question],
        connection: { url: `${app.url}/events`, token: text }
      })
    ),
    (agent) => Effect.sync(() => agent.close())
  )
})

const textsOf = (agent: EmitterAgent) =>
  agent.messages.flatMap(({ content, role }) => role === "assistant" ? [content] : [])

/** Says `one`, and `two` once it is let. */
const makeProgram = Effect.gen(function*() {
  const more = yield* Deferred.make<void>()
  const said = yield* Deferred.make<void>()
  const program = Effect.gen(function*() {
    yield* say("one 日本語 ")
    yield* Emitter.emit(AgentEvents.AgentThinking.make({ text: "more to come" }))
    yield* Deferred.succeed(said, undefined)
    yield* Deferred.await(more)
    yield* say("two 👩‍🚀")
  }).pipe(Emitter.run({ agentName: "speaker" }))
  return { more, program, said }
})

describe("EmitterAgent", () => {
  it.live("runs the program, and another one, a clone and a page that comes late are shown the same by connect", () =>
    Effect.gen(function*() {
      const { more, program, said } = yield* makeProgram
      const app = yield* serveApp(AgUi.layer({ path: "/agent", run: () => program }))
      const first = yield* agentOf(app)
      const running = first.runAgent({ runId: "r1" })
      yield* Deferred.await(said)
      const second = yield* agentOf(app)
      const clone = second.clone()
      const connected = [second.connectAgent(), clone.connectAgent()]
      yield* Deferred.succeed(more, undefined)
      yield* Effect.promise(() => Promise.all([running, ...connected]))
      const late = yield* agentOf(app)
      yield* Effect.promise(() => late.connectAgent())
      for (const agent of [first, second, clone, late]) {
        assert.deepStrictEqual(agent.messages.slice(0, 1), [question])
        assert.deepStrictEqual(textsOf(agent), ["one 日本語 two 👩‍🚀"])
      }
    }))

  it.live("stops its run by a command, where a detached one goes on", () =>
    Effect.gen(function*() {
      const { program, said } = yield* makeProgram
      const app = yield* serveApp(AgUi.layer({ path: "/agent", run: () => program }))
      const agent = yield* agentOf(app)
      const running = agent.runAgent({ runId: "r1" })
      yield* Deferred.await(said)
      const state = Effect.map(
        app.broker.snapshot(user("ada"), Identity.RunId.make("r1")),
        ({ snapshot }) => snapshot?.state
      )
      yield* until("its page knows of it", () => agent.connection.run("r1").get() !== undefined)
      yield* Effect.promise(() => agent.detachActiveRun())
      yield* Effect.promise(() => running)
      assert.strictEqual((yield* state)?.status, "active")
      const outcomes: Array<string> = []
      agent.subscribe({
        onRunStartedEvent: () => agent.abortRun(),
        onRunFinishedEvent: ({ outcome }) => {
          outcomes.push(outcome)
        }
      })
      yield* Effect.promise(() => agent.connectAgent())
      assert.deepStrictEqual(outcomes, ["cancelled"])
      const ended = yield* state
      assert.deepStrictEqual([ended?.status, ended?.endedBy], ["cancelled", "user"])
    }))

  it.live("is asked by the run, answers it, and is told the rest", () =>
    Effect.gen(function*() {
      const program = Emitter.ask({ kind: "approval", title: "Send it?", timeout: "1 minute" }).pipe(
        Effect.flatMap((isSure) => say(isSure ? "sent" : "kept")),
        Emitter.run({ agentName: "sender" })
      )
      const app = yield* serveApp(AgUi.layer({ path: "/agent", run: () => program }))
      const agent = yield* agentOf(app)
      yield* Effect.promise(() => agent.runAgent({ runId: "r1" }))
      const resume = agent.pendingInterrupts.map(({ id }) => ({
        interruptId: id,
        status: "resolved" as const,
        payload: true
      }))
      assert.lengthOf(resume, 1)
      yield* Effect.promise(() => agent.runAgent({ runId: "r2", resume }))
      assert.deepStrictEqual(textsOf(agent), ["sent"])
    }))

  it.live("watches for runs that others began, and for one that was answered elsewhere", () =>
    Effect.gen(function*() {
      const program = Emitter.ask({ kind: "approval", title: "Send it?", timeout: "1 minute" }).pipe(
        Effect.flatMap((isSure) => say(isSure ? "sent" : "kept")),
        Emitter.run({ agentName: "sender" })
      )
      const app = yield* serveApp(AgUi.layer({ path: "/agent", run: () => program }))
      const [first, second] = [yield* agentOf(app), yield* agentOf(app)]
      const told: Array<Promise<unknown>> = []
      first.watch(() => void told.push(first.connectAgent()))
      yield* Effect.promise(() => second.runAgent({ runId: "r1" }))
      yield* until("a run that another began", () => first.pendingInterrupts.length > 0, 20)
      const resume = second.pendingInterrupts.map(({ id }) => ({
        interruptId: id,
        status: "resolved" as const,
        payload: true
      }))
      yield* Effect.promise(() => second.runAgent({ runId: "r2", resume }))
      yield* until("its answer", () => textsOf(first).includes("sent"), 20)
      yield* Effect.promise(() => Promise.all(told))
      assert.deepStrictEqual([textsOf(first), first.pendingInterrupts, told.length], [["sent"], [], 2])
    }))

  it.live("says why nothing comes any more", () =>
    Effect.gen(function*() {
      const { program } = yield* makeProgram
      const app = yield* serveApp(AgUi.layer({ path: "/agent", run: () => program }))
      const agent = yield* agentOf(app)
      agent.close()
      for (const ask of [() => agent.connectAgent(), () => agent.runAgent()]) {
        const failed = yield* Effect.flip(Effect.tryPromise({ try: ask, catch: (error) => String(error) }))
        assert.strictEqual(failed, "Error: Disconnected.")
      }
    }))
})
