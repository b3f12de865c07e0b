/**
 * What work is counted of: events that are emitted, events that a device gets as well, and emitters and connections that
 * are made and kept.
 *
 * All of it runs by a test's clock, which moves only when it is told to: what comes together in a batch, and when a timer
 * rings, is the same on every machine.
 */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import type * as Scope from "effect/Scope"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServer from "effect/http/HttpServer"
import * as TestClock from "effect/testing/TestClock"
import { createServer } from "node:http"
import { context, Noted, payloadOf, textOf } from "../../../bench/harness/workload.ts"
import { Authenticator, Gateway } from "../../../src/gateway/index.ts"
import { AgentEvents, Broker, type Emitter, EmitterLayer, Emitters, type Event, Identity } from "../../../src/index.ts"
import { openReader, userHeader } from "./reader.ts"
import type { Transport } from "./readerThread.ts"

type Bound = Emitter.Emitter["Service"]

/** Does the work of the events `from` to `from + count - 1`, and is done when all of it is. */
export type Work = (from: number, count: number) => Promise<void>

export interface Kind {
  readonly what: string
  /** How many events the heap is measured over. */
  readonly events: number
  /** Whether what each makes is kept, and its size counts. */
  readonly isKept?: boolean
  /** Makes what the work needs, for the time of `measure`. */
  readonly use: (measure: (work: Work) => Promise<void>) => Promise<void>
}

const user = "ada"

/** So many events come together before time goes on by a batch window. What is measured is a multiple of it. */
export const together = 50

const usageOf = (step: number) => ({
  inputTokens: step % 4_000,
  outputTokens: step % 700,
  cost: step % 100 / 64,
  operation: "answer"
})

const deltaOf = (step: number) => ({ messageId: "message-1", delta: textOf(step).slice(0, 3 + step % 5) })

const makers = {
  critical: (step: number): Event.Event => AgentEvents.AgentThinking.make(payloadOf(step)),
  batched: (step: number): Event.Event => Noted.make(payloadOf(step)),
  usage_reported: (step: number): Event.Event => AgentEvents.UsageReported.make(usageOf(step)),
  text_delta: (step: number): Event.Event => AgentEvents.TextDelta.make(deltaOf(step))
}

type Sort = keyof typeof makers

// A short log is at its bound soon, where it stays.
const engine = EmitterLayer().pipe(
  Layer.provideMerge(Broker.layerMemory({ maxEvents: 512 })),
  Layer.provideMerge(TestClock.layer({ warningDelay: "1 hour" }))
)

// All devices come from one address, within moments.
const gateway = Gateway.layer({ path: "/events", requestsPerAddress: 10_000 })

