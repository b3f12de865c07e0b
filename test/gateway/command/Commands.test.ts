/**
 * What devices ask of runs, over real sockets: what is answered, and that nothing that is asked costs a connection.
 */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer } from "effect"
import { Broker } from "effect-emitter"
import { CommandPolicy, type GatewayConfig } from "effect-emitter/gateway"
import * as Command from "../../../src/protocol/command/Command.ts"
import { untilEffect } from "../../client/devices.ts"
import { CommandsDouble, layer } from "../commands.ts"
import { append, connect, type Device, serve, type Served, token, user } from "../server.ts"

const away = new Broker.BrokerError({ reason: new Broker.BrokerRefused({ operation: "command", detail: "away" }) })

/** A gateway over a broker that takes commands. */
const serveCommands = Effect.fnUntraced(function*(
  commands: GatewayConfig.Options["commands"] = { rate: { perConnection: 1_000, perUser: 1_000 } },
  policy?: Layer.Layer<CommandPolicy.CommandPolicy>
) {
  const double = new CommandsDouble()
  const served = yield* serve({ commands, framesPerSecond: 1_000 }, { broker: layer(double), policy })
  return { ...served, double }
})

let ids = 0

const command = (fields: Record<string, unknown> = {}): Record<string, unknown> => ({
  type: "command",
  id: `c${++ids}`,
  run: "ada-1",
  name: "cancel",
  ...fields
})

const nested = (levels: number) => "[".repeat(levels) + "]".repeat(levels)

/** Stands for what is nested so deeply that nobody can write it. */
const deep = "nested deeply"

const textOf = (frame: object) => JSON.stringify(frame).replace(JSON.stringify(deep), nested(7_000))

const ask = Effect.fnUntraced(function*(device: Device, frame: Record<string, unknown>) {
  yield* device.send(textOf(frame))
  const answer = yield* device.take("command")
  assert.strictEqual<unknown>(answer.id, frame["id"])
  const { id: _, type: __, ...outcome } = answer
  return outcome
})

const post = Effect.fnUntraced(function*(served: Pick<Served, "http">, frame: object, by = "ada") {
  const headers = { authorization: `Bearer ${yield* token(by)}` }
  const body = textOf(frame)
  return yield* Effect.promise(async (signal) => {
    const response = await fetch(`${served.http}/events`, { method: "POST", headers, body, signal })
    const answer: unknown = JSON.parse(await response.text())
    return { status: response.status, type: response.headers.get("content-type"), answer }
  })
})

/** It still gets what is emitted. */
const lives = Effect.fnUntraced(function*(served: Served, device: Device, userId = "ada") {
  const before = device.numbers().length
  yield* append(served, userId, 1)
  yield* device.received(before + 1)
})

