/**
 * What clients ask of runs: in a world that a test turns by hand, and over real sockets of a gateway.
 */
import { assert, describe, it } from "@effect/vitest"
import { type Cause, Deferred, Effect, Exit, Fiber, Schema, type Scope } from "effect"
import { Client, CommandError, connect, type NoAnswer, type TransportName } from "effect-emitter/client"
import { Command } from "effect-emitter/events"
import { Broker } from "effect-emitter"
import { TestClock } from "effect/testing"
import { CommandsDouble, layer } from "../gateway/commands.ts"
import { envelope, serve, type Served, token, user } from "../gateway/server.ts"
import { until } from "./devices.ts"
import { events, fakeSockets, welcome, wireEvent } from "./FakeSocket.ts"
import { fakeWorld } from "./FakeWorld.ts"

const Steer = Command.make("steer", { payload: { text: Schema.NonEmptyString, at: Schema.FiniteFromString } })

const takes = welcome({ accepts: ["command"] })

/** A connection in a fake world that was welcomed by a server which takes commands. */
const start = async (greeting: object = takes) => {
  const world = fakeWorld()
  const errors: Array<unknown> = []
  const connection = connect({
    url: "ws://127.0.0.1/events",
    platform: world.platform,
    onError: (error) => errors.push(error)
  })
  await world.pass(0)
  world.last().open()
  world.last().push(greeting)
  const sent = () => world.last().sent.filter(({ type }) => type === "command")
  const answer = (outcome: object, index = -1) =>
    world.last().push({ type: "command", id: sent().at(index)?.["id"], ...outcome })
  return { ...world, connection, errors, sent, answer }
}

const reasonOf = async (promise: Promise<unknown>): Promise<unknown> => {
  try {
    return await promise
  } catch (error) {
    return error instanceof CommandError ? error.reason : error
  }
}

const begun = wireEvent(1, { run: "r1", type: "agent_started", data: { agentName: "a" } })
const ended = wireEvent(2, {
  run: "r1",
  type: "agent_error",
  data: { reason: "cancelled", message: "stopped", retryable: false }
})

