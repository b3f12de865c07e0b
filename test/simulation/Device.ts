/**
 * A device over a network that breaks: the client's own session at one end, a connection of the hub at the other, and
 * between them a wire that holds messages until they are let through.
 */
import { Clock, Effect, Fiber } from "effect"
import type { Identity, Position } from "../../src/index.ts"
import { Frame } from "../../src/protocol/index.ts"
import * as Session from "../../src/client/session/DeviceSession.ts"
import { defaults, init, type Moment, type State } from "../../src/client/session/SessionState.ts"
import type { Action, Input, Item } from "../../src/client/session/SessionIO.ts"
import type { Status } from "../../src/client/session/Status.ts"
import type { Connection } from "../../src/hub/connection/Connection.ts"
import { frames } from "../../src/hub/connection/FrameEncoder.ts"
import type { Hub } from "../../src/hub/Hub.ts"
import type { Message, Transport } from "../../src/hub/Transport.ts"
import { ConnectionId } from "../../src/protocol/values/Identity.ts"
import * as Monotonic from "../../src/protocol/values/Monotonic.ts"

export interface Options {
  readonly hub: Hub["Service"]
  readonly user: Identity.UserId
  readonly seed: number
  /** How many writes the wire takes before it is full; no limit by default. */
  readonly room?: number
}

class Wire implements Transport {
  readonly messages: Array<string> = []
  readonly room: number
  connection: Connection | undefined
  /** Whether more was written though it was full. */
  overrun = false
  /** Why the server closed; the device learns of it when everything before has come through. */
  closeCode: number | undefined
  private ready: (() => void) | undefined
  private isFull = false

  constructor(room: number) {
    this.room = room
  }

  write(messages: ReadonlyArray<Message>): boolean {
    if (this.isFull) this.overrun = true
    this.messages.push(...messages.map(String))
    this.isFull = this.messages.length >= this.room
    return !this.isFull
  }

  whenWritable(ready: () => void): void {
    this.ready = ready
  }

  backlog(): number {
    return this.messages.reduce((sum, message) => sum + message.length, 0)
  }

  close({ code }: { readonly code: { readonly code: number } }): void {
    this.closeCode ??= code.code
  }

  destroy(): void {
    this.closeCode ??= 1006
  }

  take(): string | undefined {
    const message = this.messages.shift()
    if (this.messages.length >= this.room) return message
    this.isFull = false
    const { ready } = this
    this.ready = undefined
    ready?.()
    return message
  }
}

export class Device {
  readonly user: Identity.UserId
  /** Everything that was handed over, in order, and the times of it. */
  readonly items: Array<Item> = []
  readonly statuses: Array<Status> = []
  /** What the connection never sent must not be acknowledged; this is the most that was. */
  acknowledged: Position.Position | undefined
  private readonly options: Options
  private readonly clock: Clock.Clock
  private readonly runFork: <A, E>(effect: Effect.Effect<A, E>) => Fiber.Fiber<A, E>
  private state: State
  private wire: Wire | undefined
  private unhandled: Array<Position.Position> = []
  private connections = 0

  private constructor(options: Options, clock: Clock.Clock, runFork: Device["runFork"]) {
    this.options = options
    this.user = options.user
    this.clock = clock
    this.runFork = runFork
    this.state = init({ ...defaults, start: "earliest" }, options.seed, momentOf(clock))
  }

  /** A device that connects now, and wants everything that is kept. */
  static make = (options: Options): Effect.Effect<Device> =>
    Effect.gen(function*() {
      const runFork = Effect.runForkWith(yield* Effect.context<never>())
      const device = new Device(options, yield* Clock.Clock, runFork)
      device.tell({ _tag: "start" })
      return device
    })

  get status(): Status {
    return Session.statusOf(this.state)
  }

  get position(): Position.Position | undefined {
    return this.state.position
  }

  /** Whether it is connected, and has taken and handled all of a log with this head. */
  isUpToDate(head: number): boolean {
    const { handled, position } = this.state
    return this.status.state === "live" && (position?.offset ?? 0) === head && (handled?.offset ?? 0) === head
  }