describe("Commands of devices", () => {
  it.live("are offered by a welcome where the broker takes them, and only there", () =>
    Effect.gen(function*() {
      const takes = yield* serveCommands()
      assert.deepStrictEqual((yield* connect(takes, "ada")).welcome.accepts, ["command"])
      const takesNone = yield* serve({}, { broker: layer(undefined) })
      assert.isUndefined((yield* connect(takesNone, "ada")).welcome.accepts)
      const streamed = (served: Served) =>
        Effect.flatMap(token("ada"), (bearer) =>
          Effect.promise(async () => {
            const headers = { accept: "text/event-stream", authorization: `Bearer ${bearer}` }
            const { body } = await fetch(`${served.http}/events`, { headers })
            const reader = body?.pipeThrough(new TextDecoderStream()).getReader()
            const { value } = await reader?.read() ?? {}
            await reader?.cancel()
            return value ?? ""
          }))
      assert.include(yield* streamed(takes), `"accepts":["command"]`)
      assert.notInclude(yield* streamed(takesNone), "accepts")
    }))

  it.live("are refused as unavailable where the broker takes none, and the connection stays", () =>
    Effect.gen(function*() {
      const served = yield* serve({}, { broker: layer(undefined) })
      const device = yield* connect(served, "ada")
      const refused = { outcome: "refused", reason: "unavailable", message: "this server takes no commands" }
      assert.deepStrictEqual<unknown>(yield* ask(device, command()), refused)
      assert.deepInclude((yield* post(served, command())).answer, refused)
      yield* lives(served, device)
    }))

  it.live("reach the broker as their user's, with what the device calls itself, and are answered", () =>
    Effect.gen(function*() {
      const served = yield* serveCommands()
      const device = yield* connect(served, "ada", { client: "page/1", accepts: ["command"] })
      const request = { id: "c-1", run: "ada-1", name: "steer", data: { text: "shorter" } }
      assert.deepStrictEqual<unknown>(yield* ask(device, command({ ...request, later: true })), { outcome: "accepted" })
      assert.deepStrictEqual<unknown>(served.double.sent, [{ ...request, client: "page/1", user: "ada" }])
      const stats = yield* served.gateway.stats
      assert.strictEqual(stats.commands.accepted, 1)
      assert.strictEqual(stats.openCommands, 0)
    }))

  it.live("are answered by POST with what became of them, without a connection", () =>
    Effect.gen(function*() {
      const served = yield* serveCommands()
      const sent = command()
      const { answer, status, type } = yield* post(served, sent)
      assert.strictEqual(status, 200)
      assert.strictEqual(type, "application/json")
      assert.deepStrictEqual(answer, { type: "command", id: sent["id"], outcome: "accepted" })
      assert.deepStrictEqual((yield* post(served, command({ run: "ada-ended" }))).answer, {
        type: "command",
        id: `c${ids}`,
        outcome: "refused",
        reason: "ended"
      })
    }))

  const tooLarge = "x".repeat(Command.maxDataBytes - 1)
  const bad: ReadonlyArray<readonly [what: string, fields: Record<string, unknown>, refusal: object]> = [
    ["of a run that nobody knows", { run: "bob-unknown" }, { reason: "unknownRun" }],
    ["of another user's run", { run: "bob-1" }, { reason: "unknownRun" }],
    ["of another user's run that has ended", { run: "bob-ended" }, { reason: "unknownRun" }],
    ["of a run that has ended", { run: "ada-ended" }, { reason: "ended" }],
    ["without a run", { run: undefined }, { reason: "invalid", path: "run" }],
    ["of a run that is no id", { run: "a b" }, { reason: "invalid", path: "run" }],
    ["without a name", { name: undefined }, { reason: "invalid", path: "name" }],
    ["of a wrong name", { name: "Stop!" }, { reason: "invalid", path: "name" }],
    ["with data that are too large", { data: tooLarge }, {
      reason: "invalid",
      path: "data",
      message: "it may have 8192 bytes of JSON, and has 8193"
    }],
    ["with data that are nested too deeply", { data: deep }, {
      reason: "invalid",
      path: "data",
      message: "it may be nested 64 levels deep"
    }]
  ]
  for (const [what, fields, refusal] of bad) {
    it.live(`${what} are refused, and the connection stays`, () =>
      Effect.gen(function*() {
        const served = yield* serveCommands()
        const device = yield* connect(served, "ada")
        const expected = { outcome: "refused" as const, ...refusal }
        assert.deepInclude(yield* ask(device, command(fields)), expected)
        const posted = yield* post(served, command(fields))
        assert.strictEqual(posted.status, 200)
        assert.deepInclude(posted.answer, expected)
        assert.deepStrictEqual(served.double.done, [])
        yield* lives(served, device)
      }))
  }

  it.live("may be as large as is said, and nested as deeply", () =>
    Effect.gen(function*() {
      const served = yield* serveCommands()
      const device = yield* connect(served, "ada")
      for (const data of [tooLarge.slice(1), JSON.parse(nested(Command.maxDataDepth))]) {
        assert.deepStrictEqual<unknown>(yield* ask(device, command({ data })), { outcome: "accepted" })
      }
    }))

  it.live("without an id are no frames: nothing could be answered", () =>
    Effect.gen(function*() {
      const served = yield* serveCommands()
      const device = yield* connect(served, "ada")
      const posted = yield* post(served, command({ id: "" }))
      assert.strictEqual(posted.status, 400)
      yield* device.send(command({ id: undefined }))
      assert.strictEqual((yield* device.closed).code, 4400)
    }))

  it.live("of one id act once, get the same answer, and are a conflict if they ask for something else", () =>
    Effect.gen(function*() {
      const served = yield* serveCommands()
      const first = yield* connect(served, "ada")
      const second = yield* connect(served, "ada")
      const sent = command()
      assert.deepStrictEqual<unknown>(yield* ask(first, sent), { outcome: "accepted" })
      assert.deepStrictEqual<unknown>(yield* ask(second, sent), { outcome: "accepted" })
      assert.deepStrictEqual((yield* post(served, sent)).answer, {
        type: "command",
        id: sent["id"],
        outcome: "accepted"
      })
      const other = { ...sent, name: "steer" }
      assert.deepStrictEqual<unknown>(yield* ask(second, other), { outcome: "refused", reason: "conflict" })
      assert.lengthOf(served.double.done, 1)
      yield* lives(served, second)
    }))

  it.live("that are posted too fast are refused", () =>
    Effect.gen(function*() {
      const served = yield* serveCommands({ rate: { perConnection: 1, perUser: 1 } })
      const burst = Effect.forEach([1, 2, 3], () => post(served, command()), { concurrency: "unbounded" })
      const found = yield* Effect.repeat(burst, {
        until: (posted) => posted.some(({ answer }) => JSON.stringify(answer).includes("tooMany"))
      })
      assert.deepStrictEqual([...new Set(found.map(({ status }) => status))], [200])
    }))

  it.live("that flood a gateway beyond that count as frames", () =>
    Effect.gen(function*() {
      const served = yield* serve(
        { framesPerSecond: 20, commands: { rate: { perConnection: 2, perUser: 2 } } },
        { broker: layer(new CommandsDouble()) }
      )
      const device = yield* connect(served, "ada")
      for (let n = 0; n < 500; n++) yield* device.send(command())
      assert.strictEqual((yield* device.closed).code, 4429)
    }))

  it.live("hold up nothing while they are open, and are bounded per connection, user and node", () =>
    Effect.gen(function*() {
      const decided = yield* Deferred.make<Command.Outcome>()
      const served = yield* serveCommands({
        rate: { perConnection: 100, perUser: 100 },
        open: { perConnection: 2, perUser: 3, perNode: 4 }
      })
      served.double.decide = () => Deferred.await(decided)
      const first = yield* connect(served, "ada")
      const second = yield* connect(served, "ada")
      const bob = yield* connect(served, "bob")
      const refusal = (message: string) => ({ outcome: "refused", reason: "tooMany", message })
      const open = (count: number) =>
        untilEffect(`${count} are open`, Effect.map(served.gateway.stats, (seen) => seen.openCommands === count))

      yield* first.send(command())
      yield* first.send(command())
      assert.deepStrictEqual<unknown>(yield* ask(first, command()), refusal("a connection may have 2 open commands"))
      yield* second.send(command())
      assert.deepStrictEqual<unknown>(yield* ask(second, command()), refusal("a user may have 3 open commands"))
      assert.deepInclude((yield* post(served, command())).answer, refusal("a user may have 3 open commands"))
      yield* bob.send(command())
      assert.deepStrictEqual<unknown>(yield* ask(bob, command()), refusal("this server takes 4 open commands"))
      yield* open(4)

      // Events come, and acknowledgements are taken.
      yield* lives(served, first)
      const position = yield* served.broker.head(user("ada"))
      const acknowledged = yield* Effect.forkChild(served.broker.acknowledged(user("ada"), position))
      yield* first.send({ type: "ack", offset: position.offset, confirmed: [position.offset] })
      yield* first.send({ type: "pong" })
      yield* Deferred.succeed(decided, Command.accepted)
      for (const device of [first, first, second, bob]) {
        assert.strictEqual((yield* device.take("command")).outcome, "accepted")
      }
      yield* open(0)
      yield* Fiber.interrupt(acknowledged)
      assert.deepStrictEqual<unknown>(yield* ask(first, command()), { outcome: "accepted" })
    }))

  it.live("are not answered where nobody knows what became of them, and sent again get what was decided", () =>
    Effect.gen(function*() {
      const served = yield* serveCommands()
      const device = yield* connect(served, "ada")
      const sent = command()
      served.double.decide = () => Effect.fail(away)
      yield* device.send(sent)
      const undecided = (count: number) =>
        untilEffect(
          `${count} are undecided`,
          Effect.map(served.gateway.stats, ({ commands }) => commands.undecided === count)
        )
      yield* undecided(1)
      served.double.decide = () => Effect.die(new Error("a bug in the broker, at postgres://svc:hunter2@db"))
      yield* device.send(sent)
      yield* undecided(2)
      const posted = yield* post(served, sent)
      assert.strictEqual(posted.status, 503)
      assert.deepInclude(posted.answer, { code: "undecided" })
      assert.isEmpty(device.frames.filter(({ type }) => type === "command"))
      assert.notInclude(JSON.stringify([posted, device.frames]), "hunter2")

      served.double.decide = () => Effect.succeed(Command.refused("ended"))
      assert.deepStrictEqual<unknown>(yield* ask(device, sent), { outcome: "refused", reason: "ended" })
      yield* lives(served, device)
    }))

  it.live("are given the time that is set to be decided", () =>
    Effect.gen(function*() {
      const served = yield* serveCommands({ within: "50 millis" })
      served.double.decide = () => Effect.never
      const device = yield* connect(served, "ada")
      assert.deepStrictEqual<unknown>(yield* ask(device, command()), { outcome: "refused", reason: "unavailable" })
      yield* lives(served, device)
    }))

  it.live("of a device that leaves are decided all the same", () =>
    Effect.gen(function*() {
      const served = yield* serveCommands()
      const asked = yield* Deferred.make<void>()
      const decided = yield* Deferred.make<Command.Outcome>()
      served.double.decide = () => Effect.andThen(Deferred.succeed(asked, undefined), Deferred.await(decided))
      const device = yield* connect(served, "ada")
      yield* device.send(command())
      yield* Deferred.await(asked)
      device.socket.terminate()
      yield* untilEffect("it is gone", Effect.map(served.gateway.stats, ({ sessions }) => sessions === 0))
      yield* Deferred.succeed(decided, Command.accepted)
      yield* untilEffect("it is done", Effect.sync(() => served.double.done.length === 1))
    }))

  it.live("whose sender hangs up on its POST are decided all the same", () =>
    Effect.gen(function*() {
      const served = yield* serveCommands()
      const asked = yield* Deferred.make<void>()
      const decided = yield* Deferred.make<Command.Outcome>()
      served.double.decide = () => Effect.andThen(Deferred.succeed(asked, undefined), Deferred.await(decided))
      const sending = yield* Effect.forkChild(post(served, command()))
      yield* Deferred.await(asked)
      yield* Fiber.interrupt(sending)
      yield* Deferred.succeed(decided, Command.accepted)
      yield* untilEffect("it is done", Effect.sync(() => served.double.done.length === 1))
    }))

  it.live("that are open when the gateway closes hold it up no longer than its devices may", () =>
    Effect.gen(function*() {
      const served = yield* serveCommands({ within: "1 hour" })
      let isInterrupted = false
      served.double.decide = () =>
        Effect.onInterrupt(Effect.never, () =>
          Effect.sync(() => {
            isInterrupted = true
          }))
      const device = yield* connect(served, "ada")
      yield* device.send(command())
      yield* untilEffect("it is open", Effect.map(served.gateway.stats, ({ openCommands }) => openCommands === 1))
      yield* served.close
      assert.isTrue(isInterrupted)
    }))

  it.live("of a revoked user are not taken", () =>
    Effect.gen(function*() {
      const served = yield* serveCommands()
      const old = { authorization: `Bearer ${yield* token("ada", { issuedAt: 1 })}` }
      const device = yield* connect(served, "ada")
      yield* served.gateway.revoke(user("ada"))
      assert.strictEqual((yield* device.closed).code, 4401)
      const status = yield* Effect.promise(async () => {
        const body = JSON.stringify(command())
        const response = await fetch(`${served.http}/events`, { method: "POST", headers: old, body })
        return response.status
      })
      assert.strictEqual(status, 401)
      assert.deepStrictEqual(served.double.sent, [])
    }))
})

