/**
 * `AgUi.layer` on a real port, and the published clients of AG-UI against it.
 */
import { HttpAgent } from "@ag-ui/client"
import { assert, describe, it } from "@effect/vitest"
import { HttpAgent as OldAgent } from "ag-ui-client-0.0.59"
import { Deferred, Effect, Schema } from "effect"
import { AgentEvents, Broker, Emitter, Identity, UserLog } from "effect-emitter"
import { AgUi, RunAgentInput } from "effect-emitter/ag-ui"
import { SignIn } from "effect-emitter/http"
import { envelope, token, user } from "../../gateway/server.ts"
import { parseEvents, serveApp } from "../app.ts"

const text = "Streams are pull-based: 日本語 👩‍🚀\n\ndata: {}\n"

const speak = (delta: string) => Emitter.emit(AgentEvents.TextDelta.make({ messageId: "m1", delta }))

/** Says what it was asked and the rest, one code point at a time. */
const answer = (input: RunAgentInput.RunAgentInput) =>
  Effect.forEach(`${RunAgentInput.question(input)} ${text}`, speak, { discard: true }).pipe(
    Emitter.run({ agentName: "speaker", result: () => ({ length: text.length }) })
  )

const input = (more: object = {}) => ({
  threadId: "t1",
  runId: "r1",
  state: {},
  messages: [{ id: "u1", role: "user", content: "What are streams?" }],
  tools: [],
  context: [],
  forwardedProps: {},
  ...more
})

interface Sent {
  readonly type: string
  readonly [field: string]: Schema.Json
}

const Sent = Schema.fromJsonString(Schema.StructWithRest(Schema.Struct({ type: Schema.String }), [
  Schema.Record(Schema.String, Schema.Json)
]))

const eventsOf = (response: Response): Effect.Effect<ReadonlyArray<Sent>> =>
  Effect.promise(async () => parseEvents(await response.text()).map(({ data }) => Schema.decodeUnknownSync(Sent)(data)))

const clients = [["1.0.0", HttpAgent], ["0.0.59", OldAgent]] as const

for (const [version, Client] of clients) {
  describe(`The client ${version}`, () => {
    it.live("runs the program, signed in, and has its text character by character", () =>
      Effect.gen(function*() {
        const app = yield* serveApp(AgUi.layer({ path: "/agent", run: answer }))
        const authorization = `Bearer ${yield* token("ada")}`
        const agent = new Client({
          url: `${app.url}/agent`,
          headers: { authorization },
          threadId: "t1",
          initialMessages: [{ id: "u1", role: "user", content: "What are streams?" }]
        })
        const { newMessages, result } = yield* Effect.promise(async () => await agent.runAgent({ runId: "r1" }))
        assert.deepStrictEqual(result, { length: text.length })
        assert.deepStrictEqual(newMessages.map(({ content, role }) => [role, content]), [
          ["assistant", `What are streams? ${text}`]
        ])
        const { runs } = yield* Effect.provideService(UserLog.runs(user("ada")), Broker.Broker, app.broker)
        assert.deepStrictEqual(runs.map(({ run, state }) => [run, state.thread, state.status]), [
          ["r1", "t1", "completed"]
        ])
      }))

    it.live("is answered a request of the run as it understands it", () =>
      Effect.gen(function*() {
        const ask = Emitter.ask({ kind: "approval", title: "Send it?", timeout: "1 minute" }).pipe(
          Effect.tap((isSure) => speak(isSure ? "sent" : "kept")),
          Emitter.run({ agentName: "sender" })
        )
        const app = yield* serveApp(AgUi.layer({ path: "/agent", run: () => ask }))
        const agent = new Client({
          url: `${app.url}/agent`,
          headers: { authorization: `Bearer ${yield* token("ada")}` },
          threadId: "t1"
        })
        const asked = yield* Deferred.make<void>()
        agent.subscribe({
          onCustomEvent: ({ event }) => {
            if (event.name === "input_requested") Deferred.doneUnsafe(asked, Effect.void)
          },
          onRunFinishedEvent: () => {
            Deferred.doneUnsafe(asked, Effect.void)
          }
        })
        const first = agent.runAgent({ runId: "r1" })
        yield* Deferred.await(asked)
        if (version === "1.0.0") {
          yield* Effect.promise(async () => await first)
          const [interrupt] = agent.pendingInterrupts
          assert.strictEqual(interrupt?.message, "Send it?")
          const resume = [{ interruptId: interrupt?.id ?? "", status: "resolved" as const, payload: true }]
          yield* Effect.promise(async () => await agent.runAgent({ runId: "r2", resume }))
        } else {
          yield* app.gateway.command({ userId: user("ada"), expiresAt: undefined }, {
            id: Identity.Id.pipe(Schema.brand("CommandId")).make("c1"),
            run: Identity.RunId.make("r1"),
            name: "answer",
            data: { requestId: yield* openRequest(app), answer: true }
          })
          yield* Effect.promise(async () => await first)
        }
        assert.deepStrictEqual(agent.messages.map(({ content }) => content), ["sent"])
      }))
  })
}

