/** What devices see of a Redis that goes away and comes back: their own socket stays. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { Broker, Emitter, EmitterLayer } from "effect-emitter"
import { connect as connectClient } from "effect-emitter/client"
import type { GatewayConfig } from "effect-emitter/gateway"
import { RedisBroker } from "effect-emitter/redis"
import { type NodeOptions, persist, program, withServer } from "../broker/redis/redisNode.ts"
import { until, untilEffect } from "../client/devices.ts"
import { connect as connectPlain } from "../protocol/plain-client.js"
import type { RedisServer } from "../support/redis.ts"
import { append, connect, type Device, dial, envelope, serve, type Served, token, user } from "./server.ts"

const serveOver = (
  { url }: RedisServer,
  options: NodeOptions = {},
  gateway: GatewayConfig.Options = {}
) =>
  serve(gateway, {
    // Long enough for a server that shares a busy machine: it must not be taken for one that is away.
    broker: Layer.orDie(
      RedisBroker.layer({ url, deadline: "2 seconds", silence: "4 seconds", poll: "2 seconds", ...options })
    )
  })

/** What was told, in order: `degraded`, `live`, the `n` of events, `gap` with its reason. */
const story = ({ frames }: Device) =>
  frames.flatMap((frame): ReadonlyArray<unknown> => {
    switch (frame.type) {
      case "status":
        return [frame.state]
      case "events":
        return frame.events.map(({ data }) => data["n"])
      case "gap":
        return [`gap ${frame.reason} ${frame.from}-${frame.to}`]
      default:
        return []
    }
  })

const appendWhenUp = (served: Served, ...numbers: ReadonlyArray<number>) =>
  Effect.forEach(numbers, (n) => {
    const one = envelope({ n })
    return persist(served.broker.append(user("ada"), [one]))
  }, { discard: true })

const degraded = { type: "status", state: "degraded" } as const
const live = { type: "status", state: "live" } as const

