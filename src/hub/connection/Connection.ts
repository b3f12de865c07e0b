/**
 * One device's place in its user's log.
 *
 * A connection is a cursor, not a queue: nothing is kept for a device but how
 * far it has come, so a slow device costs lag and no memory. When its user's
 * log grows, the connection is woken. It then pulls what lies past its cursor,
 * one frame at a time, until it is caught up or the transport is full. While
 * there is nothing to send it has no fiber and no timer.
 *
 * What it promises:
 *
 * - **order**: offsets rise by one, or a `gap` frame (or `upTo`, for offsets
 *   that a thread filter left out) explains why not;
 * - **prompt**: what was appended before the turn in which it writes goes out in
 *   that turn, together. One that was woken by a critical event has its turn before
 *   the others (see `DrainQueue`);
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
import type { BrokerError, Head, Reader, RunAtHead, RunSnapshotAt, Signal, Slice } from "../../broker/Broker.ts"
import { closeCodes } from "../../protocol/wire/CloseCode.ts"
import type { ConnectionId, RunId, UserId } from "../../protocol/values/Identity.ts"
import * as Monotonic from "../../protocol/values/Monotonic.ts"
import type { Position } from "../../protocol/values/Position.ts"
import { type OutgoingSlice, shed } from "../capacity/LoadShedding.ts"
import { SlowConsumer } from "../capacity/SlowConsumer.ts"
import { Availability } from "../outage/Availability.ts"
import * as Revoked from "../Revocation.ts"
import type { CloseReason, Liveness, Message, Transport } from "../Transport.ts"
import { Acknowledgements, pass } from "./Acknowledgements.ts"
import type { Opening, Request } from "./ConnectRequest.ts"
import { type Composed, FrameComposer } from "./FrameComposer.ts"
import type { HubContext } from "./HubContext.ts"
import * as Phase from "./Phase.ts"
import * as Subscription from "./Subscription.ts"

const unavailable: CloseReason = { code: closeCodes.brokerUnavailable, detail: closeCodes.brokerUnavailable.meaning }
const tooSlow: CloseReason = { code: closeCodes.tooSlow, detail: closeCodes.tooSlow.meaning }
const none: ReadonlyArray<RunId> = []

/** How many answers may wait for a device that does not read. */
const maxReplies = 64

const nobody: Effect.Effect<Head> = Effect.succeed({ position: { epoch: "", offset: 0 }, snapshots: [] })

/**
 * Mutable, since a node has tens of thousands of them, on most of which nothing
 * happens: an idle one holds less than 1.2 times what a bare `ws` does (`idle-memory`
 * of the bench).
 *
 * @category models
 * @since 0.1.0
 */
export class Connection implements Reader {
  readonly id: ConnectionId
  readonly user: UserId
  private readonly context: HubContext
  private readonly transport: Transport
  private readonly composer: FrameComposer
  private readonly availability = new Availability()
  private readonly subscription: Subscription.Subscription
  private phase: Phase.Phase
  private cursor: Position = { epoch: "", offset: 0 }
  private head = 0
  // Whether the device has had everything once since the connection began, or since its last outage.
  private caughtUp = false
  // The runs of which the device was promised a snapshot that is not written yet, in their order.
  private owed = none
  // While the device is behind what the transport takes.
  private slowConsumer: SlowConsumer | undefined
  // Of a device that resumed, or of which the broker has not taken all.
  private acknowledgements: Acknowledgements | undefined
  // While answers wait for the transport.
  private replies: Array<string> | undefined

  constructor(context: HubContext, request: Request) {
    this.id = request.id
    this.user = request.user
    this.context = context
    this.transport = request.transport
    this.composer = new FrameComposer(request.encoder, request.threads, context.counters)
    this.phase = Phase.opening(request.issuedAt)
    this.subscription = Subscription.make(context.broker)
  }

  /** What the connection is doing. */
  get state(): Phase.Phase["_tag"] {
    return this.phase._tag
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
    return this.state === "blocked" || this.lag > 0 || this.owed.length > 0
  }

  /** Whether the device was told that events may be late. */
  get isDegraded(): boolean {
    return this.availability.isDegraded
  }

