/**
 * This package: emitters, a broker and the gateway, as a program would put them together, with their defaults.
 *
 * Started with `critical` or `batched`, it sends events of that class. Started with `kept`, its broker keeps enough for
 * the longest absence asked about; with `idle`, no more than by default. The broker is in memory, or, where the address
 * of a Redis or a Postgres follows, or `normal` or `full` and the path of a file, in there, and keeps no more than by default.
 */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { Effect, Exit, Layer, ManagedRuntime, Scope } from "effect"
import { HttpRouter, HttpServer } from "effect/http"
import { createServer } from "node:http"
import { Gateway } from "../../src/gateway/index.ts"
import { AgentEvents, Broker, type Emitter, EmitterLayer, Emitters, type Event, Identity } from "../../src/index.ts"
import { PostgresBroker } from "../../src/broker/postgres/index.ts"
import { RedisBroker } from "../../src/broker/redis/index.ts"
import { SqliteBroker } from "../../src/broker/sqlite/index.ts"
import { seconds } from "../harness/clock.ts"
import { on, serve } from "../harness/process.ts"
import { check } from "../harness/question.ts"
import { context, Noted, type Payload, payloadOf, Probe } from "../harness/workload.ts"
import * as calls from "./calls.ts"
import { atRates, inTurns, onCpu, onSpreadProbes, settledMemory } from "./shared.ts"
import { authenticator, ticketFor } from "./tickets.ts"
import { onTurns } from "./turns.ts"

type Bound = Emitter.Emitter["Service"]

const [mode, url, file] = process.argv.slice(2)
const isDefault = mode === "idle" || url !== undefined
const path = "/events"

// A sender that never pauses may be ahead of its reader by more than the defaults allow, which are 4,096 events and 1 MiB.
const retention: { readonly maxEvents?: number; readonly maxBytes?: number } = isDefault
  ? {}
  : { maxEvents: mode === "kept" ? 150_000 : 65_536, maxBytes: 128 * 1024 * 1024 }

const lag = { bytes: retention.maxBytes ?? 1024 * 1024 }
const slow = isDefault ? {} : { volatile: lag, batched: lag, close: lag }

// That a hundred devices come at once, where each connection is a process, is not what is asked about.
const slowly = { deadline: "10 seconds", silence: "10 seconds", lease: "1 minute" } as const

const broker: Layer.Layer<Broker.Broker, { readonly message: string }> = url === undefined
  ? Broker.layerMemory(retention)
  : file !== undefined
  ? SqliteBroker.layer({ file, synchronous: url === "full" ? "full" : "normal" })
  : url.startsWith("redis:")
  ? RedisBroker.layer({ url })
  : PostgresBroker.layer({ url, migrate: true, ...slowly })

