/** A user's log as a server's program reads it. */
import { assert } from "@effect/vitest"
import { Effect, Fiber, Schema, Stream } from "effect"
import { AgentEvents, Broker, Event, UserLog } from "effect-emitter"
import { RunId } from "../../../src/protocol/values/Identity.ts"
import type { BrokerTest } from "../brokerSuite.ts"
import { envelope, newUser, numbered } from "../events.ts"

const Counted = Event.make("counted", { payload: { count: Schema.FiniteFromString } })
const catalog = Event.catalog(Counted)

const counted = (from: number, to = from) =>
  Array.from({ length: to - from + 1 }, (_, index) => ({
    sequence: from + index,
    type: "counted",
    data: { count: `${from + index}` }
  })).map(envelope)

const started = (run: string, sequence: number) =>
  envelope({ sequence, run, type: "agent_started", data: { agentName: "a" } })
const completed = (run: string, sequence: number) =>
  envelope({ sequence, run, type: "agent_completed", data: { agentName: "a", durationMs: 1 } })

/** What was read, in short. */
const shown = (item: UserLog.Received<typeof Counted> | UserLog.Gap) =>
  item.type === "counted"
    ? item.payload.count
    : item.type === "$gap"
    ? `gap ${item.from}-${item.to} ${item.reason}`
    : `${item.name} ${item.problem}`

const read = (...args: Parameters<typeof UserLog.events>) => {
  const [user, , options] = args
  return Stream.map(UserLog.events(user, catalog, options), shown)
}

export const userLog = (test: BrokerTest): void => {
  test("gives what the log holds, decoded, and ends there", (broker) =>
    Effect.gen(function*() {
      const user = newUser()
      for (const event of counted(1, 3)) yield* broker.append(user, [event])
      yield* broker.append(user, numbered(4))
      yield* broker.append(user, [envelope({ sequence: 5, type: "counted", data: { count: 1 } })])
      const position = yield* broker.head(user)
      const all = yield* Stream.runCollect(UserLog.events(user, catalog))
      assert.deepStrictEqual(all[0], {
        type: "counted",
        epoch: position.epoch,
        offset: 1,
        id: "s.1",
        at: 1_000,
        run: undefined,
        thread: undefined,
        confirm: false,
        request: undefined,
        trace: undefined,
        payload: { count: 1 }
      })
      const [one, two, three, unknown, problem] = all.map(shown)
      assert.deepStrictEqual([one, two, three, unknown], [1, 2, 3, "custom undefined"])
      assert.match(String(problem), /^counted .*string/)

      const after = read(user, catalog, { after: { epoch: position.epoch, offset: 2 } })
      assert.strictEqual((yield* Stream.runCollect(after)).length, 3)
      assert.deepStrictEqual(yield* Stream.runCollect(read(user, catalog, { after: "head" })), [])
      assert.deepStrictEqual(yield* Stream.runCollect(read(newUser(), catalog)), [])
    }).pipe(Effect.provideService(Broker.Broker, broker)))

  test("goes on with what comes where it is live, from the head too", (broker) =>
    Effect.gen(function*() {
      const user = newUser()
      const appendAll = Effect.forEach(counted(1, 4), (event) => broker.append(user, [event]))
      const { epoch } = yield* broker.append(user, [envelope({ sequence: 1, source: "t" })])
      const live = yield* read(user, catalog, { after: "head", live: true }).pipe(
        Stream.take(4),
        Stream.runCollect,
        Effect.forkChild({ startImmediately: true })
      )
      const whole = yield* read(user, catalog, { live: true }).pipe(
        Stream.take(5),
        Stream.runCollect,
        Effect.forkChild({ startImmediately: true })
      )
      while ((yield* broker.readers(user)) < 2) yield* Effect.sleep(5)
      yield* appendAll
      assert.deepStrictEqual(yield* Fiber.join(live), [1, 2, 3, 4])
      assert.deepStrictEqual(yield* Fiber.join(whole), ["custom undefined", 1, 2, 3, 4])
      assert.strictEqual((yield* broker.head(user)).epoch, epoch)
    }).pipe(Effect.provideService(Broker.Broker, broker)))

  test("says what is missing, and of another log that it is another", (broker) =>
    Effect.gen(function*() {
      const user = newUser()
      for (const event of counted(1, 6)) yield* broker.append(user, [event])
      const [gap, ...rest] = yield* Stream.runCollect(read(user, catalog))
      assert.match(String(gap), /^gap 1-\d retention$/)
      assert.deepStrictEqual(rest, [1, 2, 3, 4, 5, 6].slice(-rest.length))
      assert.isBelow(rest.length, 6)
      const [other] = yield* Stream.runCollect(read(user, catalog, { after: { epoch: "another", offset: 3 } }))
      assert.match(String(other), /^gap \d-\d epoch$/)
    }).pipe(Effect.provideService(Broker.Broker, broker)), { maxEvents: 3 })

  test("gives the runs, and waits for the end of one, which may have been or be still to begin", (broker) =>
    Effect.gen(function*() {
      const user = newUser()
      const r1 = RunId.make("r1")
      const r2 = RunId.make("r2")
      const waiting = yield* Effect.forkChild(UserLog.awaitRun(user, r1), { startImmediately: true })
      yield* broker.append(user, [started("r1", 1)])
      yield* broker.append(user, [started("r2", 2), completed("r2", 3)])
      assert.deepInclude(yield* UserLog.awaitRun(user, r2), { status: "completed", agentName: "a" })
      const { position, runs } = yield* UserLog.runs(user)
      assert.deepStrictEqual(position, yield* broker.head(user))
      assert.deepStrictEqual(
        runs.map(({ run, state }) => [run, state.status]).toSorted(),
        [[r1, "active"], [r2, "completed"]]
      )
      assert.isUndefined(waiting.pollUnsafe())
      const last = envelope({
        sequence: 4,
        run: "r1",
        type: "agent_error",
        data: { reason: "failed", message: "no", retryable: false }
      })
      yield* broker.append(user, [last])
      assert.deepInclude(yield* Fiber.join(waiting), { status: "failed", error: "no" })
      assert.deepInclude(yield* UserLog.awaitRun(user, r1), { status: "failed" })
    }).pipe(Effect.provideService(Broker.Broker, broker)))

  test("reads events of the built-in catalog too", (broker) =>
    Effect.gen(function*() {
      const user = newUser()
      yield* broker.append(user, [started("r1", 1), completed("r1", 2)])
      const types = yield* UserLog.events(user, AgentEvents.catalog.merge(catalog)).pipe(
        Stream.map((event) => event.type === "agent_started" ? event.payload.agentName : event.type),
        Stream.runCollect
      )
      assert.deepStrictEqual(types, ["a", "agent_completed"])
    }).pipe(Effect.provideService(Broker.Broker, broker)))
}
