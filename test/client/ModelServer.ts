/**
 * A server as the protocol describes it, small enough to be believed: one user's log, and sockets that deliver what was
 * sent in order until they are cut.
 */
import { RunFold } from "../../src/protocol/run/RunFold.ts"
import type { WireEvent } from "../../src/protocol/event/ReceivedEvent.ts"
import type { ServerFrame } from "../../src/client/transport/ServerFrames.ts"
import type { ClientFrame } from "../../src/client/transport/ClientFrame.ts"

/** A pseudo-random number generator that repeats for a seed. */
export class Dice {
  private state: number

  constructor(seed: number) {
    this.state = seed | 0
  }

  /** A number in [0, 1). */
  next(): number {
    this.state = (this.state + 0x9e3779b9) | 0
    let t = this.state ^ (this.state >>> 16)
    t = Math.imul(t, 0x21f0aaad)
    t ^= t >>> 15
    t = Math.imul(t, 0x735a2d97)
    return ((t ^ (t >>> 15)) >>> 0) / 4_294_967_296
  }

  /** A whole number from `min` to `max`, both included. */
  int(min: number, max: number): number {
    return min + Math.floor(this.next() * (max - min + 1))
  }

  chance(probability: number): boolean {
    return this.next() < probability
  }

  pick<A>(values: ReadonlyArray<A>): A {
    const value = values[this.int(0, values.length - 1)]
    if (value === undefined) throw new Error("nothing to pick from")
    return value
  }
}

/** What a broken server or a broken proxy may do to a frame, once in a while. */
export type Damage = "drop" | "repeat" | "swap" | "garble"

interface Log {
  readonly epoch: string
  readonly events: Array<WireEvent>
  /** The first offset that is still kept. */
  first: number
  readonly folds: Map<string, { readonly fold: RunFold; offset: number }>
}

/** One socket, seen from the server. */
export class ServerSocket {
  readonly frames: Array<ServerFrame | string> = []
  /** Acknowledgements on their way to the server. */
  readonly inbox: Array<Extract<ClientFrame, { readonly type: "ack" }>> = []
  cursor: { epoch: string; offset: number } | undefined
  accepts = false
  threads: ReadonlyArray<string> | undefined
  /** Whether anything was broken on the way, so that the client may well hang up. */
  damaged = false
  /** Whether the server cannot read the log for this socket. */
  degraded = false
}

export class ModelServer {
  readonly dice: Dice
  readonly all: Array<{ readonly epoch: string; readonly event: WireEvent }> = []
  /** What counts as handled by a device. */
  readonly acknowledged: Array<{ readonly epoch: string; readonly offset: number }> = []
  /** The positions of events that a device named as confirmed. */
  readonly confirmed = new Set<string>()
  /** How often a command was done, by its id. */
  readonly done = new Map<string, number>()
  /** Whether its welcomes accept commands. */
  accepts = true
  readonly gaps: Array<Extract<ServerFrame, { readonly type: "gap" }>> = []
  log: Log
  private epochs = 0
  private ids = 0
  private runs = 0
  private readonly open: Array<string> = []

  constructor(dice: Dice) {
    this.dice = dice
    this.log = this.freshLog()
  }

  get head(): number {
    return this.log.events.length
  }

  /** Appends a few events: runs that start, talk and end, and events of no run, in some thread or in none. */
  append(count: number): void {
    for (let i = 0; i < count; i++) this.put(this.event())
  }

  /** Forgets the oldest events. */
  trim(): void {
    this.log.first = this.dice.int(this.log.first, this.head + 1)
  }

  /** Forgets everything. An emitter that did not hear back repeats its last events, with the ids they had. */
  forget(): void {
    const repeated = this.log.events.slice(-this.dice.int(0, 3))
    this.log = this.freshLog()
    for (const event of repeated) this.put(event)
  }

  /** Takes a frame of the client. */
  receive(socket: ServerSocket, frame: ClientFrame): void {
    switch (frame.type) {
      case "hello":
        return this.greet(socket, frame.resume, frame.threads)
      case "ack":
        if (socket.cursor === undefined) throw new Error("an ack came before the hello")
        socket.inbox.push(frame)
        return
      case "command":
        return this.decide(socket, frame)
      default:
        return
    }
  }

