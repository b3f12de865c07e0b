/**
 * Opens connections of one user on a hub of a test.
 */
import { Effect } from "effect"
import { Broker, type Position } from "effect-emitter"
import { Frame } from "effect-emitter/protocol"
import { frames } from "../../src/hub/connection/FrameEncoder.ts"
import * as Hub from "../../src/hub/Hub.ts"
import { ConnectionId, ThreadId, UserId } from "../../src/protocol/values/Identity.ts"
import type { Transport } from "../../src/hub/Transport.ts"
import type { FakeBroker, FakeTransport } from "./fakes.ts"

export const ada = UserId.make("ada")

export const never = { bytes: Infinity, ms: Infinity }
export const patient = { volatile: never, batched: never, close: never }

export const makeHub = (
  broker: FakeBroker,
  options: Partial<Hub.Options> = {},
  service: Broker.Broker["Service"] = broker.service
) =>
  Hub.make({
    perUser: 100,
    perNode: 100,
    maxFrameBytes: 1024,
    slow: patient,
    backlog: { perConnection: Infinity, perNode: Infinity },
    degradedMs: 300_000,
    ...options
  }).pipe(
    Effect.provideService(Broker.Broker, service)
  )

export const open = (
  hub: Hub.Hub["Service"],
  transport: Transport,
  options: {
    readonly resume?: Position.Position
    readonly threads?: ReadonlyArray<string>
    readonly snapshots?: number
    readonly user?: string
  } = {}
) =>
  hub.open(
    {
      id: ConnectionId.make("c1"),
      user: options.user === undefined ? ada : UserId.make(options.user),
      resume: options.resume,
      threads: options.threads?.map((thread) => ThreadId.make(thread)),
      snapshots: options.snapshots,
      encoder: frames,
      transport
    },
    (opening) =>
      Frame.encode({ type: "welcome", connection: ConnectionId.make("c1"), ...opening, heartbeatMs: 1, retentionMs: 1 })
  )

export const now = Effect.void

/** Lets the event loop turn until all connections have written what they know of: a few write in each turn. */
export const written = (hub: Hub.Hub["Service"]): Effect.Effect<void> =>
  Effect.gen(function*() {
    for (let turn = 0; turn < 1_000; turn++) {
      yield* Effect.yieldNow
      if (yield* hub.settled) return
    }
    return yield* Effect.die(new Error("connections still write after 1,000 turns"))
  })

export const offsets = (transport: FakeTransport) =>
  transport.frames.flatMap((frame) => frame.type === "events" ? frame.events.map(({ offset }) => offset) : [])