for (const [version, Client] of clients) {
  describe(`The client ${version}`, () => {
    it.live("shows a run of a later version, with events, fields and words that nobody knows yet", () =>
      Effect.gen(function*() {
        const app = yield* serveApp(AgUi.layer({ path: "/agent", run: answer }))
        const emit = (type: string, data: Record<string, string | number>) =>
          app.broker.append(user("ada"), [envelope(data, { run: "r1", thread: "t1", type })])
        yield* emit("agent_started", { agentName: "a", mood: "good" })
        yield* emit("text_delta", { messageId: "m1", delta: "one", tone: "low" })
        yield* emit("mood_changed", { mood: "bad" })
        const headers = { authorization: `Bearer ${yield* token("ada")}` }
        const agent = new Client({ url: `${app.url}/agent`, headers, threadId: "t1" })
        const customs: Array<string> = []
        const joined = yield* Deferred.make<void>()
        agent.subscribe({
          onRunStartedEvent: () => {
            Deferred.doneUnsafe(joined, Effect.void)
          },
          onCustomEvent: ({ event }) => {
            customs.push(event.name)
          }
        })
        const running = agent.runAgent({ runId: "r1" })
        yield* Deferred.await(joined)
        yield* emit("mood_changed", { mood: "good" })
        yield* emit("input_requested", { requestId: "q1", kind: "signature", title: "Sign it?" })
        yield* emit("text_delta", { messageId: "m1", delta: " two", tone: "high" })
        yield* emit("agent_completed", { agentName: "a", durationMs: 1, mood: "fine" })
        yield* Effect.promise(async () => await running)
        assert.deepStrictEqual(agent.messages.map(({ content }) => content), ["one two"])
        assert.include(customs, "mood_changed")
      }))
  })
}

const openRequest = (app: { readonly broker: Broker.Broker["Service"] }) =>
  Effect.map(app.broker.snapshot(user("ada"), Identity.RunId.make("r1")), ({ snapshot }) => {
    const request = snapshot?.state.parts.find((part) => part.type === "request")
    return request?.type === "request" ? request.requestId : assert.fail("nothing was asked")
  })

describe("A request", () => {
  it.live("that does not fit is refused with path and reason, whatever is wrong with it", () =>
    Effect.gen(function*() {
      const app = yield* serveApp(AgUi.layer({ path: "/agent", run: answer }))
      const refusals: ReadonlyArray<readonly [unknown, number, RegExp]> = [
        ["{", 400, /JSON/u],
        [null, 400, /object/iu],
        [[], 400, /./u],
        [input({ runId: "a b" }), 400, /^runId: .*white space/u],
        [input({ runId: "undefined" }), 400, /^runId: "undefined" is a placeholder/u],
        [input({ threadId: "" }), 400, /^threadId: an id must not be empty/u],
        [input({ threadId: "x".repeat(129) }), 400, /^threadId: .*128/u],
        [{ ...input(), messages: undefined }, 400, /^messages: /u],
        [input({ messages: [{ id: "u1" }] }), 400, /^messages\.0\.role: /u],
        [input({ messages: [{ id: 7, role: "user" }] }), 400, /^messages\.0\.id: /u],
        [input({ resume: [{ interruptId: "r1:q1", status: "maybe" }] }), 400, /^resume\.0\.status: /u],
        [input({ resume: [{ interruptId: "r1:q1", status: "resolved" }] }), 409, /^resume\.0\.interruptId: /u]
      ]
      for (const [body, status, reason] of refusals) {
        const response = yield* app.post("/agent", body)
        const told: unknown = yield* Effect.promise(() => response.json())
        const message = typeof told === "object" && told !== null && "message" in told ? String(told.message) : ""
        assert.strictEqual(response.status, status, JSON.stringify(body))
        assert.match(message, reason)
      }
      assert.deepStrictEqual(
        (yield* Effect.provideService(UserLog.runs(user("ada")), Broker.Broker, app.broker)).runs,
        []
      )
    }))

  it.live("of a later version of AG-UI is taken, with roles and fields that nobody knows yet", () =>
    Effect.gen(function*() {
      const app = yield* serveApp(AgUi.layer({ path: "/agent", run: answer }))
      const messages = [{ id: "u1", role: "oracle", content: [{ type: "scent" }], aura: 7 }]
      const events = yield* eventsOf(
        yield* app.post("/agent", input({ protocolVersion: "3.1", messages, mood: "good" }))
      )
      assert.deepStrictEqual([events[0]?.type, events.at(-1)?.type], ["RUN_STARTED", "RUN_FINISHED"])
      assert.notProperty(events.at(-1), "outcome")
    }))

  it.live("that comes twice runs the program once", () =>
    Effect.gen(function*() {
      let starts = 0
      const app = yield* serveApp(AgUi.layer({
        path: "/agent",
        run: (given) => {
          starts++
          return answer(given)
        }
      }))
      const responses = yield* Effect.all([app.post("/agent", input()), app.post("/agent", input())], {
        concurrency: 2
      })
      const first = (yield* Effect.forEach(responses, eventsOf)).map((events) => events.at(-1))
      const again = yield* eventsOf(yield* app.post("/agent", input()))
      for (const last of [...first, again.at(-1)]) assert.strictEqual(last?.type, "RUN_FINISHED")
      assert.deepStrictEqual(again.map(({ type }) => type), ["RUN_STARTED", "MESSAGES_SNAPSHOT", "RUN_FINISHED"])
      assert.strictEqual(starts, 1)
    }))

  it.live("has the program know who asks", () =>
    Effect.gen(function*() {
      const who = Effect.flatMap(SignIn.Principal, ({ claims, userId }) => speak(`${userId} ${claims?.["plan"]}`))
      const app = yield* serveApp(AgUi.layer({ path: "/agent", run: () => Emitter.run(who, { agentName: "who" }) }))
      const shown = yield* token("bob", { claims: { plan: "paid" } })
      const response = yield* app.post("/agent", input(), { headers: { authorization: `Bearer ${shown}` } })
      const events = yield* eventsOf(response)
      assert.deepStrictEqual(events.flatMap(({ delta }) => delta ?? []), ["bob paid"])
    }))

  it.live("whose program fails before its run is told so, and the server's log why", () =>
    Effect.gen(function*() {
      const app = yield* serveApp(AgUi.layer({ path: "/agent", run: () => Effect.fail("no model") }))
      const events = yield* eventsOf(yield* app.post("/agent", input()))
      assert.deepStrictEqual(events.map(({ code, type }) => [type, code]), [
        ["RUN_STARTED", undefined],
        ["RUN_ERROR", "missing"]
      ])
    }))
})

