/**
 * Runs a session without Effect: its inputs come from a socket, timers and
 * callbacks, its actions are carried out at once.
 *
 * @since 0.1.0
 */
import { reader, type TypedEvent } from "./TypedEvent.ts"
import { type RunHandle, RunStore } from "./RunStore.ts"
import { CommandDesk, type RunCommands } from "./RunCommands.ts"
import { EventReaders } from "./EventReaders.ts"
import type { Moment, State } from "../session/SessionState.ts"
import { defaults, init } from "../session/SessionState.ts"
import * as Limits from "./Limits.ts"
import * as Connector from "../transport/Connector.ts"
import type { OpenSocket, Platform } from "../transport/Platform.ts"
import { onReturn } from "../transport/Platform.ts"
import type * as Event from "../../protocol/event/Event.ts"
import type { Position } from "../../protocol/values/Position.ts"
import { withDefaults } from "../../protocol/values/Present.ts"
import { call, loadPosition, rethrow } from "./Callback.ts"
import type { Connection, ConnectOptions } from "./ConnectOptions.ts"
import type { Outcome } from "../../protocol/command/Command.ts"
import type { CommandFrame } from "../transport/ClientFrame.ts"
import type { Action, Input, Item } from "../session/SessionIO.ts"
import type { Status, StatusStore } from "../session/Status.ts"
import type { WireEvent } from "../../protocol/event/ReceivedEvent.ts"
import type { TransportName, Transports } from "../transport/Transports.ts"
import { statusOf, step, wakeAt } from "../session/DeviceSession.ts"

const momentOf = ({ monotonic, now }: Platform): Moment => ({ monotonic: monotonic(), wall: now() })

// Pages that are not secure have no `randomUUID`.
const nextId = (): string => crypto.getRandomValues(new Uint32Array(4)).join("-")

/**
 * Who takes what comes in place of a program: `deliver` takes the items up to a
 * position, and tells `handled` later; `answered` takes the answers to what `ask` sent.
 *
 * @category models
 * @since 0.2.0
 */
export interface Relay {
  readonly deliver: (items: ReadonlyArray<Item>, position: Position) => void
  readonly answered: (id: string, outcome: Outcome | undefined) => void
}

/** What is still done for a program that has closed. */
const doneAtClose: ReadonlySet<Action["_tag"]> = new Set(["send", "disconnect", "save"])

/**
 * One session of one program. Its own members have `#` names, which minifiers
 * shorten: a page loads this class.
 *
 * @category drivers
 * @since 0.1.0
 */
export class PlainDriver<D extends Event.AnyDefinition> implements Connection<D> {
  readonly #options: ConnectOptions<D>
  readonly #read: (event: WireEvent) => TypedEvent<D>
  readonly #platform: Platform
  readonly #url: string
  readonly #openBy: Connector.Open
  readonly #relay: Relay | undefined
  readonly #commands: CommandDesk
  readonly #listeners = new Set<{ readonly tell: () => void }>()
  #state: State
  #status: Status
  #socket: OpenSocket | undefined
  #timer: { readonly at: number; readonly cancel: () => void } | undefined
  #inbox: Array<Input> = []
  #busy = false
  #closing = false
  readonly #end = new AbortController()

