/**
 * Sessions as a gateway has them, over its own hub, broker and authenticator; the sockets under them are the fuzzer's, so
 * that a million messages take seconds. What may leak is counted.
 */
import { Clock, Effect, type Fiber } from "effect"
import { Broker } from "../../../src/broker/Broker.ts"
import { Authenticator } from "../../../src/gateway/authentication/Authenticator.ts"
import type { Session } from "../../../src/gateway/session/Session.ts"
import type { SessionContext } from "../../../src/gateway/session/SessionContext.ts"
import { Strangers } from "../../../src/gateway/admission/Strangers.ts"
import * as OperatorLog from "../../../src/gateway/OperatorLog.ts"
import { WebSocketSession, type Wire } from "../../../src/gateway/websocket/WebSocketSession.ts"
import * as Hub from "../../../src/hub/Hub.ts"
import type { Message } from "../../../src/hub/Transport.ts"
import { closeCodes } from "../../../src/protocol/wire/CloseCode.ts"
import * as Frame from "../../../src/protocol/wire/Frame.ts"
import type { Envelope } from "../../../src/protocol/wire/Envelope.ts"
import { ConnectionId } from "../../../src/protocol/values/Identity.ts"
import { toEnvelope } from "../../support/envelopes.ts"
import { CommandsDouble, makeCommands } from "../commands.ts"
import { principal } from "./authenticator.ts"

/** So many messages a session may send at once; no time passes in a world. */
export const burst = 50

const many = { count: Infinity, ms: Infinity }
const patient = { bytes: Infinity, ms: Infinity }

/** The network's end of a session: what was written to it, and how it was closed. */
export class FuzzWire implements Wire {
  readonly frames: Array<Frame.ServerFrame> = []
  closed: { readonly code: number; readonly reason: string } | undefined
  readonly backlog = 0
  readonly unsent = 0

  sendAll(messages: ReadonlyArray<Message>): boolean {
    if (this.closed !== undefined) throw new Error("written after the close")
    for (const message of messages) {
      const frame = Frame.decodeServer(message.toString())
      if (frame._tag === "Failure") throw frame.failure
      this.frames.push(frame.success)
    }
    return true
  }

  whenWritable(): void {
    throw new Error("asked for room that there always is")
  }

  close(code: number, reason: string): void {
    if (this.closed !== undefined) throw new Error("closed twice")
    this.closed = { code, reason }
  }

  terminate(): void {
    this.close(1006, "")
  }
}

/** A world, until its scope closes. */
export const make = Effect.gen(function*() {
  const broker = yield* Broker
  const commands = yield* makeCommands(new CommandsDouble(), { rate: { perConnection: Infinity, perUser: Infinity } })
  const authenticator = yield* Authenticator
  const clock = yield* Clock.Clock
  const fork = Effect.runForkWith(yield* Effect.context<never>())
  const hub = yield* Hub.make({
    perUser: 100,
    perNode: 1_000,
    maxFrameBytes: 64 * 1024,
    degradedMs: 60_000,
    backlog: { perConnection: Infinity, perNode: Infinity },
    slow: { volatile: patient, batched: patient, close: patient }
  })
  const sessions = new Set<Session>()
  const strangers = new Strangers({ silent: many, unauthenticated: many, refused: many }, () => 0)
  const fibers = new Set<Fiber.Fiber<unknown, unknown>>()
  let ids = 0
  const context: SessionContext = {
    limits: {
      helloTimeoutMs: 5_000,
      heartbeatMs: 25_000,
      silenceMs: 37_500,
      expiryGraceMs: 10_000,
      framesPerSecond: burst,
      maxSnapshots: 100,
      maxFrameBytesIn: 16_384,
      retentionMs: 60_000
    },
    hub,
    commands,
    authenticator,
    strangers,
    clock,
    compressor: undefined,
    run: (effect) => {
      const fiber = fork(effect)
      if (fiber.pollUnsafe() === undefined) {
        fibers.add(fiber)
        fiber.addObserver(() => fibers.delete(fiber))
      }
      return fiber
    },
    add: (session) => sessions.add(session),
    remove: (session) => sessions.delete(session),
    closed: () => {},
    nextId: () => ConnectionId.make(`c${ids++}`),
    tell: OperatorLog.make(clock),
    admits: () => true,
    comeBackAfterMs: () => 0
  }

  return {
    broker,
    open: (header: string | undefined) => {
      const wire = new FuzzWire()
      return {
        wire,
        session: new WebSocketSession(context, wire, header === undefined ? undefined : principal(header))
      }
    },
    /** Lets everything that is under way come to its end. */
    settled: Effect.gen(function*() {
      for (let turn = 0; fibers.size > 0; turn++) {
        if (turn > 10_000) return yield* Effect.die(new Error(`${fibers.size} fibers never end`))
        yield* Effect.yieldNow
      }
    }),
    /** What is left: nothing but the neighbours, if all is well. */
    left: Effect.map(hub.stats, ({ backlog, connections, users }) => ({
      sessions: sessions.size,
      fibers: fibers.size,
      connections,
      users,
      backlog
    }))
  }
})

let envelopes = 0

/** An envelope as an emitter would make it. */
export const envelope = (n: number): Envelope => {
  const sequence = ++envelopes
  return toEnvelope({ id: `e${sequence}`, source: "fuzz", sequence, at: 0, data: { n } })
}

/** The name that belongs to a code, as a close has to give it. */
export const nameOf = (code: number): string | undefined =>
  Object.values(closeCodes).find((known) => known.code === code)?.name
