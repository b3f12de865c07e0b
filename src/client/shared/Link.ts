/**
 * A tab's connection where tabs share one: a socket to its session, which does not see
 * the difference.
 *
 * - A session that can go on from a position asks the leader for what follows.
 * - Otherwise, and where the leader has not kept what follows, it connects by itself.
 *   Once it has caught up and acknowledged all of it, it joins the leader, and its own
 *   connection is closed.
 * - Events of other threads than the session's are left out here, as a gateway leaves
 *   them out.
 * - A leader that does not answer for 2 seconds is replaced.
 *
 * @since 0.2.0
 */
import type { WireEvent } from "../../protocol/event/ReceivedEvent.ts"
import type { Position } from "../../protocol/values/Position.ts"
import type { ClientFrame } from "../transport/ClientFrame.ts"
import type { OpenSocket, SocketListener } from "../transport/Platform.ts"
import type { decode } from "../transport/ServerFrames.ts"
import type { reconnecting } from "../session/Handshake.ts"
import type { ToLeader, ToTab } from "./Message.ts"
import { takes } from "./Thread.ts"

/** How often a leader is asked whether it is there, and how long its answer may take. */
const probeMs = 5_000
const silentMs = 2_000

/** How late a timer may ring in a page that could do something. */
const lateMs = 2_000

/** What a lost network looks like on a WebSocket. */
const lost = 1006

/** Said by a session whose connection may only look alive. */
const renewing: typeof reconnecting = "reconnecting"

type Hello = Extract<ClientFrame, { readonly type: "hello" }>

/**
 * What a tab's connection needs.
 *
 * - `open`: opens a connection of its own.
 * - `say`: tells whoever leads, which may be this tab.
 * - `steal`: makes this tab the leader, in place of one that is silent.
 * - `after`: calls once after so many milliseconds, and returns what cancels it.
 *   `monotonic`: the time.
 * - `decode`: reads a message of the gateway.
 *
 * @category models
 * @since 0.2.0
 */
export interface Ground {
  readonly id: string
  readonly decode: typeof decode
  readonly listener: SocketListener
  readonly open: (listener: SocketListener) => OpenSocket | undefined
  readonly say: (message: ToLeader) => void
  readonly steal: () => void
  readonly after: (ms: number, run: () => void) => () => void
  readonly monotonic: () => number
}

/** How far a connection of its own has come. `acked`: the last offset that was acknowledged. */
interface Alone {
  readonly _tag: "Alone"
  socket: OpenSocket | undefined
  readonly resume: Position | undefined
  position: Position | undefined
  head: Position | undefined
  acked: number
  snapshots: number
  isAsking: boolean
}

type Mode =
  | { readonly _tag: "New" }
  | { readonly _tag: "Asking"; readonly position: Position }
  | Alone
  | { readonly _tag: "Joined"; readonly leader: string }
  | { readonly _tag: "Closed" }

/**
 * Its own members have `#` names, which minifiers shorten: a page loads this class.
 *
 * @category drivers
 * @since 0.2.0
 */
export class Link implements OpenSocket {
  readonly #ground: Ground
  #mode: Mode = { _tag: "New" }
  #hello: Hello = { type: "hello" }
  #isHeard = false
  #cancel: () => void = () => {}
  #cancelProbe: () => void = () => {}

  constructor(ground: Ground) {
    this.#ground = ground
    queueMicrotask(() => {
      if (this.#mode._tag === "New") ground.listener.opened()
    })
  }

  send(frame: ClientFrame): void {
    const mode = this.#mode
    if (frame.type === "hello") return this.#begin(frame)
    if (mode._tag === "Alone") {
      mode.socket?.send(frame)
      if (frame.type !== "ack" || frame.epoch !== mode.position?.epoch) return
      mode.acked = Math.max(mode.acked, frame.offset)
      return this.#join(mode)
    }
    // A token is this tab's own: the leader gets another one by its own means.
    if (mode._tag === "Joined" && frame.type !== "pong") this.#say({ type: "sent", frame: hidden(frame) })
  }

  close(code: number, reason: string): void {
    const mode = this.#mode
    if (mode._tag === "Closed") return
    this.#mode = { _tag: "Closed" }
    this.#cancel()
    this.#cancelProbe()
    if (mode._tag === "Alone") mode.socket?.close(code, reason)
    if (mode._tag !== "New") this.#say({ type: "bye", renews: mode._tag === "Joined" && reason === renewing })
  }

  /** It is over, and its session is told. */
  end(code: number, reason: string): void {
    if (this.#mode._tag === "Closed") return
    this.close(1000, "")
    this.#ground.listener.closed(code, reason)
  }

  /** What it is told by a leader. */
  take(message: ToTab): void {
    const mode = this.#mode
    const { id } = this.#ground
    if (message.to !== undefined && message.to !== id) return
    if (message.type === "lead") {
      this.#isHeard = true
      if (mode._tag === "Joined" && message.leader !== mode.leader) return this.end(lost, "another tab leads now")
      if (mode._tag === "Asking") return this.#ask(mode.position)
      if (mode._tag === "Alone") {
        mode.isAsking = false
        return this.#join(mode)
      }
      return
    }
    if (mode._tag === "Joined" && message.leader !== mode.leader) return
    this.#isHeard = true
    switch (message.type) {
      case "alive":
        return
      case "joined":
        return this.#joined(message.leader, message.frames)
      case "alone":
        if (mode._tag === "Asking") return this.#openOwn()
        if (mode._tag === "Alone") mode.isAsking = false
        return
      case "frame":
        return mode._tag === "Joined" ? this.#hand(message.frame) : undefined
      case "ask":
        return mode._tag === "Joined" ? this.#say({ type: "here" }) : undefined
      case "down":
        if (mode._tag === "Alone") mode.isAsking = false
        else if (mode._tag !== "New") this.end(message.code, message.reason)
    }
  }

  #begin(hello: Hello): void {
    this.#hello = hello
    const { resume, snapshots } = hello
    this.#watch()
    if (resume === undefined || snapshots !== undefined) return this.#openOwn()
    this.#mode = { _tag: "Asking", position: resume }
    this.#ask(resume)
  }

  #ask(position: Position): void {
    this.#say({ type: "hello", position, threads: this.#hello.threads })
    this.#expect()
  }