  constructor(
    options: ConnectOptions<D>,
    platform: Platform,
    transports: Transports,
    url: string,
    openBy: Connector.Open = Connector.open,
    relay?: Relay
  ) {
    this.#openBy = openBy
    this.#relay = relay
    this.#options = options
    this.#read = reader(options.catalog)
    this.runs = new RunStore(options.maxRuns ?? Limits.maxRuns, options.threads)
    this.#commands = new CommandDesk({
      store: this.runs,
      tell: (input) => this.#tell(input),
      after: platform.after,
      nextId,
      report: this.#report
    })
    this.run = (id) => Object.assign(this.runs.run(id), this.#commands.of(id))
    this.events = new EventReaders(options.capacity ?? Limits.capacity, {
      handled: (position) => this.handled(position),
      room: () => {
        if (this.#state.phase._tag === "Paused") this.#tell({ _tag: "resume" })
      }
    })
    this.#platform = platform
    this.#url = url
    const stored = loadPosition(options.storage, this.#report)
    const { client, connectTimeoutMs, recentRuns, signal, start, threads } = options
    this.#state = init(
      withDefaults(defaults, {
        hasToken: options.token !== undefined,
        threads,
        recentRuns,
        client,
        transports,
        start: stored ?? start,
        backoff: withDefaults(defaults.backoff, options.backoff),
        connectTimeoutMs
      }),
      Math.floor(platform.random() * 4_294_967_296),
      momentOf(platform)
    )
    this.#status = statusOf(this.#state)
    onReturn(() => this.#tell({ _tag: "wake" }), this.#end.signal)
    signal?.addEventListener("abort", this.close, { signal: this.#end.signal })
    // Later, so that callbacks find the connection that `connect` returns.
    queueMicrotask(() => signal?.aborted === true ? this.close() : this.#tell({ _tag: "start" }))
  }

  readonly events: EventReaders<TypedEvent<D>>
  readonly runs: RunStore
  readonly run: (id: string) => RunHandle & RunCommands
  readonly status: StatusStore = {
    subscribe: (tell) => {
      const listener = { tell }
      this.#listeners.add(listener)
      return () => {
        this.#listeners.delete(listener)
      }
    },
    getSnapshot: () => this.#status
  }
  readonly position = (): Position | undefined => this.#state.handled
  readonly accepts = (): ReadonlyArray<string> => this.#state.accepts
  readonly renew = (): void => this.#tell({ _tag: "renew" })
  readonly reconnect = (): void => this.#tell({ _tag: "reconnect" })
  readonly ask = (command: CommandFrame): void => this.#tell({ _tag: "ask", command })
  readonly forget = (id: string): void => this.#tell({ _tag: "forget", id })

  /** Everything up to here was handled, also while it closes. */
  handled(position: Position): void {
    this.#inbox.push({ _tag: "handled", position })
    this.#advance()
  }

  /** Nothing else is told any more, but that what was handled is handled. */
  readonly close = (): void => {
    if (this.#closing) return
    this.#closing = true
    this.#inbox = this.#inbox.filter((input) => input._tag === "handled")
    this.#advance()
  }

  #tell(input: Input): void {
    if (this.#closing) return
    this.#inbox.push(input)
    this.#advance()
  }

  /** One input after another, also when a callback causes the next one. */
  #advance(): void {
    if (this.#busy) return
    this.#busy = true
    try {
      for (let next = this.#next(); next !== undefined; next = this.#next()) {
        const { actions, state } = step(this.#state, next, momentOf(this.#platform))
        this.#state = state
        for (const action of actions) {
          if (this.#mayRun(action)) call(() => this.#run(action), this.#report)
        }
      }
    } finally {
      this.#busy = false
      this.#arm()
    }
  }

  #next(): Input | undefined {
    const next = this.#inbox.shift()
    return next === undefined && this.#closing && this.#state.phase._tag !== "Stopped" ? { _tag: "close" } : next
  }

  /** Once it has closed, a program hears only that it has stopped, and nothing new begins. */
  #mayRun(action: Action): boolean {
    if (!this.#closing) return true
    return action._tag === "status" ? action.status.state === "stopped" : doneAtClose.has(action._tag)
  }

  #run(action: Action): void {
    switch (action._tag) {
      case "askToken":
        return this.#askToken(action.request)
      case "connect":
        return this.#open(action.connection, action.transport)
      case "check":
        return this.#check(action.connection)
      case "send":
        return this.#socket?.send(action.frame)
      case "disconnect":
        return this.#drop(action.code, action.reason)
      case "deliver":
        return (this.#relay ?? this).deliver(action.items, action.position)
      case "save":
        return this.#options.storage?.save(action.position)
      case "answered":
        return (this.#relay ?? this.#commands).answered(action.id, action.outcome)
      case "status":
        return this.#show(action.status)
    }
  }

  #askToken(request: number): void {
    const { token } = this.#options
    const answer = async () => typeof token === "function" ? await token() : token
    answer().then(
      (value) =>
        this.#tell({
          _tag: "token",
          request,
          answer: typeof value === "string" ? { token: value } : value ?? undefined
        }),
      (error: unknown) => {
        // Nobody waits for a token any more.
        if (this.#closing || this.#state.phase._tag === "Stopped") return
        this.#report(error)
        this.#tell({ _tag: "tokenFailed", request })
      }
    )
  }

  #open(connection: number, transport: TransportName): void {
    this.#socket = this.#openBy(this.#platform, this.#url, transport, {
      opened: () => this.#tell({ _tag: "opened", connection }),
      message: (data) => this.#tell({ _tag: "message", connection, data }),
      acknowledged: (confirmed) => this.#tell({ _tag: "acknowledged", connection, confirmed }),
      unacknowledged: () => this.#tell({ _tag: "unacknowledged", connection }),
      closed: (code, reason) => {
        this.#socket = undefined
        this.#tell({ _tag: "closed", connection, code, reason })
      }
    }, this.#end.signal)
  }

  #check(connection: number): void {
    void Connector.ask(this.#platform, this.#url, this.#end.signal).then((answer) =>
      this.#tell({ _tag: "checked", connection, answer })
    )
  }

  #drop(code: number, reason: string): void {
    this.#socket?.close(code, reason)
    this.#socket = undefined
  }

  deliver(items: ReadonlyArray<Item>, position: Position): void {
    for (const item of items) this.runs.apply(item)
    for (const item of items) {
      call(() => this.#hand(item), this.#report)
      // What was handled up to here is known before the end, the rest stays for another time.
      if (this.#closing) return this.events.settle()
    }
    this.events.put(position)
    this.events.settle()
    if (this.events.isFull) this.#tell({ _tag: "pause" })
    this.runs.flush(this.#report)
  }

  #hand(item: Item): void {
    switch (item._tag) {
      case "Event":
        return this.#take(item)
      case "Gap": {
        const { _tag, ...gap } = item
        return this.#options.onGap?.(gap)
      }
      case "Snapshot": {
        const { _tag, ...snapshot } = item
        return this.#options.onSnapshot?.(snapshot)
      }
      case "Lost":
        return this.#options.onLost?.(item.run)
    }
  }

  #take({ epoch, event }: Extract<Item, { readonly _tag: "Event" }>): void {
    const { onEvent } = this.#options
    if (onEvent === undefined && !this.events.areThere) return
    const typed = this.#read(event)
    this.events.put({ epoch, offset: event.offset }, typed)
    return onEvent?.(typed)
  }

  #show(status: Status): void {
    this.#status = status
    if (status.state === "stopped") {
      this.#end.abort()
      this.runs.close()
      this.events.end(this.#closing)
      this.#commands.stop()
    }
    call(() => this.#options.onStatus?.(status), this.#report)
    for (const { tell } of Array.from(this.#listeners)) call(tell, this.#report)
  }

  /** What a callback throws is the program's to see, and must not end the loop. */
  readonly #report = (error: unknown): void => {
    const { onError } = this.#options
    const over = this.#closing && !this.#busy
    if (onError === undefined || over) return rethrow(error)
    call(() => onError(error), (another) => {
      rethrow(error)
      rethrow(another)
    })
  }

  #arm(): void {
    const at = wakeAt(this.#state)
    if (at === undefined) {
      this.#timer?.cancel()
      this.#timer = undefined
    } else if (this.#timer === undefined || at < this.#timer.at) {
      this.#timer?.cancel()
      const cancel = this.#platform.after(at - this.#platform.monotonic(), () => {
        this.#timer = undefined
        this.#tell({ _tag: "tick" })
      })
      this.#timer = { at, cancel }
    }
  }
}