const served = HttpRouter.serve(gateway, { disableListenLog: true, disableLogger: true })
  .pipe(
    Layer.provide(
      Authenticator.layerRequest(({ headers }) =>
        Effect.succeedSome({ userId: Identity.UserId.make(headers[userHeader] ?? ""), expiresAt: undefined })
      )
    ),
    Layer.provideMerge(engine),
    Layer.provideMerge(NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1" }))
  )

const aWindow = TestClock.adjust("20 millis")

/** What is woken by an event has its turn. */
const aTurn = Effect.promise(() => new Promise<void>((resolve) => void setImmediate(resolve)))

/** No device is there any more: a server that closes would wait for them by the test's clock. */
const allGone = Effect.gen(function*() {
  const { stats } = yield* Gateway.Gateway
  while ((yield* stats).sessions > 0) yield* aTurn
})

/** The user's emitter, with a run under way. */
const emitterInRun = Effect.gen(function*() {
  const emitter = yield* (yield* Emitters).forUser(context(user))
  yield* emitter.emit(AgentEvents.AgentStarted.make({ agentName: "bench" }))
  return emitter
})

/** Runs a program in services of its own, which are gone when it is over. */
const runIn = async <A, E, R, E2>(
  services: Layer.Layer<R, E2>,
  program: Effect.Effect<A, E, R | Scope.Scope>
): Promise<A> => {
  const runtime = ManagedRuntime.make(services)
  try {
    return await runtime.runPromise(Effect.scoped(program))
  } finally {
    await runtime.dispose()
  }
}

/** Makes all kinds. `each` is called for every event, before it is emitted. */
export const kindsWith = (each: () => void): ReadonlyArray<Kind> => {
  const emit = (emitter: Bound, sort: Sort, step: number) => {
    each()
    return emitter.emit(makers[sort](step))
  }

  const emitAll = (emitter: Bound, sort: Sort, from: number, count: number) =>
    Effect.gen(function*() {
      for (let step = from; step < from + count; step++) {
        yield* emit(emitter, sort, step)
        if (step % together === together - 1) yield* aWindow
      }
    })

  const emitted = (sort: Sort, events: number): Kind => ({
    what: `emit, ${sort}`,
    events,
    use: (measure) =>
      runIn(
        engine,
        Effect.gen(function*() {
          const emitter = yield* emitterInRun
          const run = Effect.runPromiseWith(yield* Effect.context<never>())
          yield* Effect.promise(() => measure((from, count) => run(emitAll(emitter, sort, from, count))))
        })
      )
  })

  const kept = (emitters: number): Kind => ({
    what: "an idle emitter, bound to a run",
    events: emitters,
    isKept: true,
    use: (measure) =>
      runIn(
        engine,
        Effect.gen(function*() {
          const { forUser } = yield* Emitters
          const all: Array<Bound> = []
          const makeAll = (from: number, count: number) =>
            Effect.gen(function*() {
              for (let step = from; step < from + count; step++) {
                each()
                all.push(yield* forUser(context(`${user}-${step}`)))
              }
            })
          const run = Effect.runPromiseWith(yield* Effect.context<Scope.Scope>())
          yield* Effect.promise(() => measure((from, count) => run(makeAll(from, count))))
        })
      )
  })

  const connected = (connections: number): Kind => ({
    what: "an idle connection over WebSocket",
    events: connections,
    isKept: true,
    use: (measure) =>
      runIn(
        served,
        Effect.gen(function*() {
          const { address } = yield* HttpServer.HttpServer
          yield* Effect.addFinalizer(() => allGone)
          const connectAll = (from: number, count: number) =>
            Effect.gen(function*() {
              const users = Array.from({ length: count }, (_, n) => `${user}-${from + n}`)
              for (const _ of users) each()
              yield* Effect.acquireRelease(
                Effect.promise(() => openReader("websocket", "port" in address ? address.port : 0, users)),
                ({ close }) => Effect.promise(close)
              )
              // A second's devices have come.
              yield* TestClock.adjust("1 second")
              yield* aTurn
            })
          const run = Effect.runPromiseWith(yield* Effect.context<Gateway.Gateway | Scope.Scope>())
          yield* Effect.promise(() => measure((from, count) => run(connectAll(from, count))))
        })
      )
  })

  const delivered = (transport: Transport, sort: "critical" | "batched", events: number): Kind => ({
    what: `emit and deliver over ${transport === "sse" ? "SSE" : "WebSocket"}, ${sort}`,
    events,
    use: (measure) =>
      runIn(
        served,
        Effect.gen(function*() {
          const { address } = yield* HttpServer.HttpServer
          const emitter = yield* emitterInRun
          const reader = yield* Effect.acquireRelease(
            Effect.promise(() => openReader(transport, "port" in address ? address.port : 0, [user])),
            ({ close }) => Effect.promise(close)
          )
          const deliverAll = (from: number, count: number) =>
            Effect.gen(function*() {
              for (let step = from; step < from + count;) {
                // What is on its way is less than a socket takes at once, however slow the reader is.
                for (const end = step + together; step < end; step++) {
                  yield* emit(emitter, sort, step)
                  if (sort === "critical") yield* aTurn
                }
                yield* aWindow
                const sent = step
                yield* Effect.promise(() => reader.has(sent))
              }
            })
          const run = Effect.runPromiseWith(yield* Effect.context<never>())
          yield* Effect.promise(() => measure((from, count) => run(deliverAll(from, count))))
        })
      )
  })

  return [
    emitted("critical", 2_000),
    emitted("batched", 2_000),
    emitted("usage_reported", 2_000),
    emitted("text_delta", 4_000),
    kept(2_000),
    connected(500),
    delivered("websocket", "critical", 500),
    delivered("websocket", "batched", 1_000),
    delivered("sse", "critical", 500),
    delivered("sse", "batched", 1_000)
  ]
}