describe("connect, and commands to runs", () => {
  it("tells what the server accepts, by its last welcome, and that it changed by the status", async () => {
    const world = fakeWorld()
    const connection = connect({ url: "ws://127.0.0.1/events", platform: world.platform })
    const told: Array<readonly [string, ReadonlyArray<string>]> = []
    connection.status.subscribe(() => told.push([connection.status.getSnapshot().state, connection.accepts()]))
    await world.pass(0)
    assert.deepStrictEqual(connection.accepts(), [])
    world.last().open()
    world.last().push(welcome({ accepts: ["command", "later"] }))
    assert.deepStrictEqual(connection.accepts(), ["command", "later"])
    assert.strictEqual(connection.accepts(), connection.accepts())
    world.last().drop()
    assert.deepStrictEqual(connection.accepts(), ["command", "later"])
    await world.pass(1_000)
    world.last().open()
    world.last().push(welcome())
    assert.deepStrictEqual(told, [
      ["connecting", []],
      ["live", ["command", "later"]],
      ["waiting", ["command", "later"]],
      ["resuming", ["command", "later"]],
      ["live", []]
    ])
  })

  it("sends what each has with it, and gives what became of it", async () => {
    const { answer, connection, sent } = await start()
    const run = connection.run("r1")
    const bare = run.cancel()
    answer({ outcome: "accepted" })
    const why = run.cancel({ reason: "enough" })
    answer({ outcome: "refused", reason: "ended" })
    const replied = run.answer("q1", { yes: true })
    answer({ outcome: "refused", reason: "invalid", path: "answer.yes", message: "a text is needed" })
    const steered = run.send(Steer, { text: "shorter", at: 5 })
    answer({ outcome: "accepted" })
    assert.deepStrictEqual(sent().map(({ data, name, run }) => [run, name, data]), [
      ["r1", "cancel", undefined],
      ["r1", "cancel", { reason: "enough" }],
      ["r1", "answer", { requestId: "q1", answer: { yes: true } }],
      ["r1", "steer", { text: "shorter", at: "5" }]
    ])
    assert.strictEqual(new Set(sent().map(({ id }) => id)).size, 4)
    assert.deepStrictEqual<unknown>(await Promise.all([bare, why, replied, steered]), [
      { outcome: "accepted" },
      { outcome: "refused", reason: "ended" },
      { outcome: "refused", reason: "invalid", path: "answer.yes", message: "a text is needed" },
      { outcome: "accepted" }
    ])
  })

  it("keeps a command under its id across connections, however it was lost", async () => {
    const { answer, connection, last, pass, sent } = await start()
    const stopped = connection.run("r1").cancel()
    const [first] = sent()
    last().drop(1006)
    await pass(1_000)
    last().open()
    last().push(takes)
    assert.deepStrictEqual(sent(), [first])
    answer({ outcome: "accepted" })
    assert.deepStrictEqual<unknown>(await stopped, { outcome: "accepted" })
  })

  it("says by its reason why there is no answer, and leaves nothing behind", async () => {
    const none = await start(welcome())
    assert.strictEqual(await reasonOf(none.connection.run("r1").cancel()), "unsupported")

    const { connection, last, pass, sent, timers } = await start()
    const run = connection.run("r1")
    const before = timers()
    const late = reasonOf(run.cancel({ timeoutMs: 2_000 }))
    await pass(2_000)
    assert.strictEqual(await late, "timeout")
    const byDefault = reasonOf(run.answer("q1", true))
    await pass(29_999)
    last().push({ type: "ping" })
    assert.lengthOf(sent(), 4)
    await pass(1)
    assert.strictEqual(await byDefault, "timeout")
    assert.strictEqual(timers(), before)

    const aborter = new AbortController()
    const why = new Error("the page has gone")
    const given = reasonOf(run.cancel({ signal: aborter.signal }))
    aborter.abort(why)
    assert.strictEqual(await given, why)
    assert.strictEqual(await reasonOf(run.cancel({ signal: aborter.signal })), why)

    assert.strictEqual(await reasonOf(run.answer("q1", "é".repeat(4_096))), "tooLarge")
    const many = Array.from({ length: 11 }, () => reasonOf(run.answer("q1", true)))
    assert.strictEqual(await many.at(-1), "tooMany")
    connection.close()
    assert.deepStrictEqual(await Promise.all(many.slice(0, 10)), Array.from({ length: 10 }, (): NoAnswer => "stopped"))
    assert.strictEqual(await reasonOf(run.cancel()), "stopped")
    assert.strictEqual(timers(), 0)
  })

  it("sends nothing that does not fit its definition, and says where", async () => {
    const { connection, sent } = await start()
    const failed = await connection.run("r1").send(Steer, { text: "", at: 1 }).catch((error: unknown) => error)
    assert.instanceOf(failed, CommandError)
    assert.strictEqual(failed.reason, "invalid")
    assert.include(String(failed.cause), `["text"]`)
    assert.deepStrictEqual(sent(), [])
  })

  it("forgets a command that was given up: it is not sent again", async () => {
    const { connection, last, pass, sent } = await start()
    const aborter = new AbortController()
    const given = reasonOf(connection.run("r1").cancel({ signal: aborter.signal }))
    assert.lengthOf(sent(), 1)
    aborter.abort()
    await given
    last().drop(1006)
    await pass(1_000)
    last().open()
    last().push(takes)
    assert.deepStrictEqual(sent(), [])
  })

  it("shows the run as stopping from the call on, until it has ended or does not stop", async () => {
    const { answer, connection, errors, last } = await start()
    last().push(events([1], { events: [begun] }))
    const run = connection.run("r1")
    const seen: Array<unknown> = []
    const list = () => connection.runs.getSnapshot().map(({ status, stopping }) => [status, stopping])
    run.subscribe(() => seen.push([run.get()?.status, run.get()?.stopping]))
    const refused = run.cancel()
    assert.deepStrictEqual(list(), [["active", true]])
    answer({ outcome: "refused", reason: "notAllowed" })
    await refused
    assert.deepStrictEqual(list(), [["active", undefined]])

    const given = reasonOf(run.cancel({ timeoutMs: 0, signal: AbortSignal.abort() }))
    assert.deepStrictEqual(list(), [["active", true]])
    await given
    assert.deepStrictEqual(list(), [["active", undefined]])

    const stopped = run.cancel()
    answer({ outcome: "accepted" })
    await stopped
    assert.deepStrictEqual(list(), [["active", true]])
    last().push(events([2], { events: [ended] }))
    assert.deepStrictEqual(list(), [["cancelled", undefined]])
    assert.deepStrictEqual(seen, [
      ["active", true],
      ["active", undefined],
      ["active", true],
      ["active", undefined],
      ["active", true],
      ["cancelled", undefined]
    ])
    assert.deepStrictEqual(errors, [])
  })
})