  /** From now on the leader has a while to say something. */
  #expect(): void {
    const { after, monotonic, steal } = this.#ground
    const dueAt = monotonic() + silentMs
    this.#cancelProbe()
    this.#isHeard = false
    this.#cancelProbe = after(silentMs, () => {
      if (this.#isHeard) return
      // A tab that was late itself has not heard yet what was said meanwhile.
      if (monotonic() < dueAt + lateMs) return steal()
      this.#say({ type: "probe" })
      this.#expect()
    })
  }

  #watch(): void {
    this.#cancel = this.#ground.after(probeMs, () => {
      const mode = this.#mode
      if (mode._tag === "Alone" && !mode.isAsking) this.#join(mode)
      else {
        this.#say({ type: "probe" })
        this.#expect()
      }
      this.#watch()
    })
  }

  #joined(leader: string, frames: ReadonlyArray<string>): void {
    const mode = this.#mode
    if (mode._tag !== "Asking" && mode._tag !== "Alone") return
    const [welcome = "", ...others] = frames
    this.#mode = { _tag: "Joined", leader }
    if (mode._tag === "Alone") mode.socket?.close(1000, "shared")
    else this.#ground.listener.message(welcome)
    for (const frame of others) this.#hand(frame)
  }

  /** Gives the session a frame, without events of other threads. */
  #hand(text: string): void {
    const { decode, listener } = this.#ground
    const { threads } = this.#hello
    const frame = threads === undefined ? undefined : decode(text)
    if (frame?.type !== "events") return listener.message(text)
    const events = frame.events.filter(({ thread }) => takes(threads, thread))
    listener.message(JSON.stringify({ ...frame, upTo: frame.events.at(-1)?.offset ?? frame.upTo, events }))
  }

  #openOwn(): void {
    const { decode, listener, open } = this.#ground
    const hello = this.#hello
    const mode: Alone = {
      _tag: "Alone",
      socket: undefined,
      resume: hello.resume,
      position: undefined,
      head: undefined,
      acked: -1,
      snapshots: 0,
      isAsking: false
    }
    this.#mode = mode
    mode.socket = open({
      ...listener,
      opened: () => mode.socket?.send(hello),
      message: (data) => {
        note(mode, decode(data))
        listener.message(data)
        this.#join(mode)
      },
      closed: (code, reason) => {
        if (this.#mode === mode) this.end(code, reason)
      }
    })
  }

  /** Joins the leader, once nothing is left to come or to be acknowledged. */
  #join(mode: Alone): void {
    const { acked, head, isAsking, position, snapshots } = mode
    if (isAsking || this.#mode !== mode || position === undefined || head === undefined || snapshots > 0) return
    if (position.epoch !== head.epoch || position.offset < head.offset || acked < position.offset) return
    mode.isAsking = true
    this.#ask(position)
  }

  #say(message: Said<ToLeader>): void {
    this.#ground.say({ ...message, from: this.#ground.id })
  }
}

/** A message of each kind without the name of who says it. */
type Said<M> = M extends ToLeader ? Omit<M, "from"> : never

const hidden = (frame: ClientFrame): ClientFrame => frame.type === "token" ? { ...frame, token: "" } : frame

/** Notes how far a connection of its own has come, as its session does. */
const note = (mode: Alone, frame: ReturnType<typeof decode>): void => {
  const { position, resume } = mode
  switch (frame.type) {
    case "welcome": {
      const { epoch, offset, recovered, snapshots } = frame
      mode.head = { epoch, offset }
      const start = resume === undefined ? mode.head : recovered ? resume : undefined
      mode.snapshots = snapshots
      return reach(mode, start)
    }
    case "gap":
      mode.snapshots = frame.snapshots
      if (mode.head?.epoch !== frame.epoch) mode.head = { epoch: frame.epoch, offset: frame.to }
      return reach(mode, { epoch: frame.epoch, offset: frame.to })
    case "snapshot":
      mode.snapshots -= 1
      return
    case "events":
      if (position !== undefined) {
        mode.position = { ...position, offset: Math.max(position.offset, frame.upTo ?? 0, lastOf(frame.events)) }
      }
  }
}

const lastOf = (events: ReadonlyArray<WireEvent>): number => events.at(-1)?.offset ?? 0

/** There is nothing to acknowledge up to here. */
const reach = (mode: Alone, position: Position | undefined): void => {
  mode.position = position
  mode.acked = position?.offset ?? -1
}
