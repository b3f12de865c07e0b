/**
 * One device's place in its user's log.
 *
 * A connection is a cursor, not a queue: nothing is kept for a device but how
 * far it has come, so a slow device costs lag and no memory. When its user's
 * log grows, the connection is woken; it then pulls what lies past its cursor,
 * one frame at a time, until it is caught up or the transport is full. While
 * there is nothing to send it has no fiber and no timer.
 *
 * What it promises:
 *
 * - **order**: offsets rise by one, or a `gap` frame (or `upTo`, for offsets
 *   that a thread filter left out) explains why not;
 * - **prompt**: what was appended before a turn of the scheduler goes out in
 *   that turn, together;
 * - **bounded**: at most one frame is written beyond what the transport has
 *   room for, snapshots included. Of a run whose state the device is owed only
 *   the id is kept, and the state is taken when there is room for it;
 * - **patient**: while the log cannot be read the connection stays, says that it
 *   is degraded, and then goes on from its cursor. Acknowledgements that come
 *   meanwhile are kept. Only when that takes too long it is closed;
 * - **honest**: it says that it is live once the log can be read and no emitter is
 *   known to hold events of its user (see `Lateness`);
 * - **alone**: a pull that dies ends this connection, and no other.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type { BrokerError, RunAtHead, RunSnapshotAt, Signal, Slice } from "../broker/Broker.ts"
import { closeCodes } from "../protocol/CloseCode.ts"
import type { ConnectionId, RunId, UserId } from "../protocol/Identity.ts"
import * as Monotonic from "../protocol/Monotonic.ts"
import type { Position } from "../protocol/Position.ts"
import { type Composed, FrameComposer, type OutgoingSlice } from "./FrameComposer.ts"
import { Lateness } from "./Lateness.ts"
import { Outage } from "./Outage.ts"
import type { Opening, Request } from "./ConnectRequest.ts"
import * as Revoked from "./Revocation.ts"
import type { HubContext } from "./HubContext.ts"
import { shed } from "./LoadShedding.ts"
import { SlowConsumer } from "./SlowConsumer.ts"
import * as Subscription from "./Subscription.ts"
import type { CloseReason, Liveness, Message, Transport } from "./Transport.ts"

/**
 * What a connection is doing: `opening` until its first messages went out,
 * `idle` when caught up, `scheduled` for the next turn, `draining` while it
 * pulls, `blocked` while the transport is full, `degraded` while the log cannot
 * be read, `closed` at the end.
 *
 * @category models
 * @since 0.1.0
 */
export type Phase = "opening" | "idle" | "scheduled" | "draining" | "blocked" | "degraded" | "closed"

const gone: CloseReason = { code: closeCodes.brokerUnavailable, detail: closeCodes.brokerUnavailable.meaning }
const tooSlow: CloseReason = { code: closeCodes.tooSlow, detail: closeCodes.tooSlow.meaning }
const nothing: ReadonlyArray<RunId> = []

/**
 * @category models
 * @since 0.1.0
 */
export class Connection {
  readonly id: ConnectionId
  readonly user: UserId
  private readonly context: HubContext
  private readonly transport: Transport
  private readonly composer: FrameComposer
  /** Tells that there may be something to pull, or how the broker is. Bound, since a closure would hold more. */
  readonly wake: (signal?: Signal) => void
  private subscription: Subscription.Subscription | undefined
  private phase: Phase = "opening"
  private woken = false
  private caughtUp = false
  private fiber: Fiber.Fiber<void> | undefined
  private cursor: Position = { epoch: "", offset: 0 }
  private head = 0
  // The runs of which the device was promised a snapshot that is not written yet, in their order.
  private owed = nothing
  // What the device was sent before this connection, and may confirm: the offsets past `from`, up to `to`.
  private earlier = { from: 0, to: 0 }
  // While the device is behind what the transport takes.
  private slowConsumer: SlowConsumer | undefined
  // Since the broker failed, or said that it is away.
  private outage: Outage | undefined
  // While events may be late though the log can be read.
  private lateness: Lateness | undefined
  private reportedDegraded = false
  // While it is being opened: afterwards every revocation ends it.
  private issuedAt: number | undefined