describe("Client, and commands to runs", () => {
  const makeClient = Effect.gen(function*() {
    const { last, WebSocket } = fakeSockets()
    const client = yield* Client.make({ url: "ws://127.0.0.1/events", webSocket: WebSocket, transports: ["websocket"] })
    yield* TestClock.adjust(1)
    last().open()
    last().push(takes)
    yield* TestClock.adjust(1)
    const sent = () => last().sent.filter(({ type }) => type === "command")
    return { client, last, sent }
  })

  it.effect("gives up by the clock of the program, and when it is interrupted", () =>
    Effect.gen(function*() {
      const { client, last, sent } = yield* makeClient
      const run = client.run("r1")
      const late = yield* Effect.forkChild(Effect.flip(run.cancel({ reason: "enough" })))
      yield* TestClock.adjust("29 seconds")
      assert.isUndefined(late.pollUnsafe())
      yield* TestClock.adjust("1 second")
      const error = yield* Fiber.join(late)
      assert.deepStrictEqual([error._tag, error.reason], ["CommandError", "timeout"])
      last().push({ type: "ping" })
      const soon = yield* Effect.forkChild(Effect.flip(run.answer("q1", true, { timeout: "1 second" })))
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* Fiber.join(soon)).reason, "timeout")

      const asked = yield* Effect.forkChild(run.send(Steer, { text: "shorter", at: 1 }))
      yield* TestClock.adjust(1)
      const count = sent().length
      yield* Fiber.interrupt(asked)
      yield* TestClock.adjust("11 seconds")
      assert.lengthOf(sent(), count)
      last().push({ type: "command", id: sent().at(-1)?.["id"], outcome: "accepted" })
      yield* TestClock.adjust(1)
      assert.isUndefined(last().closedBy)
    }))

  it.effect("fails with the reason why there is no answer, and dies of nothing", () =>
    Effect.gen(function*() {
      const { client } = yield* makeClient
      const run = client.run("r1")
      const invalid = yield* Effect.flip(run.send(Steer, { text: "", at: 1 }))
      assert.strictEqual(invalid.reason, "invalid")
      assert.strictEqual((yield* Effect.flip(run.answer("q1", "x".repeat(9_000)))).reason, "tooLarge")
    }))

  it.effect("ends what waits for an answer with its scope", () =>
    Effect.gen(function*() {
      const [run, asked] = yield* Effect.scoped(Effect.gen(function*() {
        const { client } = yield* makeClient
        const run = client.run("r1")
        const asked = yield* Effect.forkDetach(Effect.flip(run.cancel()))
        yield* TestClock.adjust(1)
        return [run, asked] as const
      }))
      assert.strictEqual((yield* Fiber.join(asked)).reason, "stopped")
      assert.strictEqual((yield* Effect.flip(run.cancel())).reason, "stopped")
    }))
})

type Ask = (run: string, text: string) => Effect.Effect<Command.Outcome, CommandError | Cause.UnknownError>

/** Each client, as something that steers a run and stops it. */
const clients: Record<
  "connect" | "Client",
  (served: Served, transport: TransportName) => Effect.Effect<
    {
      readonly cancel: (run: string) => Effect.Effect<Command.Outcome, CommandError | Cause.UnknownError>
      readonly steer: Ask
      readonly isStopping: (run: string) => boolean
      readonly reconnect: () => void
    },
    never,
    Scope.Scope
  >