const runtime = ManagedRuntime.make(
  HttpRouter.serve(Gateway.layer({ path, slow, connections: { perSecond: 20_000, perUser: 1_000 } }), {
    disableListenLog: true,
    disableLogger: true
  }).pipe(
    Layer.provideMerge(EmitterLayer()),
    Layer.provideMerge(broker),
    Layer.provide(authenticator),
    Layer.provideMerge(NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1" }))
  )
)

const bound = new Map<string, Bound>()
const scope = Scope.makeUnsafe()

/** The user's emitter, with a run under way. */
const emitterOf = (user: string) =>
  Effect.gen(function*() {
    const known = bound.get(user)
    if (known !== undefined) return known
    const emitters = yield* Emitters
    const emitter = yield* emitters.forUser(context(user)).pipe(Scope.provide(scope))
    yield* emitter.emit(AgentEvents.AgentStarted.make({ agentName: "bench" }))
    bound.set(user, emitter)
    return emitter
  })

const eventOf: (payload: Payload) => Event.Event = mode === "critical"
  ? AgentEvents.AgentThinking.make
  : Noted.make

const emitAll = (emitter: Bound, from: number, count: number) =>
  Effect.gen(function*() {
    for (let step = from; step < from + count; step++) yield* emitter.emit(eventOf(payloadOf(step)))
  })

/** One fiber emits batched events; critical ones each wait for their append, so each user's have a fiber of their own. */
const spread = (emitters: ReadonlyArray<Bound>, from: number, count: number) => {
  const users = emitters.length
  const emitEvery = (stride: number, first: number) =>
    Effect.gen(function*() {
      for (let step = from + first; step < from + count; step += stride) {
        const emitter = emitters[(step - from) % users]
        if (emitter !== undefined) yield* emitter.emit(eventOf(payloadOf(step)))
      }
    })
  return mode === "critical"
    ? Effect.forEach(emitters, (_, user) => emitEvery(users, user), { concurrency: "unbounded", discard: true })
    : emitEvery(1, 0)
}

/** The users in turn, beginning with the one whose turn it is after so many events. */
const rotated = (emitters: ReadonlyArray<Bound>, sent: number): ReadonlyArray<Bound> => {
  const at = sent % emitters.length
  return [...emitters.slice(at), ...emitters.slice(0, at)]
}

serve(
  onCpu,
  onTurns,
  on(calls.listen, async ({ users }) => {
    const { address } = await runtime.runPromise(HttpServer.HttpServer)
    check("port" in address, "the server has no port")
    for (const user of mode === "idle" ? [] : users) await runtime.runPromise(emitterOf(user))
    return {
      url: `ws://127.0.0.1:${address.port}${path}`,
      tickets: await Promise.all(users.map(ticketFor))
    }
  }),
  on(calls.send, async ({ count, from, user }) => {
    const emitter = await runtime.runPromise(emitterOf(user))
    const startedAt = seconds()
    await runtime.runPromise(emitAll(emitter, from, count))
    return { startedAt }
  }),
  on(calls.spread, async ({ count, from, perSecond, users }) => {
    const emitters = await Promise.all(users.map((user) => runtime.runPromise(emitterOf(user))))
    const startedAt = seconds()
    if (perSecond === undefined) {
      await runtime.runPromise(spread(emitters, from, count))
    } else {
      let sent = 0
      const rates = { backgroundPerSecond: perSecond, probesPerSecond: 0, seconds: count / perSecond }
      await atRates(rates, (more) => {
        const next = sent
        sent += more
        return runtime.runPromise(spread(rotated(emitters, next), from + next, more))
      }, () => undefined)
    }
    return { startedAt }
  }),
  onSpreadProbes((user, probe) =>
    runtime.runPromise(Effect.flatMap(emitterOf(user), ({ emit }) => Effect.asVoid(emit(Probe.make(probe)))))
  ),
  on(calls.drained, () =>
    runtime.runPromise(Effect.gen(function*() {
      const emitters = yield* Emitters
      while (true) {
        const { deadLettered, delivery, dropped, pending } = yield* emitters.stats
        if (pending === 0 && delivery.spool?.events === 0) {
          const lost = deadLettered + Object.values(dropped).reduce((sum, count) => sum + count, 0)
          return { at: seconds(), spooled: delivery.drainedEvents, lost }
        }
        yield* Effect.sleep("5 millis")
      }
    }))),
  on(calls.pace, async (rates) => {
    const emitters = [...bound.values()]
    const [first] = emitters
    check(first !== undefined, "there are no users")
    let step = 0
    const background = (count: number) =>
      Effect.gen(function*() {
        for (let index = 0; index < count; index++) {
          const emitter = emitters[step % emitters.length] ?? first
          yield* emitter.emit(Noted.make(payloadOf(step++)))
        }
      })
    return atRates(
      rates,
      (count) => runtime.runPromise(background(count)),
      async (sequence) => {
        const sentAt = seconds()
        await runtime.runPromise(first.emit(Probe.make({ ...payloadOf(sequence), sentAt })))
      }
    )
  }),
  on(calls.window, async ({ inTurn }) => {
    const emitters = [...bound.values()]
    const emitSome = Effect.fnUntraced(function*(some: ReadonlyArray<Bound>) {
      for (const emitter of some) yield* emitter.emit(Noted.make(payloadOf(0)))
    })
    await inTurns(emitters, inTurn, (some) => runtime.runPromise(emitSome(some)))
    return { background: emitters.length }
  }),
  on(calls.memory, async () => {
    const { connections } = await runtime.runPromise(Effect.flatMap(Gateway.Gateway, ({ stats }) => stats))
    return { ...await settledMemory(), connections }
  }),
  on(calls.keep, async ({ count, user }) => {
    const emitter = await runtime.runPromise(emitterOf(user))
    await runtime.runPromise(emitAll(emitter, 0, count))
    return runtime.runPromise(Effect.gen(function*() {
      // A critical event takes along what is still pending.
      yield* emitter.emit(AgentEvents.AgentThinking.make({ text: "done" }))
      const broker = yield* Broker.Broker
      const { epoch, offset } = yield* broker.head(Identity.UserId.make(user))
      return { epoch, head: offset }
    }))
  })
)

process.on("SIGTERM", () => {
  const closing = Effect.runPromise(Scope.close(scope, Exit.void)).then(() => runtime.dispose())
  void closing.finally(() => process.exit())
})
