/**
 * Hundreds of devices that record what their handlers get, and hold every event against what the others got.
 */
import { Effect, Redacted, type Scope } from "effect"
import { SignJWT } from "jose"
import { type AnyEvent, connect, type Connection, type RunCommands } from "../../src/client/index.ts"
import type { Position } from "../../src/protocol/values/Position.ts"
import { isTerminal } from "../../src/protocol/run/RunState.ts"
import { secret } from "./Cluster.ts"

/** An event of a user's log, as devices get it. */
export interface Seen {
  readonly id: string
  readonly type: string
  readonly run: string | undefined
  readonly at: number
  readonly data: AnyEvent["payload"]
}

/** What all devices of a user know of its log, by `epoch:offset`. `open` are the runs that have no ending yet. */
export interface Log {
  readonly user: string
  readonly events: Map<string, Seen>
  readonly open: Set<string>
}

/** What devices did, all together. */
export interface Totals {
  delivered: number
  suppressed: number
  connections: number
  resumed: number
  gaps: number
  snapshots: number
}

/** A device. `reload` lets it begin anew from what it had handled, as a page does. */
export interface Device {
  readonly name: string
  readonly user: string
  readonly position: () => Position | undefined
  readonly reload: () => void
  readonly status: () => string
  /** What it can ask of a run. */
  readonly commands: (run: string) => RunCommands
}

/** All devices. `problems` is what no device may ever see. */
export interface Devices {
  readonly all: ReadonlyArray<Device>
  readonly logs: ReadonlyMap<string, Log>
  readonly totals: Totals
  readonly problems: ReadonlyArray<string>
}

/** Events are plain records, and rarely large; their text tells whether two are the same. */
const same = (a: Seen, b: Seen) => a.id === b.id && JSON.stringify(a.data) === JSON.stringify(b.data)

const tokenOf = (user: string) =>
  Effect.promise(() =>
    new SignJWT({ sub: user })
      .setProtectedHeader({ alg: "HS256" })
      .setIssuer("tests")
      .setAudience("events")
      .setIssuedAt(new Date(Date.now() - 60_000))
      .setExpirationTime("2 hours")
      .sign(new TextEncoder().encode(Redacted.value(secret)))
  )

/** Connects `perUser` devices of each user to `url`. They hear of everything from the beginning of the log. */
export const make = (
  url: string,
  users: ReadonlyArray<string>,
  perUser: number
): Effect.Effect<Devices, never, Scope.Scope> =>
  Effect.gen(function*() {
    const logs = new Map<string, Log>()
    const problems: Array<string> = []
    const totals: Totals = { delivered: 0, suppressed: 0, connections: 0, resumed: 0, gaps: 0, snapshots: 0 }
    const all: Array<Device> = []
    for (const user of users) {
      const log: Log = { user, events: new Map(), open: new Set() }
      logs.set(user, log)
      const userToken = yield* tokenOf(user)
      for (let index = 1; index <= perUser; index++) {
        const device = yield* Effect.acquireRelease(
          Effect.sync(() => new Recording(`${user}/${index}`, url, userToken, log, totals, problems)),
          (device) => Effect.sync(() => device.close())
        )
        all.push(device)
      }
    }
    return { all, logs, totals, problems }
  })

class Recording implements Device {
  readonly name: string
  readonly user: string
  private readonly url: string
  private readonly token: string
  private readonly log: Log
  private readonly totals: Totals
  private readonly problems: Array<string>
  private connection: Connection
  private handled: Position | undefined
  private epoch: string | undefined
  // The highest offset that came over the wire, to count what the client kept from the handler.
  private highest = 0

  constructor(
    name: string,
    url: string,
    userToken: string,
    log: Log,
    totals: Totals,
    problems: Array<string>
  ) {
    this.name = name
    this.user = log.user
    this.url = url
    this.token = userToken
    this.log = log
    this.totals = totals
    this.problems = problems
    this.connection = this.open()
  }

  readonly position = (): Position | undefined => this.handled
  readonly status = (): string => this.connection.status.getSnapshot().state
  readonly commands = (run: string): RunCommands => this.connection.run(run)
  readonly close = (): void => this.connection.close()
  readonly reload = (): void => {
    this.connection.close()
    this.connection = this.open()
  }

  private open(): Connection {
    const look = (data: unknown) => this.look(data)
    const { totals } = this
    class Watched extends WebSocket {
      constructor(url: string, protocols: string) {
        super(url, protocols)
        this.addEventListener("open", () => totals.connections++)
        this.addEventListener("message", ({ data }) => look(data))
      }
    }
    return connect({
      url: this.url,
      token: this.token,
      client: this.name,
      start: this.handled ?? "earliest",
      connectTimeoutMs: 5_000,
      backoff: { baseMs: 100, capMs: 3_000 },
      platform: { WebSocket: Watched },
      onEvent: (event) => this.take(event),
      onGap: ({ epoch, from, reason, to }) => {
        totals.gaps++
        this.expect(epoch, from, `a gap (${reason})`)
        this.handled = { epoch, offset: to }
      },
      onSnapshot: () => totals.snapshots++,
      onStatus: (status) => {
        if (status.state === "stopped" && status.reason._tag !== "closed") {
          this.problem(`stopped: ${JSON.stringify(status.reason)}`)
        }
      },
      onError: (error) => this.problem(`an error: ${String(error)}`)
    })
  }

  private problem(what: string): void {
    this.problems.push(`${this.name}: ${what}`)
  }

  private expect(epoch: string, offset: number, what: string): void {
    const { handled } = this
    const next = handled === undefined || handled.epoch !== epoch ? 1 : handled.offset + 1
    if (offset !== next) this.problem(`${what} at ${epoch}:${offset} came where ${next} was due`)
    if (handled !== undefined && handled.epoch !== epoch) this.problem(`${what} came of a new epoch, ${epoch}`)
  }

  private take(event: AnyEvent): void {
    const epoch = this.epoch ?? ""
    const { at, id, offset, payload: data, run, type } = event
    this.totals.delivered++
    this.expect(epoch, offset, type)
    this.handled = { epoch, offset }

    const { events, open } = this.log
    const key = `${epoch}:${offset}`
    const seen: Seen = { id, type, run, at, data }
    const known = events.get(key)
    if (known === undefined) {
      events.set(key, seen)
      if (run !== undefined && type === "agent_started") open.add(run)
      if (run !== undefined && endsRun(seen)) open.delete(run)
    } else if (!same(known, seen)) this.problem(`${key} is ${id}, and was ${known.id} to another device`)
  }

  private look(data: unknown): void {
    const frame = JSON.parse(String(data))
    if (frame.type === "welcome") {
      if (frame.recovered === true && this.handled !== undefined) this.totals.resumed++
      if (frame.recovered !== true && this.handled !== undefined) this.problem("its position was not recovered")
      this.epoch = frame.epoch
    }
    if (frame.type !== "events") return
    for (const { offset } of frame.events) {
      if (offset <= (this.handled?.offset ?? 0) || offset <= this.highest) this.totals.suppressed++
      this.highest = Math.max(this.highest, offset)
    }
  }
}

/** Whether an event ends its run. */
export const endsRun = ({ type }: Seen): boolean => isTerminal(type)