  constructor(context: HubContext, request: Request) {
    this.id = request.id
    this.user = request.user
    this.issuedAt = request.issuedAt
    this.context = context
    this.transport = request.transport
    this.wake = this.hear.bind(this)
    this.composer = new FrameComposer(request.encoding, request.threads, context.counters)
  }

  /** What the connection is doing. */
  get state(): Phase {
    return this.phase
  }

  /** The position after the last event that was written or filtered out. */
  get position(): Position {
    return this.cursor
  }

  /** How many events the log was ahead when it was last looked at. */
  get lag(): number {
    return Math.max(0, this.head - this.cursor.offset)
  }

  /** Whether there is more to send than the device has taken. */
  get isBehind(): boolean {
    return this.phase === "blocked" || this.lag > 0 || this.owed.length > 0
  }

  /** Whether the device was told that events may be late. */
  get isDegraded(): boolean {
    return this.reportedDegraded
  }

  /** Whether everything that can be read has been written. */
  get isSettled(): boolean {
    return this.phase === "idle" || this.phase === "degraded" || this.phase === "closed"
  }

  private get isClosed(): boolean {
    return this.phase === "closed"
  }

  /** How it is known whether the device is still there. */
  get liveness(): Liveness | undefined {
    return this.transport.liveness
  }

  /**
   * Starts to follow the log. The first messages, `greeting` before all, are
   * written in one go; nothing is, if the user's access was revoked.
   */
  open(
    resume: Position | undefined,
    greeting: (opening: Opening) => string
  ): Effect.Effect<void, BrokerError | Revoked.Revoked> {
    const { broker, limits } = this.context
    const follow = Effect.andThen(
      this.subscribe(),
      Effect.suspend(() => this.phase === "closed" ? Effect.fail(new Revoked.Revoked()) : Effect.void)
    )
    if (resume === undefined) {
      return Effect.flatMap(
        Effect.andThen(follow, broker.snapshots(this.user)),
        ({ position, snapshots }) =>
          Effect.sync(() => {
            this.cursor = position
            this.head = position.offset
            this.composer.startAt(position.offset)
            const opening = { ...position, recovered: true, snapshots: snapshots.length }
            this.begin(greeting(opening), { messages: [], snapshots, next: position })
          })
      )
    }
    this.cursor = resume
    this.composer.startAt(resume.offset)
    return Effect.flatMap(
      Effect.andThen(follow, broker.pull(this.user, resume, limits)),
      (slice) =>
        Effect.sync(() => {
          const { gap, head, next } = slice
          const opening = { epoch: next.epoch, offset: head, recovered: gap === undefined, snapshots: 0 }
          if (gap?.reason !== "epoch") this.earlier = { from: 0, to: resume.offset }
          this.begin(greeting(opening), this.take(slice))
        })
    )
  }

  private hear(signal?: Signal): void {
    if (signal !== undefined) this.onSignal(signal)
    else if (this.phase === "idle") this.schedule()
    else this.woken = true
  }

  /**
   * Records that the device handled everything up to an offset. That confirms the events which were written on this
   * connection and ask for it. Of those before, only the device knows what it was sent: it names them, since its last
   * acknowledgement may have been lost. An offset past what was written does not count, nor does another epoch.
   */
  acknowledge(
    offset: number,
    epoch = this.cursor.epoch,
    confirmed: ReadonlyArray<number> = []
  ): Effect.Effect<void> {
    if (offset > this.cursor.offset || epoch !== this.cursor.epoch) return Effect.void
    const { from, to } = this.earlier
    const upTo = Math.min(offset, to)
    const earlier = confirmed.filter((named) => named > from && named <= upTo)
    if (upTo > from) this.earlier = { from: upTo, to }
    return this.passAll([...earlier, ...this.composer.confirm(offset)], epoch)
  }

  private passAll(offsets: ReadonlyArray<number>, epoch: string): Effect.Effect<void> {
    if (offsets.length === 0) return Effect.void
    return Effect.forEach(
      offsets.map((offset) => ({ epoch, offset })),
      (position) => this.outage === undefined ? this.pass(position) : Effect.sync(() => this.outage?.keep(position)),
      { discard: true }
    )
  }

  /** Tells a device with a thread filter how far it has come, if it does not know yet. */
  announce(): void {
    if (this.phase !== "idle") return
    const messages = this.composer.upTo(this.cursor)
    if (messages.length > 0) this.write(messages)
  }

