/**
 * The tab that has the connection, as the others see it.
 *
 * - It connects without a filter, from the least position of the tabs that have come,
 *   and hands every event to all of them. Each filters for itself.
 * - A tab that wants what is not kept here is told so, and connects by itself until it
 *   has caught up. Runs are never told by a leader: what only snapshots can tell comes
 *   to each tab from the gateway.
 * - It acknowledges what every tab has handled that takes the event. A tab that does
 *   not answer for 2 seconds does not count, and has to come again.
 * - What becomes of the connection becomes of those of the tabs. A command is kept as long
 *   as its tab repeats it.
 *
 * @since 0.2.0
 */
import type { Outcome } from "../../protocol/command/Command.ts"
import type { Position } from "../../protocol/values/Position.ts"
import type { codes } from "../../protocol/wire/CloseCode.ts"
import type { Relay } from "../driver/PlainDriver.ts"
import type { Item } from "../session/SessionIO.ts"
import type { Status, StatusStore } from "../session/Status.ts"
import type { CommandFrame } from "../transport/ClientFrame.ts"
import type { decode, ServerFrame } from "../transport/ServerFrames.ts"
import { EventTail } from "./EventTail.ts"
import type { ToLeader, ToTab } from "./Message.ts"
import { takes } from "./Thread.ts"

/** How long the first hellos of the tabs are waited for. */
const gatherMs = 200

/** How long a tab may be silent after it was asked. */
const silentMs = 2_000

/** How long a command is kept: its tab sends it again before, while anybody waits for it. */
const commandMs = 15_000

type Welcome = Extract<ServerFrame, { readonly type: "welcome" }>
type Hello = Extract<ToLeader, { readonly type: "hello" }>

/**
 * The leader's connection to the gateway.
 *
 * @category models
 * @since 0.2.0
 */
export interface Upstream {
  readonly status: StatusStore
  readonly handled: (position: Position) => void
  readonly ask: (frame: CommandFrame) => void
  readonly forget: (id: string) => void
  readonly renew: () => void
  readonly reconnect: () => void
  readonly close: () => void
}

/**
 * What a leader needs.
 *
 * - `say`: tells the tabs, its own among them.
 * - `connect`: opens the connection at a position. `heard` is called with each message
 *   of the gateway before it is taken.
 * - `resign`: the gateway wants this tab no more, or it has no token.
 * - `after`: calls once after so many milliseconds, and returns what cancels it.
 * - `decode`: reads a message of the gateway.
 *
 * @category models
 * @since 0.2.0
 */
export interface Ground {
  readonly id: string
  readonly decode: typeof decode
  readonly say: (message: ToTab) => void
  readonly connect: (start: Position, relay: Relay, heard: (data: unknown) => void) => Upstream
  readonly resign: () => void
  readonly after: (ms: number, run: () => void) => () => void
}

/** A tab that takes part. `last` is the last event that it takes, `isAsked` whether it is to say that it is there. */
interface Tab {
  readonly threads: ReadonlyArray<string> | undefined
  handled: number
  last: number
  isAsked: boolean
}

/**
 * Its own members have `#` names, which minifiers shorten: a page loads this class.
 *
 * @category drivers
 * @since 0.2.0
 */
export class Leader {
  readonly #ground: Ground
  readonly #tabs = new Map<string, Tab>()
  readonly #waiting = new Map<string, Hello>()
  /** What ends the wait for each command that was passed on. */
  readonly #asked = new Map<string, () => void>()
  #upstream: Upstream | undefined
  #tail: EventTail | undefined
  #welcome: Welcome | undefined
  #status: Status["state"] = "connecting"
  #isGathering = true
  #isAsking = false
  #handled = -1
  #isOver = false
  #cancel: ReadonlyArray<() => void> = []

