/**
 * P10 from a device to its run and back: over a gateway, by both clients and both transports.
 */
import { assert, describe, it } from "@effect/vitest"
import { type Cause, Effect, Exit, Fiber, Layer, Queue, Ref, Schema, type Scope, Stream } from "effect"
import { Broker, Emitter, EmitterLayer } from "effect-emitter"
import { Client, type CommandError, connect, type Run, type TransportName } from "effect-emitter/client"
import { Command } from "effect-emitter/events"
import { serve, type Served, token } from "../gateway/server.ts"
import { until } from "./devices.ts"
import { proxyTo } from "./Proxy.ts"
import { fakeBrowser } from "./shared/FakeBrowser.ts"

const Steer = Command.make("steer", { payload: { text: Schema.NonEmptyString, until: Schema.Date } })

interface Device {
  readonly cancel: (run: string) => Effect.Effect<Command.Outcome, CommandError | Cause.UnknownError>
  readonly answer: (
    run: string,
    requestId: string,
    value: Schema.Json
  ) => Effect.Effect<Command.Outcome, CommandError | Cause.UnknownError>
  readonly steer: (
    run: string,
    payload: (typeof Steer)["payload"]["Type"]
  ) => Effect.Effect<Command.Outcome, CommandError | Cause.UnknownError>
  readonly get: (run: string) => Run | undefined
}

const devices: Record<
  "connect" | "Client",
  (served: Served, transport: TransportName) => Effect.Effect<Device, never, Scope.Scope>
> = {
  connect: (served, transport) =>
    Effect.map(
      Effect.acquireRelease(
        Effect.sync(() =>
          connect({ url: served.url, token: () => Effect.runPromise(token("ada")), transports: [transport] })
        ),
        ({ close }) => Effect.sync(close)
      ),
      ({ run }) => ({
        cancel: (id) => Effect.tryPromise(() => run(id).cancel({ reason: "enough" })),
        answer: (id, request, value) => Effect.tryPromise(() => run(id).answer(request, value)),
        steer: (id, payload) => Effect.tryPromise(() => run(id).send(Steer, payload)),
        get: (id) => run(id).get()
      })
    ),
  Client: (served, transport) =>
    Effect.map(
      Effect.orDie(Client.make({ url: served.url, token: token("ada"), transports: [transport] })),
      ({ run }) => ({
        cancel: (id) => run(id).cancel({ reason: "enough" }),
        answer: (id, request, value) => run(id).answer(request, value),
        steer: (id, payload) => run(id).send(Steer, payload),
        get: (id) => run(id).get()
      })
    )
}

/** A run of Ada's on the server, on a fiber of its own. */
const begin = Effect.fnUntraced(function*<A, E>(
  served: Served,
  program: Effect.Effect<A, E, Emitter.Emitter>,
  options: Omit<Emitter.PlainRunOptions, "agentName"> = {}
) {
  const layer = Emitter.layerUser({ userId: "ada", runId: "r1" }).pipe(
    Layer.provide(EmitterLayer({ profile: "lowLatency" })),
    Layer.provide(Layer.succeed(Broker.Broker, served.broker))
  )
  const context = yield* Layer.build(Layer.orDie(layer))
  return yield* Effect.forkScoped(
    Effect.exit(program.pipe(Emitter.run({ agentName: "a", ...options }), Effect.provideContext(context)))
  )
})

const shows = (device: Device, status: Run["status"]) =>
  until(`it is ${status}`, () => device.get("r1")?.status === status)

const requestOf = (device: Device) => {
  const part = device.get("r1")?.parts.find(({ type }) => type === "request")
  return part?.type === "request" ? part : undefined
}