  /** Whether the server wrote to it though it was full. */
  get overrun(): boolean {
    return this.wire?.overrun === true
  }

  /** Lets messages through, as many as there are by default. */
  receive(most = Infinity): void {
    for (let count = 0; count < most; count++) {
      const { wire } = this
      if (wire === undefined) return
      const message = wire.take()
      if (message !== undefined) this.tell({ _tag: "message", connection: this.state.connection, data: message })
      else if (wire.closeCode === undefined) return
      else this.lose(wire.closeCode)
    }
  }

  /** The program handles all that was delivered. */
  handle(): void {
    const position = this.unhandled.splice(0).at(-1)
    if (position !== undefined) this.tell({ _tag: "handled", position })
  }

  /** Time has passed: for the device, and for the connection that a gateway looks after. */
  tick(): void {
    this.wire?.connection?.tick(Monotonic.millisUnsafe(this.clock))
    this.tell({ _tag: "tick" })
  }

  /** The network goes, with all that was on its way. */
  cut(): void {
    if (this.wire !== undefined) this.lose(1006)
  }

  /** The network is back: no need to wait for longer than a moment. */
  wake(): void {
    this.tell({ _tag: "wake" })
  }

  close(): void {
    this.tell({ _tag: "close" })
  }

  private lose(code: number): void {
    this.hangUp()
    this.tell({ _tag: "closed", connection: this.state.connection, code, reason: "" })
  }

  private hangUp(): void {
    const { wire } = this
    this.wire = undefined
    if (wire?.connection !== undefined) this.runFork(this.options.hub.release(wire.connection))
    if (wire !== undefined) wire.closeCode ??= 1006
  }

  private tell(input: Input): void {
    const { actions, state } = Session.step(this.state, input, momentOf(this.clock))
    this.state = state
    for (const action of actions) this.run(action)
  }

  private run(action: Action): void {
    switch (action._tag) {
      case "connect":
        this.wire = new Wire(this.options.room ?? Infinity)
        return this.tell({ _tag: "opened", connection: action.connection })
      case "send":
        if (action.frame.type === "hello") this.open(action.frame.resume)
        if (action.frame.type === "ack") this.acknowledge(action.frame.offset, action.frame.confirmed)
        return
      case "disconnect":
        return this.hangUp()
      case "deliver":
        this.items.push(...action.items)
        this.unhandled.push(action.position)
        return
      case "status":
        this.statuses.push(action.status)
        return
      case "askToken":
      case "save":
        return
    }
  }

  private acknowledge(offset: number, confirmed: ReadonlyArray<number> | undefined): void {
    const { connection } = this.wire ?? {}
    if (connection === undefined) return
    const { epoch } = connection.position
    this.acknowledged = { epoch, offset }
    this.runFork(connection.acknowledge(offset, epoch, confirmed))
  }

  // A hello is answered by the hub, as the gateway does once it knows who is there.
  private open(resume: Position.Position | undefined): void {
    const { wire } = this
    if (wire === undefined) return
    const { hub, user } = this.options
    const id = ConnectionId.make(`${user}-${++this.connections}`)
    const opening = hub.open(
      { id, user, resume, threads: undefined, encoder: frames, transport: wire },
      (opening) => Frame.encode({ type: "welcome", connection: id, ...opening, heartbeatMs: 0, retentionMs: 1 })
    )
    const settle = (connection: Connection | undefined) => {
      if (connection === undefined) wire.closeCode = 4503
      else if (this.wire === wire) wire.connection = connection
      else this.runFork(hub.release(connection))
    }
    const fiber = this.runFork(Effect.orElseSucceed(opening, () => undefined))
    fiber.addObserver((exit) => settle(exit._tag === "Success" ? exit.value : undefined))
  }
}

const momentOf = (clock: Clock.Clock): Moment => ({
  monotonic: Math.floor(Monotonic.millisUnsafe(clock)),
  wall: clock.currentTimeMillisUnsafe()
})