describe("A policy for commands", () => {
  it.live("is asked with who sends what, and what it refuses is not passed on", () =>
    Effect.gen(function*() {
      const asked: Array<unknown> = []
      const served = yield* serveCommands(
        undefined,
        CommandPolicy.layer(({ claims, userId }, { data, name, run }) => {
          asked.push([userId, claims?.["role"], run, name, data])
          return name === "cancel"
            ? Effect.void
            : Effect.fail(new CommandPolicy.NotAllowed(name === "steer" ? { detail: "x".repeat(2_000) } : {}))
        })
      )
      const device = yield* connect(served, "ada", { token: yield* token("ada", { claims: { role: "viewer" } }) })
      const notAllowed = { outcome: "refused", reason: "notAllowed" }
      assert.deepStrictEqual<unknown>(yield* ask(device, command()), { outcome: "accepted" })
      assert.deepStrictEqual<unknown>(yield* ask(device, command({ name: "steer", data: 1 })), {
        ...notAllowed,
        message: "x".repeat(1_000)
      })
      assert.deepInclude((yield* post(served, command({ name: "answer" }))).answer, {
        ...notAllowed,
        message: "the command is not allowed"
      })
      assert.deepStrictEqual(asked, [
        ["ada", "viewer", "ada-1", "cancel", undefined],
        ["ada", "viewer", "ada-1", "steer", 1],
        ["ada", undefined, "ada-1", "answer", undefined]
      ])
      assert.lengthOf(served.double.sent, 1)
      yield* lives(served, device)
    }))

  const broken: ReadonlyArray<readonly [what: string, check: CommandPolicy.Check]> = [
    ["throws", () => {
      throw new Error("hunter2")
    }],
    ["dies", () => Effect.die(new Error("hunter2"))],
    ["does not answer", () => Effect.never]
  ]
  for (const [what, check] of broken) {
    it.live(`that ${what} has commands refused as unavailable, and no word of why reaches the device`, () =>
      Effect.gen(function*() {
        const rate = { perConnection: 100, perUser: 100 }
        const served = yield* serveCommands({ rate, within: "50 millis" }, CommandPolicy.layer(check))
        const device = yield* connect(served, "ada")
        const refused = yield* ask(device, command())
        assert.deepStrictEqual<unknown>(refused, {
          outcome: "refused",
          reason: "unavailable",
          message: "it cannot be told at the moment whether this is allowed"
        })
        assert.deepStrictEqual(served.double.sent, [])
        yield* lives(served, device)
      }))
  }
})