  /** Ends the connection of a device that has not read, or could not be served, for too long. Called from time to time. */
  tick(now: number): void {
    const { outage, slowConsumer } = this
    if (this.phase === "closed") return
    this.count()
    if (outage !== undefined && now >= outage.until) return this.close(gone)
    if (this.lateness !== undefined && this.phase === "idle") this.writeStatus(now)
    if (slowConsumer?.fullSince === undefined) return
    const { ms } = this.context.slow.close
    const stuckSince = this.caughtUp ? slowConsumer.since : slowConsumer.fullSince
    if (now - stuckSince >= ms) this.close(tooSlow)
  }

  /** Counts anew what waits for the network. */
  count(): void {
    if (this.phase !== "closed") this.context.backlog.set(this, this.transport.backlog())
  }

  /** Ends it because too much waits for its device. */
  closeAsSlow(): void {
    this.close(tooSlow)
  }

  /** Ends it without a word, so that what waits for its device is free. */
  cut(): void {
    this.end()
    this.transport.destroy()
  }

  /** Nothing waits for the network any more. For the owner of the transport, once its socket is gone. */
  gone(): void {
    this.context.backlog.free(this)
  }

  /** Sends nothing more, and has the transport tell the device why. */
  close(farewell: CloseReason): void {
    this.end()
    this.transport.close(farewell)
  }