  /** A command is done once, or was not looked at, being one too many; its answer may never be sent. */
  private decide(socket: ServerSocket, { id }: Extract<ClientFrame, { readonly type: "command" }>): void {
    if (!socket.accepts) throw new Error("a command came that was not accepted")
    if (this.dice.chance(0.2)) {
      return void socket.frames.push({ type: "command", id, outcome: "refused", reason: "tooMany" })
    }
    if (!this.done.has(id)) this.done.set(id, 1)
    if (this.dice.chance(0.7)) socket.frames.push({ type: "command", id, outcome: "accepted" })
  }

  /** Takes the acknowledgements that have come meanwhile: for the epoch the socket has come to, and no other. */
  hear(socket: ServerSocket): void {
    const { cursor } = socket
    for (const { confirmed = [], epoch = cursor?.epoch, offset } of socket.inbox.splice(0)) {
      if (cursor === undefined || epoch !== cursor.epoch || offset > cursor.offset) continue
      this.acknowledged.push({ epoch, offset })
      for (const named of confirmed) if (named <= offset) this.confirmed.add(`${epoch}:${named}`)
    }
  }

  /** Sends what lies past the socket's cursor, or a part of it. */
  pump(socket: ServerSocket, most = this.dice.int(1, 5)): void {
    const { cursor } = socket
    if (cursor === undefined || socket.degraded) return
    if (cursor.epoch !== this.log.epoch) return this.gap(socket, "epoch", 1, this.log.first - 1)
    if (cursor.offset + 1 < this.log.first) return this.gap(socket, "retention", cursor.offset + 1, this.log.first - 1)
    const events = this.log.events.slice(cursor.offset, cursor.offset + most)
    if (events.length === 0) return
    cursor.offset += events.length
    const wanted = events.filter(({ thread }) =>
      socket.threads === undefined || thread === undefined || socket.threads.includes(thread)
    )
    if (wanted.length === 0 && cursor.offset < this.head && this.dice.chance(0.5)) return
    socket.frames.push({
      type: "events",
      epoch: cursor.epoch,
      ...(socket.threads === undefined ? {} : { upTo: cursor.offset }),
      events: wanted
    })
  }

  /** The device reads too slowly: a stretch is left out. */
  skip(socket: ServerSocket): void {
    const { cursor } = socket
    if (cursor === undefined || socket.degraded || cursor.epoch !== this.log.epoch || cursor.offset >= this.head) return
    this.gap(socket, "slow", cursor.offset + 1, this.dice.int(cursor.offset + 1, this.head))
  }

  /** The log cannot be read, or can be again: a device that was welcomed is told. */
  degrade(socket: ServerSocket, degraded: boolean): void {
    if (socket.cursor === undefined || socket.degraded === degraded) return
    socket.degraded = degraded
    socket.frames.push({ type: "status", state: degraded ? "degraded" : "live" })
  }

  /** Tells a device with a filter how far it has come, then asks whether it is there. */
  ping(socket: ServerSocket): void {
    const { cursor, threads } = socket
    if (cursor === undefined) return
    if (threads !== undefined) {
      socket.frames.push({ type: "events", epoch: cursor.epoch, upTo: cursor.offset, events: [] })
    }
    socket.frames.push({ type: "ping" })
  }

  /** Breaks a frame on its way. */
  damage(socket: ServerSocket, how: Damage): void {
    const at = this.dice.int(0, socket.frames.length - 1)
    const frame = socket.frames[at]
    const isStatus = (index: number) => {
      const at = socket.frames[index]
      return typeof at === "object" && at.type === "status"
    }
    // Nothing tells that word of late events was lost, and it costs none.
    if (frame === undefined || isStatus(at) || isStatus(at + 1)) return
    socket.damaged = true
    const next = socket.frames[at + 1]
    if (how === "drop") socket.frames.splice(at, 1)
    if (how === "repeat") socket.frames.splice(at, 0, frame)
    if (how === "swap" && next !== undefined) socket.frames.splice(at, 2, next, frame)
    if (how === "garble") {
      socket.frames.splice(at, 1, this.dice.pick(["{", "[]", `{"type":"what"}`, `{"type":"events"}`]))
    }
  }