  /** Whether everything that can be read has been written. */
  get isSettled(): boolean {
    return this.state === "idle" || this.state === "degraded" || this.state === "closed"
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
    { resume, snapshots: count, threads }: Pick<Request, "resume" | "snapshots" | "threads">,
    greeting: (opening: Opening) => string
  ): Effect.Effect<void, BrokerError | Revoked.Revoked> {
    const { broker, limits } = this.context
    const recent = count === undefined ? undefined : { count, threads }
    const follow = Effect.suspend(() => {
      // It may have been released before it came to this.
      if (this.phase._tag === "closed") return Effect.fail(new Revoked.Revoked())
      return Effect.flatMap(
        Subscription.begin(this.subscription, broker, this.user, this),
        () => this.state === "closed" ? Effect.fail(new Revoked.Revoked()) : Effect.void
      )
    })
    if (resume === undefined) {
      return Effect.flatMap(
        Effect.andThen(follow, broker.snapshots(this.user, undefined, recent)),
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
    const look = recent === undefined ? nobody : broker.snapshots(this.user, undefined, recent)
    return Effect.flatMap(
      Effect.andThen(follow, Effect.zip(look, broker.pull(this.user, resume, limits))),
      ([asked, slice]) => Effect.sync(() => this.resumeAt(resume, slice, asked, greeting))
    )
  }

  // With a gap the snapshots that the device asked for come after it, together with the others. Without one they come
  // first, and then what lies past the position.
  private resumeAt(resume: Position, slice: Slice, asked: Head, greeting: (opening: Opening) => string): void {
    const { gap, head, next } = slice
    const at = { epoch: next.epoch, offset: head, recovered: gap === undefined }
    const snapshots = asked.position.epoch === next.epoch ? asked.snapshots : []
    if (gap?.reason !== "epoch") this.acknowledgements = new Acknowledgements(resume.offset)
    if (gap !== undefined) {
      const others = snapshots.filter(({ run }) => slice.snapshots.every((snapshot) => snapshot.run !== run))
      const all = { ...slice, snapshots: [...others, ...slice.snapshots] }
      return this.begin(greeting({ ...at, snapshots: 0 }), this.take(all))
    }
    if (snapshots.length === 0) return this.begin(greeting({ ...at, snapshots: 0 }), this.take(slice))
    this.head = head
    this.begin(greeting({ ...at, snapshots: snapshots.length }), { messages: [], snapshots, next: resume })
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
    const earlier = this.acknowledgements?.confirmEarlier(offset, confirmed) ?? []
    const offsets = [...earlier, ...this.composer.confirm(offset)]
    if (offsets.length === 0) return Effect.void
    return Effect.forEach(offsets, (each) => this.pass({ epoch, offset: each }), { discard: true })
  }

  /** Tells a device with a thread filter how far it has come, if it does not know yet. */
  announce(): void {
    if (this.phase !== Phase.idle) return
    const messages = this.composer.upTo(this.cursor)
    if (messages.length > 0) this.write(messages)
  }

  /** Ends the connection of a device that has not read, or could not be served, for too long. Called from time to time. */
  tick(now: number): void {
    const { phase } = this
    if (phase._tag === "closed") return
    this.count()
    if (this.availability.hasLapsed(now)) return this.close(unavailable)
    if (this.availability.isLate && phase === Phase.idle) this.writeStatus(now)
    if (phase._tag !== "blocked") return
    const since = this.caughtUp && this.slowConsumer !== undefined ? this.slowConsumer.since : phase.since
    if (now - since >= this.context.slow.close.ms) this.close(tooSlow)
  }

  /**
   * Answers the device: at once, or once the transport has room again. One that takes no answers, and asks for ever
   * more, is closed as slow.
   */
  reply(message: string): void {
    const { phase } = this
    switch (phase._tag) {
      case "opening":
      case "closed":
        return
      case "blocked":
        this.replies ??= []
        if (this.replies.push(message) > maxReplies) this.close(tooSlow)
        return
      case "idle":
      case "scheduled":
      case "draining":
      case "degraded":
        this.write([message])
    }
  }

  /** Counts anew what waits for the network. */
  count(): void {
    if (this.state !== "closed") this.context.backlog.set(this, this.transport.backlog())
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
  close(reason: CloseReason): void {
    this.end()
    this.transport.close(reason)
  }

  /** Lets go of the log. For the owner of the transport, once it is closed. */
  release(): Effect.Effect<void> {
    return Effect.suspend(() => {
      const { fiber } = this.end()
      const unsubscribed = Subscription.end(this.subscription, this.context.broker, this.user, this)
      return fiber === undefined ? unsubscribed : Effect.andThen(Fiber.interrupt(fiber), unsubscribed)
    })
  }

  /** Looks at the log again. For the hub's recovery; `false` when it still cannot be read. */
  retry(): Effect.Effect<boolean> {
    return Effect.suspend(() => {
      if (this.phase !== Phase.degraded || this.availability.isDown) return Effect.succeed(true)
      this.phase = Phase.scheduled
      const fiber = this.start()
      const worked = () => this.phase !== Phase.degraded
      return fiber === undefined ? Effect.sync(worked) : Effect.map(Fiber.await(fiber), worked)
    })
  }

  /** There may be something to pull, or the broker says something else. */
  wake(signal?: Signal): void {
    const { phase } = this
    const isCritical = signal === "critical"
    if (signal !== undefined && !isCritical) this.onSignal(signal)
    else if (phase._tag === "idle" || phase._tag === "scheduled") this.schedule(isCritical)
    else if (phase._tag === "opening" || phase._tag === "draining") phase.woken = true
  }

  private end(): Phase.Closed {
    const closed = Phase.closed(this.phase)
    this.phase = closed
    this.replies = undefined
    this.context.backlog.end(this)
    if (this.availability.isOut) this.context.recovery.delete(this)
    this.availability.end()
    return closed
  }

  private begin(greeting: string, { messages, snapshots }: Composed): void {
    if (this.phase._tag !== "opening") return
    const beginning = Phase.draining(this.phase.woken)
    this.phase = beginning
    if (!this.writeWith([greeting, ...this.status(this.now), ...messages], snapshots)) return
    if (beginning.woken || this.lag > 0) return this.schedule()
    this.settle()
  }

  private schedule(isCritical = false): void {
    this.phase = Phase.scheduled
    this.context.drains.add(this, isCritical)
  }

  /** Drains, if the connection is scheduled to. For the hub's scheduler. Gives the drain, if that has to wait. */
  start(): Fiber.Fiber<void> | undefined {
    if (this.phase !== Phase.scheduled) return undefined
    const drain = Phase.draining(true)
    this.phase = drain
    const fiber = this.context.run(this.drain(drain))
    if (fiber.pollUnsafe() !== undefined) return undefined
    drain.fiber = fiber
    return fiber
  }

  private drain(drain: Phase.Draining): Effect.Effect<void> {
    return Effect.catchCause(
      Effect.whileLoop({
        while: () => this.phase === drain,
        body: () => this.next(drain),
        step: (found) => {
          if (this.phase !== drain) return
          const hasRoom = "entries" in found ? this.deliver(found) : this.deliverRun(found)
          if (hasRoom && this.owed.length === 0 && this.lag === 0 && !drain.woken) this.settle()
        }
      }),
      (cause) => this.fail(cause, drain)
    )
  }

  // The state of a run that is owed comes before what follows in the log.
  private next(drain: Phase.Draining): Effect.Effect<OutgoingSlice | RunAtHead, BrokerError> {
    const { broker, limits } = this.context
    const [run] = this.owed
    if (run !== undefined) return this.afterRead(broker.snapshot(this.user, run))
    drain.woken = false
    const pull = this.afterRead(broker.pull(this.user, this.cursor, limits))
    if (this.slowConsumer === undefined || !this.caughtUp) return pull
    return Effect.flatMap(pull, (slice) => this.phase === drain ? this.shed(slice) : Effect.succeed(slice))
  }

  // When the log can be read again, acknowledgements can be passed on, too.
  private afterRead<A>(read: Effect.Effect<A, BrokerError>): Effect.Effect<A, BrokerError> {
    const { acknowledgements } = this
    if (acknowledgements?.hasKept !== true) return read
    return Effect.tap(read, () => acknowledgements.passKept(this.passing))
  }

  private shed(slice: Slice): Effect.Effect<OutgoingSlice, BrokerError> {
    const { slowConsumer } = this
    if (slowConsumer === undefined || slice.gap !== undefined) return Effect.succeed(slice)
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

  // Writes it. Tells whether the transport has room for more.
  private deliver(outgoing: OutgoingSlice): boolean {
    const { messages, snapshots } = this.take(outgoing)
    return this.writeWith(this.availability.isTroubled ? [...this.recovered(), ...messages] : messages, snapshots)
  }

  private deliverRun({ position, snapshot }: RunAtHead): boolean {
    const [run, ...others] = this.owed
    if (run === undefined) return true
    // The log is not what it was. The next pull says so, with a gap that counts anew.
    if (position.epoch !== this.cursor.epoch || position.offset < this.cursor.offset) {
      this.owed = none
      return true
    }
    this.owed = others
    return this.write([
      ...this.recovered(),
      this.composer.snapshot(snapshot ?? forgotten(run, this.cursor.offset))
    ])
  }

  // A device that was behind learns at once that it has caught up; later, filtered offsets can wait for a heartbeat.
  private settle(): void {
    if (this.availability.isOut) return this.degrade()
    this.phase = Phase.idle
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
    if (this.state === "closed") return false
    if (hasRoom) return true
    counters.blocked++
    const since = this.now
    this.phase = { _tag: "blocked", since }
    this.slowConsumer ??= new SlowConsumer(since)
    this.transport.whenWritable(() => {
      this.count()
      if (this.state !== "blocked") return
      this.schedule()
      this.writeReplies()
    })
    return false
  }

  private writeReplies(): void {
    const { replies } = this
    this.replies = undefined
    if (replies !== undefined) this.write(replies)
  }

  private fail(cause: Cause.Cause<BrokerError>, drain: Phase.Draining): Effect.Effect<void> {
    if (this.state === "closed" || Cause.hasInterruptsOnly(cause)) return Effect.void
    if (!Cause.hasDies(cause)) {
      // Where an answer filled the transport meanwhile, nothing can be said: the log is looked at again once there is room.
      return Effect.sync(() => {
        if (this.phase === drain) this.degrade()
      })
    }
    return Effect.andThen(
      Effect.logError("A connection was closed, its log cannot be read", cause).pipe(
        Effect.annotateLogs({ connection: this.id })
      ),
      Effect.sync(() => this.close(unavailable))
    )
  }

  // What the broker says of itself, or of the user.
  private onSignal(signal: Exclude<Signal, "critical">): void {
    const { availability, phase } = this
    if (phase._tag === "closed") return
    if (typeof signal === "object") {
      if ("lateMs" in signal) {
        availability.late(signal.lateMs, this.now)
        // Events that have come since are looked for before the device is told.
        if (availability.isLate && phase === Phase.idle) this.schedule()
      } else if (signal.isNew) {
        this.close(Revoked.closeReason)
        // One that is not new comes while this connection subscribes: then opening it fails.
      } else if (phase._tag === "opening" && phase.issuedAt !== undefined && phase.issuedAt < signal.revokedAt) {
        this.end()
      }
      return
    }
    switch (signal) {
      case "down": {
        availability.wentDown(this.now, this.context.patienceMs)
        if (phase === Phase.idle) this.degrade()
        return
      }
      case "up": {
        availability.cameBack(this.now)
        if (availability.isOut && phase === Phase.degraded) this.context.recovery.addReady(this)
        return
      }
    }
  }

  // The device keeps its connection, and is told that events may be late.
  private degrade(): void {
    this.availability.failed(this.now, this.context.patienceMs)
    this.phase = Phase.degraded
    // What waits after an outage is not the device's fault: it may catch up as after a reconnect.
    this.slowConsumer = undefined
    this.caughtUp = false
    if (!this.writeStatus(this.now)) return
    if (!this.availability.isDown) this.context.recovery.add(this)
  }

  // The log was read. The outage is over once acknowledgements could be passed on, too.
  private recovered(): ReadonlyArray<Message> {
    if (this.availability.isDown || this.acknowledgements?.hasKept === true) return []
    this.availability.wasRead()
    return this.status(this.now)
  }

  // The message that tells whether events may be late, unless the device knows.
  private status(now: number): ReadonlyArray<Message> {
    const status = this.availability.report(now)
    if (status === undefined) return []
    if (status === "degraded") this.context.counters.degradations++
    return [this.composer.status(status)]
  }

  private writeStatus(now: number): boolean {
    const messages = this.status(now)
    return messages.length === 0 || this.write(messages)
  }

  // Passes an acknowledgement on, or keeps it until that is possible.
  private pass(position: Position): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (this.availability.isOut) return Effect.sync(() => this.keep(position))
      return Effect.map(pass(this.passing, position), (taken) => {
        if (taken || this.state === "closed") return
        this.keep(position)
        this.availability.failed(this.now, this.context.patienceMs)
        if (this.phase === Phase.idle) this.degrade()
      })
    })
  }

  private keep(position: Position): void {
    this.acknowledgements ??= new Acknowledgements()
    this.acknowledgements.keep(position)
  }

  // What an acknowledgement goes through.
  private get passing() {
    const { broker, counters } = this.context
    return { broker, counters, user: this.user }
  }

  private get now(): number {
    return Monotonic.millisUnsafe(this.context.clock)
  }
}

// A run that ended, and of which nothing is kept any more. Where the log still has its ending, that follows.
const forgotten = (run: RunId, offset: number): RunSnapshotAt => ({
  run,
  offset,
  state: { status: "lost", parts: [], usage: { inputTokens: 0, outputTokens: 0 } }
})
