/**
 * Drives a session against the model server, one small step at a time, and records what it delivers.
 */
import { RunStore } from "../../src/client/driver/RunStore.ts"
import { statusOf, step, wakeAt } from "../../src/client/session/DeviceSession.ts"
import type { Action, Input, Item } from "../../src/client/session/SessionIO.ts"
import { type Config, defaults, init, type State } from "../../src/client/session/SessionState.ts"
import { moment } from "./moment.ts"
import type { Position } from "../../src/protocol/values/Position.ts"
import { answerOf } from "../../src/client/transport/Diagnosis.ts"
import type { TransportName } from "../../src/client/transport/Transports.ts"
import { type Dice, type ModelServer, ServerSocket } from "./ModelServer.ts"

export class ModelClient {
  readonly server: ModelServer
  readonly dice: Dice
  readonly items: Array<Item> = []
  readonly saved: Array<Position> = []
  readonly acked: Array<{ readonly epoch: string; readonly offset: number; readonly handled: Position | undefined }> =
    []
  /** What became of commands, by their ids. */
  readonly outcomes = new Map<string, string>()
  readonly runs = new RunStore(10_000)
  socket: ServerSocket | undefined
  state: State
  now = 1_000
  connections = 0
  /** Which transports something on the way lets through. */
  blocked: ReadonlyArray<TransportName> = []
  /** Whether the gateway answers plain requests: not while the network is down. */
  answering = true
  /** Whether acknowledgements by HTTP arrive. */
  posting = true
  transport: TransportName = "websocket"
  private checks: Array<number> = []
  private unhandled: Array<Position> = []
  private asked: Array<number> = []
  private readonly unposted: Array<number> = []
  private readonly posted: Array<{ readonly connection: number; readonly confirmed: ReadonlyArray<number> }> = []

  constructor(server: ModelServer, config: Partial<Config> = {}) {
    this.server = server
    this.dice = server.dice
    this.state = init({ ...defaults, hasToken: true, ...config }, this.dice.int(0, 1_000_000), moment(this.now))
    this.tell({ _tag: "start" })
  }

  get live(): boolean {
    return statusOf(this.state).state === "live"
  }

  tell(input: Input): void {
    const result = step(this.state, input, moment(this.now))
    this.state = result.state
    for (const action of result.actions) this.run(action)
  }

  /** The token arrives, the socket opens, or a frame comes through. */
  advance(): void {
    const request = this.asked.shift()
    if (request !== undefined) return this.tell({ _tag: "token", request, answer: { token: "t" } })
    const { connection, phase } = this.state
    if (phase._tag === "Opening") {
      if (this.answering && !this.blocked.includes(this.transport)) return this.tell({ _tag: "opened", connection })
      return this.cut(1006)
    }
    const frame = this.socket?.frames.shift()
    if (frame === undefined) return
    const data = typeof frame === "string" ? frame : JSON.stringify(frame)
    this.tell({ _tag: "message", connection, data })
  }

  /** The gateway's answer to a plain request arrives, and word of acknowledgements that did not. */
  answer(): void {
    const connection = this.checks.shift()
    if (connection !== undefined) {
      this.tell({ _tag: "checked", connection, answer: this.answering ? answerOf(426, "") : undefined })
    }
    for (const posted of this.posted.splice(0)) this.tell({ _tag: "acknowledged", ...posted })
    for (const lost of this.unposted.splice(0)) this.tell({ _tag: "unacknowledged", connection: lost })
  }

  /** The program handles some of what was delivered. */
  handle(most: number): void {
    const done = this.unhandled.splice(0, most).at(-1)
    if (done !== undefined) this.tell({ _tag: "handled", position: done })
  }

  /** Time passes, up to the next timer if nothing else is said. */
  pass(ms = Math.max(0, (wakeAt(this.state) ?? this.now) - this.now)): void {
    this.now += ms
    this.tell({ _tag: "tick" })
  }

  /** The network goes, with all that was on its way. */
  cut(code: number): void {
    this.socket = undefined
    this.tell({ _tag: "closed", connection: this.state.connection, code, reason: "" })
  }

  private run(action: Action): void {
    switch (action._tag) {
      case "askToken":
        this.asked = [action.request]
        return
      case "connect":
        this.connections += 1
        this.transport = action.transport
        this.socket = new ServerSocket()
        return
      case "check":
        this.checks.push(action.connection)
        return
      case "disconnect":
        this.socket = undefined
        return
      case "send": {
        const { socket } = this
        if (socket === undefined) throw new Error("a frame was sent without a socket")
        const { frame } = action
        if (frame.type === "pong" && this.transport === "sse") return
        if (frame.type === "ack") {
          const epoch = this.state.phase._tag === "Open" ? this.state.phase.epoch : "?"
          if (this.transport === "sse" && !this.posting) {
            return void this.unposted.push(this.state.connection)
          }
          if (this.transport === "sse" && frame.epoch !== epoch) throw new Error("an ack of no epoch")
          this.acked.push({ epoch, offset: frame.offset, handled: this.state.handled })
        }
        this.server.receive(socket, frame)
        if (frame.type !== "ack" || this.transport !== "sse") return
        // A request is answered once it was heard.
        this.server.hear(socket)
        this.posted.push({ connection: this.state.connection, confirmed: frame.confirmed ?? [] })
        return
      }
      case "deliver":
        for (const item of action.items) {
          this.items.push(item)
          this.runs.apply(item)
        }
        this.unhandled.push(action.position)
        return
      case "answered": {
        const { id, outcome } = action
        if (this.outcomes.has(id)) throw new Error(`${id} was answered twice`)
        this.outcomes.set(id, outcome?.outcome === "refused" ? outcome.reason : outcome?.outcome ?? "unsupported")
        return
      }
      case "save":
        this.saved.push(action.position)
        return
      case "status":
        return
    }
  }
}