> = {
  connect: (served, transport) =>
    Effect.acquireRelease(
      Effect.sync(() =>
        connect({
          url: served.url,
          token: () => Effect.runPromise(token("ada")),
          transports: [transport],
          client: "page/1",
          backoff: { baseMs: 5, capMs: 50 }
        })
      ),
      ({ close }) => Effect.sync(close)
    ).pipe(Effect.map(({ reconnect, run }) => ({
      cancel: (id) => Effect.tryPromise((signal) => run(id).cancel({ signal })),
      steer: (id, text) => Effect.tryPromise(() => run(id).send(Steer, { text, at: 1 })),
      isStopping: (id) => run(id).get()?.stopping === true,
      reconnect
    }))),
  Client: (served, transport) =>
    Effect.gen(function*() {
      const client = yield* Client.make({
        url: served.url,
        token: token("ada"),
        transports: [transport],
        client: "page/1",
        backoff: { baseMs: 5, capMs: 50 }
      })
      return {
        cancel: (id: string) => client.run(id).cancel(),
        steer: (id: string, text: string) => client.run(id).send(Steer, { text, at: 1 }),
        isStopping: (id: string) => client.run(id).get()?.stopping === true,
        reconnect: () => void Effect.runFork(client.reconnect)
      }
    }).pipe(Effect.orDie)
}

for (const [name, make] of Object.entries(clients)) {
  for (const transport of ["websocket", "sse"] as const) {
    describe(`${name} over ${transport}, and commands through a gateway`, () => {
      const serveCommands = Effect.gen(function*() {
        const double = new CommandsDouble()
        const served = yield* serve({}, { broker: layer(double) })
        yield* served.broker.append(user("ada"), [
          envelope({ agentName: "a" }, { run: "ada-1", type: "agent_started" })
        ])
        return { served, double, client: yield* make(served, transport) }
      })

      it.live("are answered as they were decided, and reach the run as its user's", () =>
        Effect.gen(function*() {
          const { client, double } = yield* serveCommands
          assert.deepStrictEqual<unknown>(yield* client.steer("ada-1", "shorter"), { outcome: "accepted" })
          assert.deepStrictEqual<unknown>(yield* client.cancel("bob-1"), { outcome: "refused", reason: "unknownRun" })
          assert.deepStrictEqual<unknown>(yield* client.cancel("ada-ended"), { outcome: "refused", reason: "ended" })
          assert.deepStrictEqual<unknown>(double.done.map(({ data, name, user }) => [user, name, data]), [
            ["ada", "steer", { text: "shorter", at: "1" }]
          ])
          if (transport === "websocket") assert.strictEqual(double.done[0]?.client, "page/1")
        }))

      it.live("are kept while nobody knows what became of them, done once, and shown meanwhile", () =>
        Effect.gen(function*() {
          const { client, double } = yield* serveCommands
          const asked = yield* Deferred.make<void>()
          double.decide = () =>
            Effect.andThen(
              Deferred.succeed(asked, undefined),
              Effect.fail(
                new Broker.BrokerError({ reason: new Broker.BrokerRefused({ operation: "command", detail: "away" }) })
              )
            )
          const stopped = yield* Effect.forkChild(client.cancel("ada-1"))
          yield* Deferred.await(asked)
          yield* until("it is shown", () => client.isStopping("ada-1"))
          double.decide = () => Effect.succeed(Command.accepted)
          client.reconnect()
          assert.deepStrictEqual<unknown>(yield* Fiber.join(stopped), { outcome: "accepted" })
          assert.lengthOf(double.done, 1)
          assert.strictEqual(new Set(double.sent.map(({ id }) => id)).size, 1)
          assert.isTrue(client.isStopping("ada-1"))
        }))

      it.live("are not supported where the broker takes none", () =>
        Effect.gen(function*() {
          const served = yield* serve({}, { broker: layer(undefined) })
          const client = yield* make(served, transport)
          const exit = yield* Effect.exit(client.cancel("ada-1"))
          assert.isTrue(Exit.isFailure(exit))
          assert.include(String(exit), "unsupported")
        }))
    })
  }
}
