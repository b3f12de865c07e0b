import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { Position } from "effect-emitter"
import * as Client from "effect-emitter/client"
import { append, connect, dial, envelope, serve, token, user } from "./server.ts"

const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, index) => from + index)

describe("Delivery", () => {
  it.live("hands a device everything that is appended after its welcome, in order", () =>
    Effect.gen(function*() {
      const served = yield* serve()
      yield* append(served, "ada", 1, 2)
      const device = yield* connect(served, "ada")
      assert.deepStrictEqual([device.welcome.offset, device.welcome.recovered], [2, true])
      yield* append(served, "ada", ...range(3, 1000))
      yield* device.received(998)
      assert.deepStrictEqual(device.numbers(), range(3, 1000))
    }))

  it.live("puts what is appended in one turn into one frame", () =>
    Effect.gen(function*() {
      const served = yield* serve()
      const device = yield* connect(served, "ada")
      yield* append(served, "ada", ...range(1, 50))
      yield* device.received(50)
      assert.deepStrictEqual(device.frames.map(({ type }) => type), ["welcome", "events"])
    }))

  it.live("says in the welcome which gateway it is, where that has a name", () =>
    Effect.gen(function*() {
      const named = yield* connect(yield* serve({ name: "node-7" }), "ada")
      assert.match(named.welcome.connection, /^node-7\.[a-z0-9]+-0$/)
      const nameless = yield* connect(yield* serve(), "ada")
      assert.match(nameless.welcome.connection, /^[a-z0-9]+-0$/)
    }))

  it.live("takes a token in the Authorization header as well", () =>
    Effect.gen(function*() {
      const served = yield* serve()
      const device = yield* dial(served.url, { authorization: `Bearer ${yield* token("ada")}` })
      yield* device.send({ type: "hello" })
      yield* device.take("welcome")
      yield* append(served, "ada", 1)
      yield* device.received(1)
    }))

  it.live("keeps users apart", () =>
    Effect.gen(function*() {
      const served = yield* serve()
      const ada = yield* connect(served, "ada")
      const bob = yield* connect(served, "bob")
      for (const n of range(1, 100)) {
        yield* append(served, n % 3 === 0 ? "bob" : "ada", n)
        if (n % 10 === 0) yield* Effect.yieldNow
      }
      yield* ada.received(67)
      yield* bob.received(33)
      yield* Effect.sleep("20 millis")
      assert.deepStrictEqual(ada.numbers(), range(1, 100).filter((n) => n % 3 !== 0))
      assert.deepStrictEqual(bob.numbers(), range(1, 100).filter((n) => n % 3 === 0))
    }))

  it.live("gives every device of a user its own cursor", () =>
    Effect.gen(function*() {
      const served = yield* serve()
      const phone = yield* connect(served, "ada")
      yield* append(served, "ada", 1, 2, 3)
      yield* phone.received(3)
      yield* phone.send({ type: "ack", offset: 3 })
      const laptop = yield* connect(served, "ada", { resume: { epoch: phone.welcome.epoch, offset: 1 } })
      yield* laptop.received(2)
      assert.isTrue(laptop.welcome.recovered)
      assert.deepStrictEqual(laptop.numbers(), [2, 3])
    }))

  it.live("passes acknowledgements on, and believes none of what was never sent", () =>
    Effect.gen(function*() {
      const served = yield* serve()
      const device = yield* connect(served, "ada")
      for (const n of [1, 2]) yield* served.broker.append(user("ada"), [envelope({ n }, { confirm: true })])
      yield* device.received(2)
      const head = yield* served.broker.head(user("ada"))
      const confirmed = yield* Effect.forkChild(served.broker.acknowledged(user("ada"), head))
      yield* device.send({ type: "ack", offset: 1000 })
      yield* device.send({ type: "ack", offset: 1 })
      yield* Effect.sleep("30 millis")
      assert.isUndefined(confirmed.pollUnsafe())
      yield* device.send({ type: "ack", offset: 2 })
      yield* Fiber.join(confirmed)
    }))

  it.live("resumes page by page, while new events are appended, without hole or repeat", () =>
    Effect.gen(function*() {
      const served = yield* serve({ maxFrameBytesOut: 2048 })
      yield* append(served, "ada", ...range(1, 2000))
      const { epoch } = yield* served.broker.head(user("ada"))
      const live = yield* Effect.forkChild(
        Effect.forEach(range(2001, 2500), (n) => Effect.andThen(append(served, "ada", n), Effect.yieldNow))
      )
      const device = yield* connect(served, "ada", { resume: { epoch, offset: 100 } })
      yield* Fiber.join(live)
      yield* device.received(2400)
      assert.deepStrictEqual(device.numbers(), range(101, 2500))
    }))

  it.live("says what is missing when a position is no longer kept, and resumes as often as asked", () =>
    Effect.gen(function*() {
      const served = yield* serve()
      yield* append(served, "ada", ...range(1, 5000))
      const { epoch } = yield* served.broker.head(user("ada"))
      for (const _ of range(1, 3)) {
        const device = yield* connect(served, "ada", { resume: { epoch, offset: 10 } })
        assert.isFalse(device.welcome.recovered)
        const gap = yield* device.take("gap")
        assert.deepStrictEqual(gap, { type: "gap", epoch, from: 11, to: 904, reason: "retention", snapshots: 0 })
        yield* device.received(4096)
        assert.deepStrictEqual(device.numbers(), range(905, 5000))
      }
    }))

  it.live("starts a device of an unknown epoch over, with snapshots of the runs", () =>
    Effect.gen(function*() {
      const served = yield* serve()
      yield* served.broker.append(user("ada"), [
        envelope({ agentName: "a" }, { type: "agent_started", run: "r1" }),
        envelope({ messageId: "m", delta: "hel" }, { type: "text_delta", run: "r1" })
      ])
      const { epoch } = yield* served.broker.head(user("ada"))
      const device = yield* connect(served, "ada", { resume: { epoch: "elsewhere", offset: 7 } })
      assert.deepStrictEqual([device.welcome.epoch, device.welcome.recovered], [epoch, false])
      const gap = yield* device.take("gap")
      assert.deepStrictEqual(gap, { type: "gap", epoch, from: 1, to: 0, reason: "epoch", snapshots: 1 })
      const snapshot = yield* device.take("snapshot")
      assert.deepStrictEqual([snapshot.run, snapshot.state.status], ["r1", "active"])
      const events = yield* device.take("events")
      assert.deepStrictEqual(events.events.map(({ type }) => type), ["agent_started", "text_delta"])
    }))

  it.live("gives a device the recent runs that it asks for, and refuses one that asks for too many", () =>
    Effect.gen(function*() {
      const served = yield* serve({ maxSnapshots: 3 })
      const run = (id: string, type: string) => envelope({ agentName: "a", durationMs: 1 }, { type, run: id })
      for (const id of ["r1", "r2"]) {
        yield* served.broker.append(user("ada"), [run(id, "agent_started"), run(id, "agent_completed")])
      }
      yield* served.broker.append(user("ada"), [run("r3", "agent_started")])
      const { epoch } = yield* served.broker.head(user("ada"))
      for (const resume of [undefined, { epoch, offset: 2 }]) {
        const device = yield* connect(served, "ada", {
          snapshots: 1,
          ...(resume === undefined ? {} : { resume })
        })
        assert.strictEqual(device.welcome.snapshots, 2)
        const taken = [yield* device.take("snapshot"), yield* device.take("snapshot")]
        assert.deepStrictEqual<unknown>(taken.map(({ run, state }) => [run, state.status]), [
          ["r2", "completed"],
          ["r3", "active"]
        ])
        if (resume === undefined) continue
        const { events } = yield* device.take("events")
        assert.deepStrictEqual(events.map(({ offset }) => offset), [3, 4, 5])
      }
      const refused = yield* dial(served.url)
      yield* refused.send({ type: "hello", token: yield* token("ada"), snapshots: 4 })
      const { message } = yield* refused.take("error")
      assert.strictEqual(message, `"snapshots" in "hello" may be 3 at most, not 4: ask for fewer runs`)
      assert.strictEqual((yield* refused.closed).code, 4400)
    }))

  it.live("shows a new page the runs of one that never left, over WebSocket and server-sent events", () =>
    Effect.gen(function*() {
      const served = yield* serve()
      const say = (run: string, type: string, data: object = {}) =>
        served.broker.append(user("ada"), [envelope({ agentName: "a", durationMs: 1, ...data }, { type, run })])
      const given = yield* token("ada")
      const page = (transport: Client.TransportName, recentRuns?: number) =>
        Effect.map(
          Effect.acquireRelease(
            Effect.sync(() => Client.connect({ url: served.url, token: given, transports: [transport], recentRuns })),
            (connection) => Effect.sync(() => connection.close())
          ),
          ({ runs }) => runs
        )
      const seen = (runs: Client.Runs, count: number) =>
        Effect.callback<ReadonlyArray<Client.Run>>((resume) => {
          const look = () => {
            const list = runs.getSnapshot()
            if (list.length >= count && list.at(-1)?.parts.length === 2) resume(Effect.succeed(list))
          }
          runs.subscribe(look)
          look()
        })
      const stayed = yield* page("websocket")
      yield* Effect.sleep("5 millis").pipe(
        Effect.andThen(served.broker.readers(user("ada"))),
        Effect.repeat({ until: (readers) => readers === 1 })
      )
      for (const run of ["r1", "r2"]) {
        yield* say(run, "agent_started", { input: { q: run } })
        yield* say(run, "tool_executing", { toolCallId: "t", toolName: "search", input: [run] })
        yield* say(run, "text_delta", { messageId: "m", delta: run })
        yield* say(run, "tool_completed", { toolCallId: "t", toolName: "search", output: [run], isError: false })
        if (run === "r1") yield* say(run, "agent_completed", { result: { answer: run } })
      }
      const expected = yield* seen(stayed, 2)
      for (const transport of ["websocket", "sse"] as const) {
        assert.deepStrictEqual(yield* seen(yield* page(transport, 5), 2), expected)
      }
    }))

  it.live("gives a fresh device in mid-run a snapshot, then live events", () =>
    Effect.gen(function*() {
      const served = yield* serve()
      yield* served.broker.append(user("ada"), [
        envelope({ agentName: "a" }, { type: "agent_started", run: "r1" }),
        envelope({ messageId: "m", delta: "hel" }, { type: "text_delta", run: "r1" })
      ])
      const device = yield* connect(served, "ada")
      const snapshot = yield* device.take("snapshot")
      assert.deepStrictEqual([snapshot.run, snapshot.offset], ["r1", 2])
      yield* served.broker.append(user("ada"), [
        envelope({ messageId: "m", delta: "lo" }, { type: "text_delta", run: "r1" })
      ])
      const events = yield* device.take("events")
      assert.deepStrictEqual(events.events.map(({ offset }) => offset), [3])
    }))

  it.live("sends only the threads that were asked for, and what has none, and says how far it came", () =>
    Effect.gen(function*() {
      const served = yield* serve({ heartbeat: "200 millis" })
      const device = yield* connect(served, "ada", { threads: ["t1"] })
      const send = (n: number, thread?: string) =>
        served.broker.append(user("ada"), [envelope({ n }, thread === undefined ? {} : { thread })])
      yield* send(1, "t1")
      yield* send(2, "t2")
      yield* send(3)
      yield* device.received(2)
      assert.deepStrictEqual(device.numbers(), [1, 3])
      assert.strictEqual((yield* device.take("events")).upTo, 3)
      // Filtered offsets are told with the next heartbeat.
      yield* send(4, "t2")
      assert.deepStrictEqual(yield* device.take("events"), {
        type: "events",
        epoch: device.welcome.epoch,
        upTo: 4,
        events: []
      })
      yield* device.take("ping")
    }))

  it.live("tells a resuming device at once how far it came, when all it missed was filtered", () =>
    Effect.gen(function*() {
      const served = yield* serve()
      for (const n of range(1, 5)) yield* served.broker.append(user("ada"), [envelope({ n }, { thread: "t2" })])
      const { epoch } = yield* served.broker.head(user("ada"))
      const device = yield* connect(served, "ada", { threads: ["t1"], resume: { epoch, offset: 0 } })
      const events = yield* device.take("events")
      assert.deepStrictEqual([events.upTo, events.events.length], [5, 0])
      assert.strictEqual(Position.toText({ epoch: events.epoch, offset: events.upTo ?? 0 }), `${epoch}:5`)
    }))
})