  constructor(ground: Ground) {
    this.#ground = ground
    const { after, id, say } = ground
    say({ type: "lead", leader: id })
    this.#cancel = [after(gatherMs, () => {
      this.#isGathering = false
      this.#connect()
    })]
  }

  /** What it is told by a tab. */
  take(message: ToLeader): void {
    const tab = this.#tabs.get(message.from)
    if (tab !== undefined) tab.isAsked = false
    switch (message.type) {
      case "hello":
        this.#say({ type: "alive", to: message.from })
        this.#tabs.delete(message.from)
        this.#waiting.set(message.from, message)
        if (!this.#isGathering) this.#connect()
        // A tab's own next attempt is one for all.
        if (this.#status === "waiting") this.#upstream?.reconnect()
        return this.#admit()
      case "probe":
        this.#say({ type: "alive", to: message.from })
        if (tab === undefined && !this.#waiting.has(message.from)) this.#drop(message.from)
        return
      case "bye":
        this.#tabs.delete(message.from)
        this.#waiting.delete(message.from)
        if (message.renews === true) this.#upstream?.reconnect()
        return this.#settle()
      case "sent":
        return tab && this.#pass(tab, message.frame)
      case "here":
        return
    }
  }

  /** It leads no more; nobody is told. */
  stop(): void {
    this.#isOver = true
    for (const cancel of [...this.#cancel, ...this.#asked.values()]) cancel()
    this.#upstream?.close()
  }

  #pass(tab: Tab, frame: Extract<ToLeader, { readonly type: "sent" }>["frame"]): void {
    switch (frame.type) {
      case "ack":
        if (frame.epoch === undefined || frame.epoch === this.#tail?.epoch) {
          tab.handled = Math.max(tab.handled, frame.offset)
        }
        return this.#settle()
      case "command":
        this.#asked.get(frame.id)?.()
        this.#asked.set(frame.id, this.#ground.after(commandMs, () => this.#forget(frame.id)))
        return this.#upstream?.ask(frame)
      case "token":
        return this.#upstream?.renew()
      case "hello":
      case "pong":
        return
    }
  }

  /** From the least position of those that know the same log. */
  #connect(): void {
    const positions = Array.from(this.#waiting.values(), ({ position }) => position)
    const [first] = positions
    if (this.#upstream !== undefined || first === undefined) return
    const known = positions.filter(({ epoch }) => epoch === first.epoch).map(({ offset }) => offset)
    const start = { epoch: first.epoch, offset: Math.min(...known) }
    this.#tail = new EventTail(start)
    this.#handled = start.offset
    const upstream = this.#ground.connect(
      start,
      {
        deliver: (items, position) => this.#deliver(items, position),
        answered: (id, outcome) => this.#answered(id, outcome)
      },
      (data) => this.#hear(data)
    )
    this.#upstream = upstream
    upstream.status.subscribe(() => this.#show(upstream.status.getSnapshot()))
  }

  #hear(data: unknown): void {
    const frame = this.#ground.decode(data)
    if (frame.type === "welcome") this.#welcome = frame
    // A sign of life is one for all.
    if (frame.type === "ping") this.#frame(`{"type":"ping"}`)
  }

  #deliver(items: ReadonlyArray<Item>, position: Position): void {
    if (this.#isOver || this.#tail === undefined) return
    const events = items.flatMap((item) => item._tag === "Event" ? [item.event] : [])
    if (events.length !== items.length || !this.#tail.follows(events, position)) return this.#begin(position)
    if (events.length === 0) return
    const frame = this.#tail.add(events)
    for (const tab of this.#tabs.values()) {
      const last = events.findLast((event) => takes(tab.threads, event.thread))
      if (last !== undefined) tab.last = last.offset
    }
    this.#frame(frame)
    this.#askAll()
    this.#settle()
    this.#admit()
  }

  /** What came cannot be handed on: each tab hears of it from the gateway. */
  #begin(position: Position): void {
    this.#tail = new EventTail(position)
    this.#handled = position.offset
    for (const to of Array.from(this.#tabs.keys())) this.#drop(to)
    this.#upstream?.handled(position)
    this.#admit()
  }

  #forget(id: string): void {
    this.#asked.get(id)?.()
    this.#asked.delete(id)
    this.#upstream?.forget(id)
  }

  #answered(id: string, outcome: Outcome | undefined): void {
    this.#forget(id)
    if (outcome !== undefined) this.#frame(JSON.stringify({ type: "command", id, ...outcome }))
  }

  #show(status: Status): void {
    if (this.#isOver) return
    const wasOpen = this.#isOpen
    this.#status = status.state
    switch (status.state) {
      case "live":
      case "degraded":
        this.#frame(`{"type":"status","state":"${status.state}"}`)
        return this.#admit()
      case "waiting": {
        const { cause } = status
        if (cause._tag === "closed") return this.#down(cause.code, cause.detail)
        this.#down(lost, cause._tag)
        // Another tab may have a token.
        if (cause._tag === "tokenFailed") this.#ground.resign()
        return
      }
      case "stopped": {
        const { reason } = status
        this.#down(
          reason._tag === "refused" ? reason.code : reason._tag === "noToken" ? unauthenticated : lost,
          reason._tag === "closed" ? "" : reason.detail
        )
        return this.#ground.resign()
      }
      case "connecting":
      case "resuming":
        // One that was lost and is tried again at once is never seen to wait.
        return wasOpen ? this.#down(lost, "the connection was lost") : undefined
    }
  }

  get #isOpen(): boolean {
    return this.#status === "live" || this.#status === "degraded"
  }

  #down(code: number, reason: string): void {
    this.#tabs.clear()
    this.#waiting.clear()
    // Tabs that still wait for an answer ask again by their next connection.
    for (const id of this.#asked.keys()) this.#forget(id)
    this.#say({ type: "down", code, reason })
  }

  #drop(to: string): void {
    this.#tabs.delete(to)
    this.#say({ type: "down", to, code: lost, reason: "the leading tab goes on without this one" })
  }

  #admit(): void {
    if (!this.#isOpen || this.#tail === undefined || this.#welcome === undefined) return
    for (const [to, { position, threads }] of Array.from(this.#waiting)) {
      const has = this.#tail.has(position)
      if (has === "later") continue
      this.#waiting.delete(to)
      if (has === "not") {
        this.#say({ type: "alone", to })
        continue
      }
      const welcome = JSON.stringify({ ...this.#welcome, ...this.#tail.end, recovered: true, snapshots: 0 })
      const degraded = this.#status === "degraded" ? [`{"type":"status","state":"degraded"}`] : []
      const frames = [welcome, ...degraded, ...this.#tail.after(position)]
      const { offset } = this.#tail.end
      this.#tabs.set(to, { threads, handled: position.offset, last: offset, isAsked: false })
      this.#say({ type: "joined", to, frames })
    }
  }

  /** Whether all are there that have something to handle. Those that are not do not count any more. */
  #askAll(): void {
    if (this.#isAsking || this.#tabs.size === 0) return
    this.#isAsking = true
    for (const tab of this.#tabs.values()) tab.isAsked = true
    this.#say({ type: "ask" })
    this.#cancel = [this.#ground.after(silentMs, () => {
      this.#isAsking = false
      for (const [to, { isAsked }] of Array.from(this.#tabs)) if (isAsked) this.#drop(to)
      this.#settle()
      // One that has handled nothing since may have fallen silent meanwhile.
      if (Array.from(this.#tabs.values()).some(({ handled, last }) => handled < last)) this.#askAll()
    })]
  }

  #settle(): void {
    const { end } = this.#tail ?? {}
    if (end === undefined || this.#tabs.size === 0) return
    const handled = Array.from(this.#tabs.values(), (tab) => tab.handled < tab.last ? tab.handled : end.offset)
    const offset = Math.min(...handled)
    if (offset <= this.#handled) return
    this.#handled = offset
    this.#upstream?.handled({ epoch: end.epoch, offset })
  }

  #frame(frame: string): void {
    this.#say({ type: "frame", frame })
  }

  #say(message: Said<ToTab>): void {
    if (!this.#isOver) this.#ground.say({ ...message, leader: this.#ground.id })
  }
}

/** A message of each kind without the name of its leadership. */
type Said<M> = M extends ToTab ? Omit<M, "leader"> : never

/** What a lost network looks like on a WebSocket. */
const lost = 1006

/** What a session without a token is closed with. */
const unauthenticated: typeof codes.unauthenticated = 4401