  private greet(
    socket: ServerSocket,
    resume: { readonly epoch: string; readonly offset: number } | undefined,
    threads: ReadonlyArray<string> | undefined
  ): void {
    socket.threads = threads
    const { epoch, first } = this.log
    const snapshots = resume === undefined ? this.snapshots(this.head + 1) : []
    const served = resume === undefined ||
      (resume.epoch === epoch && resume.offset + 1 >= first && resume.offset <= this.head)
    socket.accepts = this.accepts
    socket.frames.push({
      type: "welcome",
      ...(this.accepts ? { accepts: ["command"] } : {}),
      connection: "c",
      epoch,
      offset: this.head,
      recovered: served,
      snapshots: snapshots.length,
      heartbeatMs: 25_000,
      retentionMs: 60_000
    })
    if (resume === undefined) {
      socket.cursor = { epoch, offset: this.head }
      return this.send(socket, snapshots)
    }
    socket.cursor = { ...resume }
    if (!served) {
      if (resume.epoch === epoch) this.gap(socket, "retention", resume.offset + 1, first - 1)
      else this.gap(socket, "epoch", 1, first - 1)
    }
  }

  private gap(socket: ServerSocket, reason: "retention" | "epoch" | "slow", from: number, to: number): void {
    const snapshots = this.snapshots(from)
    const frame = { type: "gap", epoch: this.log.epoch, from, to, reason, snapshots: snapshots.length } as const
    this.gaps.push(frame)
    socket.frames.push(frame)
    socket.cursor = { epoch: this.log.epoch, offset: to }
    this.send(socket, snapshots)
  }

  /** Active runs, and those that had not ended before `from`. */
  private snapshots(from: number): ReadonlyArray<ServerFrame> {
    return Array.from(this.log.folds).flatMap(([run, { fold, offset }]) =>
      fold.ended && offset < from ? [] : [{ type: "snapshot", run, offset: this.head, state: fold.snapshot() } as const]
    )
  }

  /** What may stand between snapshots ends none of them. */
  private send(socket: ServerSocket, snapshots: ReadonlyArray<ServerFrame>): void {
    for (const snapshot of snapshots) {
      if (this.dice.chance(0.2)) socket.frames.push({ type: "ping" })
      if (this.dice.chance(0.1)) socket.frames.push({ type: "status", state: socket.degraded ? "degraded" : "live" })
      socket.frames.push(snapshot)
    }
  }

  private event(): Omit<WireEvent, "offset"> {
    const { dice } = this
    const id = `id-${++this.ids}`
    const kind = dice.next()
    const base = { id, at: this.ids, ...dice.pick([{}, { thread: "a" }, { thread: "b" }]) }
    if (kind < 0.15 || this.open.length === 0) {
      const run = `run-${++this.runs}`
      this.open.push(run)
      return { ...base, type: "agent_started", run, data: { agentName: "a" } }
    }
    const run = dice.pick(this.open)
    if (kind < 0.25) {
      this.open.splice(this.open.indexOf(run), 1)
      return { ...base, type: "agent_completed", run, data: { agentName: "a", durationMs: 1 } }
    }
    if (kind < 0.7) return { ...base, type: "text_delta", run, data: { messageId: "m", delta: `${this.ids},` } }
    return {
      ...base,
      type: "custom",
      ...(dice.chance(0.3) ? { confirm: true } : {}),
      data: { name: "n", data: this.ids }
    }
  }

  private put(event: Omit<WireEvent, "offset">): void {
    const placed: WireEvent = { ...event, offset: this.head + 1 }
    this.log.events.push(placed)
    this.all.push({ epoch: this.log.epoch, event: placed })
    const { at, data, offset, run, thread, type } = placed
    if (run === undefined) return
    const known = this.log.folds.get(run) ?? { fold: new RunFold(), offset }
    known.fold.apply(type, data, at, thread)
    known.offset = offset
    this.log.folds.set(run, known)
  }

  private freshLog(): Log {
    return { epoch: `E${++this.epochs}`, events: [], first: 1, folds: new Map() }
  }
}
