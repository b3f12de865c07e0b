/**
 * A transport and a broker under a test's control.
 */
import { Effect } from "effect"
import { Broker, type Event, type Position } from "effect-emitter"
import { Envelope, Frame } from "effect-emitter/protocol"
import { MemoryLog } from "../../src/broker/memory/MemoryLog.ts"
import type { CloseReason, Message, Transport } from "../../src/hub/Transport.ts"
import { toEnvelope } from "../support/envelopes.ts"

/** Takes `room` writes, then says it is full until `drain`. */
export class FakeTransport implements Transport {
  readonly writes: Array<ReadonlyArray<Frame.ServerFrame>> = []
  readonly closeReasons: Array<CloseReason> = []
  isDestroyed = false
  room = Infinity
  private ready: (() => void) | undefined
  private waiting = 0

  get frames(): ReadonlyArray<Frame.ServerFrame> {
    return this.writes.flat()
  }

  write(messages: ReadonlyArray<Message>): boolean {
    if (this.ready !== undefined) throw new Error("written while full")
    if (this.closeReasons.length > 0) return true
    this.writes.push(messages.map((message) => {
      const frame = Frame.decodeServer(message.toString())
      if (frame._tag === "Failure") throw frame.failure
      return frame.success
    }))
    this.waiting += messages.reduce((sum, message) => sum + message.length, 0)
    return --this.room > 0
  }

  whenWritable(ready: () => void): void {
    this.ready = ready
  }

  backlog(): number {
    return this.waiting
  }

  close(reason: CloseReason): void {
    this.closeReasons.push(reason)
  }

  destroy(): void {
    this.isDestroyed = true
  }

  /** The network has taken everything, and takes `room` writes more. */
  drain(room: number): void {
    this.room = room
    this.waiting = 0
    const { ready } = this
    this.ready = undefined
    ready?.()
  }
}

export interface EventOptions {
  readonly thread?: string
  readonly run?: string
  readonly type?: string
  readonly delivery?: Event.DeliveryClass
  readonly data?: Record<string, string>
}

export interface LogOptions {
  readonly maxEvents: number
  /** What each look at the log waits for. */
  readonly delay: Effect.Effect<void>
  /** Whether it is the answer that waits, while the log may go on. */
  readonly answersLate?: boolean
}

/** One user's log that may lose its memory, behind the broker's interface. */
export class FakeBroker {
  private readonly options: LogOptions
  private readonly wakes = new Set<(news?: Broker.Signal) => void>()
  private epochs = 0
  private sequence = 0
  log: MemoryLog
  pulls = 0
  looks = 0
  /** The most looks that were under way at once. */
  most = 0
  private looking = 0
  readonly acknowledged: Array<Position.Position> = []
  refuseAcknowledgements = false
  revokedAt = 0
  /** Of whom looks fail, if they do. */
  failsFor: (user: string) => boolean = () => true
  onSubscribe: (wake: (news?: Broker.Signal) => void) => void = () => {}
  fail: Effect.Effect<never, Broker.BrokerError> | undefined

  constructor(options: LogOptions) {
    this.options = options
    this.log = this.forget()
  }

  get readers(): number {
    return this.wakes.size
  }

  /** Starts a new epoch, with nothing in it. */
  forget(): MemoryLog {
    const { maxEvents } = this.options
    this.log = new MemoryLog(`epoch${++this.epochs}`, {
      maxEvents,
      maxBytes: Infinity,
      maxAgeMs: Infinity,
      maxRuns: 8
    })
    this.wake()
    return this.log
  }

  wake(): void {
    for (const wake of this.wakes) wake()
  }

  /** Tells all readers how the broker is. */
  tell(news: Broker.Signal): void {
    for (const wake of this.wakes) wake(news)
  }

  append(options: EventOptions = {}): number {
    const { offset } = this.log.append([this.envelope(options)])
    this.wake()
    return offset
  }

  /** An event that is appended nowhere yet. */
  envelope(
    { data: more, delivery = "critical", run, thread, type = "custom" }: EventOptions
  ): Envelope.Envelope {
    const sequence = ++this.sequence
    const data = { n: sequence, ...more }
    const event = toEnvelope({ id: `e${sequence}`, source: "e", sequence, at: 0, type, delivery, run, thread, data })
    return { ...event, confirm: true }
  }

  private look<A>(user: string, what: () => A): Effect.Effect<A, Broker.BrokerError> {
    return Effect.suspend(() => {
      this.looks++
      this.most = Math.max(this.most, ++this.looking)
      const failure = () => this.failsFor(user) ? this.fail : undefined
      const answer = Effect.suspend(() => failure() ?? Effect.sync(what))
      return Effect.ensuring(
        this.options.answersLate === true
          ? Effect.tap(answer, () => this.options.delay)
          : Effect.andThen(this.options.delay, answer),
        Effect.sync(() => this.looking--)
      )
    })
  }

  get service(): Broker.Broker["Service"] {
    const unused = Effect.die(new Error("not part of this test"))
    return {
      append: () => unused,
      acknowledged: () => unused,
      endLost: () => unused,
      takeOver: () => unused,
      letGo: () => unused,
      claim: () => unused,
      readers: () => Effect.sync(() => this.readers),
      head: (user) => this.look(user, () => this.log.head),
      acknowledge: (user, position) =>
        this.refuseAcknowledgements
          ? Effect.fail(refused)
          : this.look(user, () => void this.acknowledged.push(position)),
      snapshots: (user, since = Infinity, recent) =>
        this.look(user, () => ({ position: this.log.head, snapshots: this.log.snapshots(since, recent) })),
      snapshot: (user, run) => this.look(user, () => ({ position: this.log.head, snapshot: this.log.snapshot(run) })),
      pull: (user, after, limits) =>
        this.look(user, () => {
          this.pulls++
          return this.log.pull(after, limits)
        }),
      subscribe: (_, wake) =>
        Effect.acquireRelease(
          Effect.sync(() => {
            this.wakes.add(wake)
            this.onSubscribe(wake)
          }),
          () => Effect.sync(() => this.wakes.delete(wake))
        ),
      revoke: () =>
        Effect.sync(() => {
          this.revokedAt++
          this.tell({ revokedAt: this.revokedAt, isNew: true })
        }),
      retentionMs: 1000
    }
  }
}

const refused = new Broker.BrokerError({
  reason: new Broker.BrokerRefused({ operation: "acknowledge", detail: "out of memory" })
})