  /** Lets go of the log. For the owner of the transport, once it is closed. */
  release(): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.end()
      const { fiber } = this
      this.fiber = undefined
      const unsubscribed = this.unsubscribe()
      return fiber === undefined ? unsubscribed : Effect.andThen(Fiber.interrupt(fiber), unsubscribed)
    })
  }

  /** Looks at the log again. For the hub's recovery; `false` when it still cannot be read. */
  retry(): Effect.Effect<boolean> {
    return Effect.suspend(() => {
      if (this.phase !== "degraded" || this.outage?.isDown === true) return Effect.succeed(true)
      this.phase = "scheduled"
      this.start()
      const could = () => this.phase !== "degraded"
      return this.fiber === undefined ? Effect.sync(could) : Effect.map(Fiber.await(this.fiber), could)
    })
  }

  private subscribe(): Effect.Effect<void, BrokerError> {
    return Effect.suspend(() => {
      // It may have been released before it came to this.
      if (this.phase === "closed") return Effect.void
      const { broker } = this.context
      this.subscription = Subscription.make(broker)
      return Subscription.begin(this.subscription, broker, this.user, this.wake)
    })
  }

  private unsubscribe(): Effect.Effect<void> {
    const { subscription } = this
    this.subscription = undefined
    if (subscription === undefined) return Effect.void
    return Subscription.end(subscription, this.context.broker, this.user, this.wake)
  }

  private end(): void {
    this.phase = "closed"
    this.context.backlog.end(this)
    this.lateness = undefined
    this.reportedDegraded = false
    if (this.outage === undefined) return
    this.outage = undefined
    this.context.recovery.delete(this)
  }

  private begin(greeting: string, { messages, snapshots }: Composed): void {
    if (this.phase !== "opening") return
    this.phase = "draining"
    this.issuedAt = undefined
    if (!this.writeWith([greeting, ...this.status(this.now), ...messages], snapshots)) return
    if (this.woken || this.lag > 0) return this.schedule()
    this.settle()
  }

  private schedule(): void {
    this.phase = "scheduled"
    this.context.later(this)
  }

  /** Drains, if the connection is scheduled to. For the hub's scheduler. */
  start(): void {
    if (this.phase !== "scheduled") return
    this.phase = "draining"
    const fiber = this.context.run(this.drain())
    this.fiber = fiber.pollUnsafe() === undefined ? fiber : undefined
  }

  private drain(): Effect.Effect<void> {
    return Effect.catchCause(
      Effect.whileLoop({
        while: () => this.phase === "draining",
        body: () => this.next(),
        step: (found) => "entries" in found ? this.deliver(found) : this.deliverRun(found)
      }),
      (cause) => this.fail(cause)
    )
  }

  // The state of a run that is owed comes before what follows in the log.
  private next(): Effect.Effect<OutgoingSlice | RunAtHead, BrokerError> {
    const [run] = this.owed
    return run === undefined ? this.look() : this.lookAtRun(run)
  }

  private look(): Effect.Effect<OutgoingSlice, BrokerError> {
    this.woken = false
    const { broker, limits } = this.context
    const pull = this.thenPass(broker.pull(this.user, this.cursor, limits))
    return this.slowConsumer === undefined || !this.caughtUp ? pull : Effect.flatMap(pull, (slice) => this.shed(slice))
  }

  private lookAtRun(run: RunId): Effect.Effect<RunAtHead, BrokerError> {
    return this.thenPass(this.context.broker.snapshot(this.user, run))
  }

  // When the log can be read again, acknowledgements can be passed on, too.
  private thenPass<A>(read: Effect.Effect<A, BrokerError>): Effect.Effect<A, BrokerError> {
    const kept = this.outage?.acknowledged ?? []
    if (kept.length === 0) return read
    return Effect.tap(read, () => Effect.forEach(kept, (position) => this.pass(position), { discard: true }))
  }

  private shed(slice: Slice): Effect.Effect<OutgoingSlice, BrokerError> {
    const { slowConsumer } = this
    if (slowConsumer === undefined || slice.gap !== undefined || this.phase !== "draining") return Effect.succeed(slice)
    if (slowConsumer.judge(this.context.slow, slice, this.cursor.offset, this.now)) {
      return shed(this.context.broker, this.user, this.cursor, slice, slowConsumer)
    }
    return Effect.as(Effect.sync(() => this.close(tooSlow)), slice)
  }

  // What to write of an outgoing slice; the cursor moves past it.
  private take(outgoing: OutgoingSlice): Composed {
    const composed = this.composer.take(outgoing, this.cursor)
    this.cursor = composed.next
    this.head = outgoing.head
    return composed
  }

  private deliver(outgoing: OutgoingSlice): void {
    if (this.phase !== "draining") return
    const { messages, snapshots } = this.take(outgoing)
    if (!this.writeWith(this.isTroubled ? [...this.recover(), ...messages] : messages, snapshots)) return
    if (this.lag === 0 && !this.woken) this.settle()
  }

  private deliverRun({ position, snapshot }: RunAtHead): void {
    if (this.phase !== "draining") return
    const [run, ...others] = this.owed
    if (run === undefined) return
    // The log is not what it was: the next pull says so, with a gap that counts anew.
    if (position.epoch !== this.cursor.epoch || position.offset < this.cursor.offset) {
      this.owed = nothing
      return
    }
    this.owed = others
    const messages = [...this.recover(), this.composer.snapshot(snapshot ?? forgotten(run, this.cursor.offset))]
    if (!this.write(messages) || this.owed.length > 0) return
    if (this.lag === 0 && !this.woken) this.settle()
  }

  // A device that was behind learns at once that it has caught up; later, filtered offsets can wait for a heartbeat.
  private settle(): void {
    if (this.outage !== undefined) return this.degrade()
    this.phase = "idle"
    this.slowConsumer = undefined
    if (this.caughtUp) return
    this.caughtUp = true
    this.announce()
  }

  // Writes messages and the snapshots after them, about a frame's worth at a time. What there is no room for is owed.
  private writeWith(messages: ReadonlyArray<Message>, snapshots: ReadonlyArray<RunSnapshotAt>): boolean {
    if (snapshots.length === 0) return messages.length === 0 || this.write(messages)
    this.owed = snapshots.map(({ run }) => run)
    let waiting = [...messages]
    let size = waiting.reduce((sum, message) => sum + message.length, 0)
    for (const snapshot of snapshots) {
      const message = this.composer.snapshot(snapshot)
      waiting.push(message)
      size += message.length
      this.owed = this.owed.slice(1)
      if (size < this.context.limits.maxBytes && this.owed.length > 0) continue
      if (!this.write(waiting)) return false
      waiting = []
      size = 0
    }
    return true
  }

  private write(messages: ReadonlyArray<Message>): boolean {
    const { counters } = this.context
    counters.messages += messages.length
    for (const message of messages) counters.bytes += Buffer.byteLength(message)
    const hasRoom = this.transport.write(messages)
    this.count()
    if (this.isClosed) return false
    if (hasRoom) return true
    this.phase = "blocked"
    counters.blocked++
    const now = this.now
    this.slowConsumer ??= new SlowConsumer(now)
    this.slowConsumer.fullSince = now
    this.transport.whenWritable(() => {
      this.count()
      if (this.slowConsumer !== undefined) this.slowConsumer.fullSince = undefined
      if (this.phase === "blocked") this.schedule()
    })
    return false
  }

  private fail(cause: Cause.Cause<BrokerError>): Effect.Effect<void> {
    if (this.phase === "closed" || Cause.hasInterruptsOnly(cause)) return Effect.void
    if (!Cause.hasDies(cause)) return Effect.sync(() => this.degrade())
    return Effect.andThen(
      Effect.logError("A connection was closed, its log cannot be read", cause).pipe(
        Effect.annotateLogs({ connection: this.id })
      ),
      Effect.sync(() => this.close(gone))
    )
  }

  // What the broker says of itself, or of the user.
  private onSignal(signal: Signal): void {
    if (this.phase === "closed") return
    if (typeof signal === "object") {
      if ("lateMs" in signal) return this.onLateness(signal.lateMs)
      if (signal.isNew) this.close(Revoked.farewell)
      // It comes while this connection subscribes, which then fails.
      else if (this.issuedAt !== undefined && this.issuedAt < signal.revokedAt) this.end()
      return
    }
    switch (signal) {
      case "down":
        this.beginOutage().isDown = true
        if (this.phase === "idle") this.degrade()
        return
      case "up": {
        const { outage } = this
        if (outage === undefined) return
        outage.isDown = false
        this.lateness ??= new Lateness(this.now)
        this.lateness.back(this.now)
        if (this.phase === "degraded") this.context.recovery.hurry(this)
        return
      }
    }
  }

  // Events that have come since are looked for before the device is told.
  private onLateness(lateMs: number): void {
    if (lateMs <= 0 && this.lateness === undefined) return
    this.lateness ??= new Lateness(this.now)
    this.lateness.said(lateMs, this.now)
    if (this.phase === "idle") this.schedule()
  }

  private beginOutage(): Outage {
    return this.outage ??= new Outage(this.now + this.context.patienceMs())
  }

  // The device keeps its connection, and is told that events may be late.
  private degrade(): void {
    const outage = this.beginOutage()
    this.phase = "degraded"
    // What waits after an outage is not the device's fault: it may catch up as after a reconnect.
    this.slowConsumer = undefined
    this.caughtUp = false
    if (!this.writeStatus(this.now)) return
    if (!outage.isDown) this.context.recovery.add(this)
  }

  // The log can be read. While the broker says that it is away, new events may still not be heard of.
  private recover(): ReadonlyArray<Message> {
    const { outage } = this
    if (outage?.isDown === true || (outage !== undefined && outage.acknowledged.length > 0)) return []
    this.outage = undefined
    return this.status(this.now)
  }

  // Whether the device knows of trouble, or should.
  private get isTroubled(): boolean {
    return this.reportedDegraded || this.outage !== undefined || this.lateness !== undefined
  }

  // The message that tells whether events may be late, unless the device knows.
  private status(now: number): ReadonlyArray<Message> {
    if (this.lateness !== undefined && now >= this.lateness.until) this.lateness = undefined
    const isLate = this.outage !== undefined || this.lateness !== undefined
    if (isLate === this.reportedDegraded) return []
    this.reportedDegraded = isLate
    if (isLate) this.context.counters.degradations++
    return [this.composer.status(isLate ? "degraded" : "live")]
  }

  private writeStatus(now: number): boolean {
    const messages = this.status(now)
    return messages.length === 0 || this.write(messages)
  }

  // Passes an acknowledgement on, or keeps it until that is possible.
  private pass(position: Position): Effect.Effect<void> {
    return this.context.broker.acknowledge(this.user, position).pipe(
      Effect.match({
        onSuccess: () => {
          this.context.counters.acknowledgements++
          this.outage?.passed(position)
        },
        onFailure: () => {
          if (this.phase === "closed") return
          this.beginOutage().keep(position)
          if (this.phase === "idle") this.degrade()
        }
      })
    )
  }

  private get now(): number {
    return Monotonic.millisUnsafe(this.context.clock)
  }
}

// A run that ended, and of which nothing is kept any more. Where the log still has its ending, that follows.
const forgotten = (run: RunId, offset: number): RunSnapshotAt => ({
  run,
  offset,
  state: { status: "lost", messages: [], tools: [], usage: { inputTokens: 0, outputTokens: 0 } }
})