for (const [name, make] of Object.entries(devices)) {
  for (const transport of ["websocket", "sse"] as const) {
    describe(`P10, commanded by ${name} over ${transport}`, () => {
      it.live("stops the run, and shows it as stopping until it has", () =>
        Effect.gen(function*() {
          const served = yield* serve()
          const device = yield* make(served, transport)
          const interrupted = yield* Ref.make(false)
          const program = Effect.onInterrupt(Effect.never, () => Ref.set(interrupted, true))
          const run = yield* begin(served, program)
          yield* shows(device, "active")
          const stopping = yield* Effect.forkChild(device.cancel("r1"))
          yield* until(
            "it is shown",
            () => device.get("r1")?.stopping === true || device.get("r1")?.status !== "active"
          )
          assert.deepStrictEqual<unknown>(yield* Fiber.join(stopping), { outcome: "accepted" })
          yield* shows(device, "cancelled")
          assert.isTrue(yield* Ref.get(interrupted))
          assert.isTrue(Exit.isFailure(yield* Fiber.join(run)))
          assert.notProperty(device.get("r1"), "stopping")
          assert.deepInclude(yield* device.cancel("r1"), { outcome: "refused", reason: "ended" })
        }))

      it.live("does not stop what may not be stopped, and shows so", () =>
        Effect.gen(function*() {
          const served = yield* serve()
          const device = yield* make(served, transport)
          yield* begin(served, Effect.never, { cancellable: false })
          yield* shows(device, "active")
          assert.deepInclude(yield* device.cancel("r1"), { outcome: "refused", reason: "notAllowed" })
          assert.notProperty(device.get("r1"), "stopping")
          assert.deepInclude(yield* device.cancel("r2"), { outcome: "refused", reason: "unknownRun" })
        }))

      it.live("answers what the run asks: the first that fits counts, and each device sees it", () =>
        Effect.gen(function*() {
          const served = yield* serve()
          const [first, second] = [yield* make(served, transport), yield* make(served, transport)]
          const run = yield* begin(served, Emitter.ask({ kind: "approval", title: "Send it?" }))
          yield* until("both are asked", () => [first, second].every((each) => requestOf(each)?.status === "open"))
          const { requestId = "" } = requestOf(first) ?? {}
          assert.deepInclude(yield* first.answer("r1", requestId, "perhaps"), { outcome: "refused", reason: "invalid" })
          assert.deepStrictEqual<unknown>(yield* first.answer("r1", requestId, true), { outcome: "accepted" })
          const late = yield* second.answer("r1", requestId, false)
          assert.deepInclude(late, { outcome: "refused", reason: "ended" })
          assert.deepStrictEqual(yield* Fiber.join(run), Exit.succeed(true))
          for (const device of [first, second]) {
            yield* shows(device, "completed")
            assert.deepInclude(requestOf(device), { status: "answered", answer: true })
          }
        }))

      it.live("brings the program's own commands to its stream, as its schema says", () =>
        Effect.gen(function*() {
          const served = yield* serve()
          const device = yield* make(served, transport)
          const taken = yield* Queue.unbounded<(typeof Steer)["payload"]["Type"]>()
          yield* begin(
            served,
            Effect.flatMap(Emitter.Emitter, ({ commands }) =>
              Stream.runForEach(commands(Steer), (command) => Queue.offer(taken, command))),
            { commands: [Steer] }
          )
          yield* until("it takes them", () =>
            device.get("r1")?.commands?.includes("steer") === true)
          const payload = { text: "shorter", until: new Date(1_732_320_000_000) }
          assert.deepStrictEqual<unknown>(yield* device.steer("r1", payload), { outcome: "accepted" })
          assert.deepStrictEqual(yield* Queue.take(taken), payload)
        }))
    })
  }
}

describe("a command of a tab that shares its connection", () => {
  for (const shared of [undefined, "ada"]) {
    it.live(`is not done any more once its tab gave it up while nobody could be reached (${shared ?? "not shared"})`, () =>
      Effect.gen(function*() {
        const served = yield* serve()
        const proxy = yield* proxyTo(() => served.port)
        const given = yield* token("ada")
        const browser = fakeBrowser()
        const tab = Effect.acquireRelease(
          Effect.sync(() => {
            const { BroadcastChannel, locks } = browser.tab()
            const url = `ws://127.0.0.1:${proxy.port}/events`
            const platform = { BroadcastChannel, locks }
            return connect({ url, token: given, shared, platform, backoff: { baseMs: 5, capMs: 50 } })
          }),
          ({ close }) => Effect.sync(close)
        )
        const first = yield* tab
        yield* until("the first", () => first.status.getSnapshot().state === "live")
        const tabs = [first, yield* tab]
        const areLive = () => tabs.every(({ status }) => status.getSnapshot().state === "live")
        yield* until("all live", () => areLive() && proxy.stats().open === (shared === undefined ? 2 : 1))
        yield* begin(served, Effect.never)
        yield* until("the run", () => tabs.every(({ run }) => run("r1").get()?.status === "active"))
        proxy.hold()
        const asked = yield* Effect.forEach(
          tabs,
          ({ run }) => Effect.flip(Effect.tryPromise(() => run("r1").cancel({ timeoutMs: 300 }))),
          { concurrency: 2 }
        )
        assert.lengthOf(asked, 2)
        proxy.cut()
        proxy.release()
        const before = proxy.stats().total
        yield* until("live again", () => areLive() && proxy.stats().total > before)
        yield* Effect.sleep("500 millis")
        assert.deepStrictEqual(tabs.map(({ run }) => run("r1").get()?.status), ["active", "active"])
      }))
  }
})