describe.skipIf(program === undefined)("A gateway whose Redis goes away", () => {
  for (
    const [what, take, give] of [
      ["is killed and restarted", (server: RedisServer) => server.kill, (server: RedisServer) => server.start],
      ["freezes and thaws", (server: RedisServer) => server.freeze, (server: RedisServer) => server.thaw]
    ] as const
  ) {
    it.live(
      `when it ${what}, keeps its idle devices, says degraded, and then gives them everything once and in order`,
      () =>
        withServer({ durable: true }, (server) =>
          Effect.gen(function*() {
            const served = yield* serveOver(server, { trustRestarts: true }, { heartbeat: "1 second" })
            const ada = yield* connect(served, "ada")
            const bob = yield* connect(served, "bob")
            let pings = 0
            for (const { socket } of [ada, bob]) {
              socket.on("message", (data) => {
                if (!String(data).includes(`"ping"`)) return
                pings++
                socket.send(`{"type":"pong"}`)
              })
            }
            yield* append(served, "ada", 1)
            yield* served.broker.append(user("ada"), [envelope({ n: 2 }, { confirm: true })])
            yield* ada.received(2)
            yield* take(server)
            for (const device of [ada, bob]) assert.deepStrictEqual(yield* device.take("status"), degraded)
            // An acknowledgement, and heartbeats, while nobody can take them on.
            yield* ada.send({ type: "ack", offset: 2 })
            const pingsBefore = pings
            yield* until("two heartbeats of each", () => pings >= pingsBefore + 4)
            const during = yield* served.gateway.stats
            assert.deepStrictEqual([during.connections, during.degraded], [2, 2])
            const late = yield* dial(served.url)
            yield* late.send({ type: "hello", token: yield* token("ada") })
            assert.strictEqual((yield* late.closed).code, 4503)

            yield* give(server)
            for (const device of [ada, bob]) assert.deepStrictEqual(yield* device.take("status"), live)
            yield* appendWhenUp(served, 3, 4)
            yield* ada.received(4)
            assert.deepStrictEqual(story(ada), [1, 2, "degraded", "live", 3, 4])
            assert.deepStrictEqual(story(bob), ["degraded", "live"])
            yield* served.broker.acknowledged(user("ada"), { epoch: ada.welcome.epoch, offset: 2 })
            const after = yield* served.gateway.stats
            assert.deepStrictEqual([after.connections, after.degraded], [2, 0])
            assert.deepStrictEqual(after.closed, { brokerUnavailable: 1 })
          })),
      120_000
    )
  }

  it.live(
    "answers no command that it cannot decide, keeps the connection, and has it done once when Redis is back",
    () =>
      withServer({ durable: true }, (server) =>
        Effect.gen(function*() {
          const served = yield* serveOver(server, { trustRestarts: true })
          const emitters = Emitter.layerUser({ userId: "ada", runId: "r1" }).pipe(
            Layer.provide(EmitterLayer({ profile: "lowLatency" })),
            Layer.provide(Layer.succeed(Broker.Broker, served.broker))
          )
          const context = yield* Layer.build(Layer.orDie(emitters))
          let interrupted = 0
          const program = Effect.onInterrupt(Effect.never, () => Effect.sync(() => interrupted++))
          yield* Effect.forkScoped(
            Effect.exit(program.pipe(Emitter.run({ agentName: "a" }), Effect.provideContext(context)))
          )
          const device = yield* connect(served, "ada")
          const client = yield* Effect.acquireRelease(
            Effect.sync(() => connectClient({ url: served.url, token: () => Effect.runPromise(token("ada")) })),
            ({ close }) => Effect.sync(close)
          )
          const run = client.run("r1")
          yield* until("it runs", () => run.get()?.status === "active", 30)
          yield* server.kill
          yield* until("it is degraded", () => client.status.getSnapshot().state === "degraded", 30)
          const stopped = run.cancel({ timeoutMs: 60_000 })
          const command = { type: "command", id: "c-outage", run: "r1", name: "cancel" }
          yield* device.send(command)
          yield* untilEffect(
            "both are undecided",
            Effect.map(served.gateway.stats, ({ commands }) => commands.undecided >= 2),
            30
          )
          assert.isEmpty(device.frames.filter(({ type }) => type === "command"))
          assert.strictEqual(run.get()?.stopping, true)

          yield* server.start
          assert.deepStrictEqual<unknown>(yield* Effect.promise(() => stopped), { outcome: "accepted" })
          yield* until("it has stopped", () => run.get()?.status === "cancelled", 30)
          assert.strictEqual(interrupted, 1)
          yield* device.send(command)
          const { outcome } = yield* device.take("command")
          assert.include(["accepted", "refused"], outcome)
          assert.strictEqual(interrupted, 1)
          assert.deepStrictEqual((yield* served.gateway.stats).closed, {})
        })),
    120_000
  )

  it.live(
    "and comes back empty, tells idle devices on their sockets that the log has lost its memory",
    () =>
      withServer({}, (server) =>
        Effect.gen(function*() {
          const served = yield* serveOver(server)
          const ada = yield* connect(served, "ada")
          yield* append(served, "ada", 1)
          yield* ada.received(1)
          yield* server.kill
          yield* ada.take("status")
          yield* server.start
          const gap = yield* ada.take("gap")
          assert.deepStrictEqual(yield* ada.take("status"), live)
          assert.deepStrictEqual(story(ada), [1, "degraded", "gap epoch 1-0", "live"])
          assert.notStrictEqual(gap.epoch, ada.welcome.epoch)
          yield* appendWhenUp(served, 2)
          yield* ada.received(2)
          assert.deepStrictEqual(story(ada).at(-1), 2)
        })),
    120_000
  )

  it.live(
    "for too long, closes its devices with 4503, so that they may find another node",
    () =>
      withServer({}, (server) =>
        Effect.gen(function*() {
          const served = yield* serveOver(server, {}, { degradedTimeout: "1 second" })
          const ada = yield* connect(served, "ada")
          yield* server.kill
          yield* ada.take("status")
          assert.deepStrictEqual(yield* ada.closed, { code: 4503, reason: "brokerUnavailable" })
        })),
    120_000
  )

  it.live(
    "tells event streams as well",
    () =>
      withServer({}, (server) =>
        Effect.gen(function*() {
          const served = yield* serveOver(server)
          const response = yield* Effect.promise(() =>
            Effect.runPromise(token("ada")).then((bearer) =>
              fetch(`${served.http}/events`, {
                headers: { accept: "text/event-stream", authorization: `Bearer ${bearer}` }
              })
            )
          )
          const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader()
          let text = ""
          const readUntil = (wanted: string) =>
            Effect.promise(async () => {
              while (!text.includes(wanted)) text += (await reader?.read())?.value ?? assert.fail("the stream ended")
            })
          yield* readUntil("welcome")
          yield* server.kill
          yield* readUntil(`event: frame:status\ndata: {"type":"status","state":"degraded"}\n\n`)
          yield* server.start
          yield* readUntil(`event: frame:status\ndata: {"type":"status","state":"live"}\n\n`)
          yield* Effect.promise(() => reader?.cancel() ?? Promise.resolve())
        })),
    120_000
  )

  it.live(
    "costs a client that was written from the protocol document neither its connection nor an event",
    () =>
      withServer({ durable: true }, (server) =>
        Effect.gen(function*() {
          const served = yield* serveOver(server, { trustRestarts: true })
          const events: Array<unknown> = []
          const statuses: Array<string> = []
          const client = yield* Effect.acquireRelease(
            Effect.sync(() =>
              connectPlain({
                url: served.url,
                getToken: () => Effect.runPromise(token("ada")),
                onEvent: ({ data }) => events.push(data["n"]),
                onStatus: (...[status]) => statuses.push(status)
              })
            ),
            (connection) => Effect.sync(() => connection.close())
          )
          const untilIs = (status: string) => until(status, () => statuses.at(-1) === status)
          yield* untilIs("live")
          yield* append(served, "ada", 1)
          yield* server.kill
          yield* untilIs("degraded")
          yield* server.start
          yield* appendWhenUp(served, 2, 3)
          yield* untilIs("live")
          while (events.length < 3) yield* Effect.sleep("10 millis")
          assert.deepStrictEqual(events, [1, 2, 3])
          assert.deepStrictEqual(statuses, ["connecting", "live", "degraded", "live"])
          assert.strictEqual(client.position()?.offset, 3)
        })),
    120_000
  )
})