describe("An answer to a request of the run", () => {
  const asking = Emitter.ask({ kind: "choice", title: "Which?", options: ["a", "b"], timeout: "1 minute" }).pipe(
    Effect.flatMap(speak),
    Emitter.run({ agentName: "asker" })
  )

  const interruptOf = (events: ReadonlyArray<Sent>): string => {
    const found = /"interrupts":\[\{"id":"([^"]+)"/u.exec(JSON.stringify(events.at(-1)))
    return found?.[1] ?? assert.fail(JSON.stringify(events.at(-1)))
  }

  it.live("that does not fit is refused with its path, and the right one is taken after it", () =>
    Effect.gen(function*() {
      const app = yield* serveApp(AgUi.layer({ path: "/agent", run: () => asking }))
      const interruptId = interruptOf(yield* eventsOf(yield* app.post("/agent", input({ protocolVersion: "1.0" }))))
      const resume = (payload: unknown, runId: string) =>
        app.post(
          "/agent",
          input({ protocolVersion: "1.0", runId, resume: [{ interruptId, status: "resolved", payload }] })
        )
      const refused = yield* resume("c", "r2")
      assert.strictEqual(refused.status, 400)
      assert.include(yield* Effect.promise(() => refused.text()), "resume.0.payload")
      const events = yield* eventsOf(yield* resume("b", "r3"))
      assert.deepInclude(events[0], { type: "RUN_STARTED", runId: "r3" })
      assert.deepInclude(events.at(-1), { type: "RUN_FINISHED", runId: "r3" })
      assert.include(JSON.stringify(events), "\"b\"")
      // Another page that answers late reads the same end.
      const late = yield* eventsOf(yield* resume("a", "r4"))
      assert.deepInclude(late.at(-1), { type: "RUN_FINISHED", runId: "r4" })
      const other = yield* app.post("/agent", input({ threadId: "t2", resume: [{ interruptId, status: "cancelled" }] }))
      assert.strictEqual(other.status, 409)
    }))

  it.live("that there will be none ends the run", () =>
    Effect.gen(function*() {
      const app = yield* serveApp(AgUi.layer({ path: "/agent", run: () => asking }))
      const interruptId = interruptOf(yield* eventsOf(yield* app.post("/agent", input({ protocolVersion: "1.0" }))))
      const resume = [{ interruptId, status: "cancelled" }]
      const events = yield* eventsOf(
        yield* app.post("/agent", input({ protocolVersion: "1.0", runId: "r2", resume }))
      )
      assert.deepInclude(events.at(-1), { type: "RUN_FINISHED", runId: "r2", outcome: { type: "cancelled" } })
    }))
})
