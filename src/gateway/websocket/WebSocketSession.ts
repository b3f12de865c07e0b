/**
 * One device's conversation over a WebSocket: hello and welcome, events and
 * acknowledgements, ping and pong, renewed tokens, and the word before each
 * close.
 *
 * A session reacts to messages and to the gateway's ticks, so an idle one has
 * no fiber and no timer. What comes while a hello is being answered
 * waits for it. A renewed token is checked beside everything else, and others wait
 * for it, a bounded number.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schedule from "effect/Schedule"
import type { BrokerError } from "../../broker/Broker.ts"
import { frames } from "../../hub/connection/FrameEncoder.ts"
import type { Connection } from "../../hub/connection/Connection.ts"
import type { TooManyConnections } from "../../hub/Hub.ts"
import * as Revoked from "../../hub/Revocation.ts"
import type { CloseReason, Liveness, Message, Transport } from "../../hub/Transport.ts"
import { closeCodes } from "../../protocol/CloseCode.ts"
import * as Frame from "../../protocol/Frame.ts"
import * as Monotonic from "../../protocol/Monotonic.ts"
import type { AuthenticationError, Principal } from "../authentication/Authenticator.ts"
import type { Listener } from "./DeviceSocket.ts"
import { TokenBucket } from "../admission/TokenBucket.ts"
import { busy, forCause, lapsesAt, type Session, type Shared, tooMany, unauthenticated } from "../session/Session.ts"
import type * as Strangers from "../admission/Strangers.ts"
import { Unauthenticated } from "../authentication/AuthenticationError.ts"

/**
 * What a session needs of a socket.
 *
 * @category models
 * @since 0.1.0
 */
export interface Wire {
  readonly sendAll: (messages: ReadonlyArray<Message>) => boolean
  readonly whenWritable: (ready: () => void) => void
  readonly backlog: number
  readonly close: (code: number, reason: string) => void
  readonly terminate: () => void
}

/**
 * Where a conversation stands. `Waiting` for hello, perhaps from a principal
 * that the request's header named; `Greeting` while the hello is being checked
 * and answered; `Live`; `Closing` once a farewell was said; `Closed` when the
 * socket is gone.
 */
type State =
  | {
    readonly _tag: "Waiting"
    readonly principal: Principal | undefined
    readonly deadline: number
    readonly identified: () => void
  }
  | { readonly _tag: "Greeting"; readonly deadline: number }
  | { readonly _tag: "Live"; readonly connection: Connection; readonly principal: Principal; readonly lapsesAt: number }
  | { readonly _tag: "Closing"; readonly connection: Connection | undefined }
  | { readonly _tag: "Closed" }

/** How many frames may wait for an answer to a hello or a token. */
const maxWaiting = 64

const ping = Frame.encode({ type: "ping" })

/**
 * One device's conversation.
 *
 * @category models
 * @since 0.1.0
 */
export class WebSocketSession implements Session, Listener, Transport, Liveness, Strangers.Unauthenticated {
  private readonly shared: Shared
  private readonly wire: Wire
  // While frames came of late: a bucket that is full again is as good as none.
  private rate: TokenBucket | undefined
  private state: State
  private lastHeard: number
  private pingedAt: number
  // What was waiting for the network at the last tick, while the device was behind.
  private stuck = 0
  private work: Fiber.Fiber<void, unknown> | undefined
  private waiting: Array<Frame.ClientFrame> | undefined

  /** `identified` is called once it is known whose device it is. */
  constructor(shared: Shared, wire: Wire, principal: Principal | undefined, identified: () => void = () => {}) {
    const now = Monotonic.millisUnsafe(shared.clock)
    this.shared = shared
    this.wire = wire
    this.state = { _tag: "Waiting", principal, deadline: now + shared.limits.helloTimeoutMs, identified }
    this.lastHeard = now
    this.pingedAt = now
    shared.add(this)
    shared.strangers.unauthenticated.add(this, now)
  }

  // What the socket tells.

  onText(text: string): void {
    if (!this.hear()) return
    const decoded = Frame.decodeClient(text)
    if (Result.isFailure(decoded)) return this.close(forCause(closeCodes.badFrame, decoded.failure.detail))
    this.handle(decoded.success)
  }

  onBinary(): void {
    if (this.hear()) this.close(forCause(closeCodes.badFrame, "frames are text"))
  }

  onControl(): void {
    this.hear()
  }

  onOversize(): void {
    this.close(forCause(closeCodes.frameTooLarge))
  }

  onClose(): void {
    const { state, work } = this
    this.state = { _tag: "Closed" }
    this.work = undefined
    this.waiting = undefined
    this.shared.remove(this)
    this.shared.strangers.unauthenticated.delete(this)
    if (work !== undefined) this.shared.run(Fiber.interrupt(work))
    if (state._tag === "Live") this.letGo(state.connection)
    if (state._tag === "Live" || state._tag === "Closing") state.connection?.gone()
  }

  // What the connection asks.

  write(messages: ReadonlyArray<Message>): boolean {
    return this.wire.sendAll(messages)
  }

  // Whoever takes what was sent lives, also where no ping can go out.
  whenWritable(ready: () => void): void {
    this.wire.whenWritable(() => {
      this.lastHeard = Monotonic.millisUnsafe(this.shared.clock)
      ready()
    })
  }

  backlog(): number {
    return this.wire.backlog
  }

  close(farewell: CloseReason): void {
    const { state, work } = this
    if (state._tag === "Closing" || state._tag === "Closed") return
    // What waits for the network still does.
    this.state = { _tag: "Closing", connection: state._tag === "Live" ? state.connection : undefined }
    this.work = undefined
    this.waiting = undefined
    this.shared.closed(farewell)
    const { code, detail, reconnectAfterMs } = farewell
    this.wire.sendAll([
      reconnectAfterMs === undefined
        ? Frame.encode({ type: "error", code: code.name, message: detail })
        : Frame.encode({ type: "goodbye", reason: detail, reconnectAfterMs })
    ])
    this.wire.close(code.code, code.name)
    if (work !== undefined) this.shared.run(Fiber.interrupt(work))
    if (state._tag === "Live") this.letGo(state.connection)
  }

  get liveness(): Liveness {
    return this
  }

  heardAt(): number {
    return this.lastHeard
  }

  ask(): void {
    this.wire.sendAll([ping])
  }

  isSilent(askedAt: number): boolean {
    return this.lastHeard < askedAt
  }

  // It would be heard here.
  heardElsewhere(): void {}

  // What the gateway asks.

  tick(now: number, forgivenMs: number): void {
    const { state } = this
    const { heartbeatMs, silenceMs } = this.shared.limits
    this.lastHeard += forgivenMs
    if (this.rate?.isFull(now) === true) this.rate = undefined
    switch (state._tag) {
      case "Waiting":
      case "Greeting":
        if (now >= state.deadline) this.close(forCause(closeCodes.helloTimeout))
        return
      case "Live":
        if (this.progresses(state.connection)) this.lastHeard = now
        if (now - this.lastHeard >= silenceMs) return this.close(forCause(closeCodes.heartbeatLost))
        if (now > state.lapsesAt) {
          return this.close(forCause(closeCodes.unauthenticated, new Unauthenticated({ reason: "expired" }).message))
        }
        state.connection.tick(now)
        if (now - this.pingedAt >= heartbeatMs) {
          this.pingedAt = now
          state.connection.announce()
          if (state.connection.state !== "blocked") this.wire.sendAll([ping])
        }
        return
      case "Closing":
      case "Closed":
        return
    }
  }

  // Whether the network has taken some of what waited for it at the last tick.
  private progresses(connection: Connection): boolean {
    const before = this.stuck
    this.stuck = connection.state === "blocked" ? this.wire.backlog : 0
    return connection.state === "blocked" && this.stuck < before
  }

  destroy(): void {
    this.wire.terminate()
  }

  giveUp(): void {
    this.wire.terminate()
  }

  // The conversation.

  private live(connection: Connection, principal: Principal): State {
    return { _tag: "Live", connection, principal, lapsesAt: lapsesAt(this.shared, principal) }
  }

  private hear(): boolean {
    if (this.state._tag === "Closing" || this.state._tag === "Closed") return false
    const now = Monotonic.millisUnsafe(this.shared.clock)
    this.lastHeard = now
    this.rate ??= new TokenBucket(this.shared.limits.framesPerSecond, now)
    if (this.rate.take(now)) return true
    this.close(forCause(closeCodes.tooManyFrames, `more than ${this.shared.limits.framesPerSecond} frames per second`))
    return false
  }

  private handle(frame: Frame.ClientFrame): void {
    const { state } = this
    switch (state._tag) {
      case "Waiting":
        if (frame.type !== "hello") {
          return this.close(forCause(closeCodes.badFrame, `the first frame must be "hello", not "${frame.type}"`))
        }
        this.state = { _tag: "Greeting", deadline: state.deadline }
        return this.start(this.greet(frame, state))
      case "Live":
        switch (frame.type) {
          case "hello":
            if (this.work !== undefined) return this.wait(frame)
            return this.close(forCause(closeCodes.badFrame, `"hello" came twice`))
          case "ack":
            return this.background(
              Effect.suspend(() => state.connection.acknowledge(frame.offset, frame.epoch, frame.confirmed))
            )
          case "pong":
            return
          case "token":
            if (this.work !== undefined) return this.wait(frame)
            return this.start(this.renew(state.connection, state.principal, Redacted.make(frame.token)))
        }
      case "Greeting":
        return this.wait(frame)
      case "Closing":
      case "Closed":
        return
    }
  }

  private wait(frame: Frame.ClientFrame): void {
    const waiting = this.waiting ??= []
    if (waiting.length >= maxWaiting) return this.close(forCause(closeCodes.tooManyFrames))
    waiting.push(frame)
  }

  private greet(
    hello: typeof Frame.Hello.Type,
    { identified, principal: known }: Extract<State, { readonly _tag: "Waiting" }>
  ): Effect.Effect<void, AuthenticationError | TooManyConnections | Revoked.Revoked | BrokerError> {
    const { hub, limits, nextId } = this.shared
    const { heartbeatMs, retentionMs } = limits
    const id = nextId()
    const open = ({ issuedAt, userId }: Principal) =>
      hub.open(
        { id, user: userId, issuedAt, resume: hello.resume, threads: hello.threads, encoder: frames, transport: this },
        (opening) => Frame.encode({ type: "welcome", connection: id, ...opening, heartbeatMs, retentionMs })
      )
    // Once open, a connection is either taken or let go, even if the socket vanished in that moment.
    return Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(
        restore(this.identify(hello.token, known)),
        (principal) => {
          identified()
          if (!this.shared.admits()) return Effect.sync(() => this.close(busy(this.shared.comeBackAfterMs())))
          return Effect.flatMap(restore(open(principal)), (connection) => {
            if (this.state._tag !== "Greeting") {
              if (this.state._tag === "Closing") this.state = { _tag: "Closing", connection }
              else connection.gone()
              return hub.release(connection)
            }
            this.state = this.live(connection, principal)
            this.shared.strangers.unauthenticated.delete(this)
            return Effect.void
          })
        }
      )
    )
  }

  private identify(
    token: string | undefined,
    known: Principal | undefined
  ): Effect.Effect<Principal, AuthenticationError> {
    if (token === undefined) {
      return known === undefined ? Effect.fail(new Unauthenticated({ reason: "missing" })) : Effect.succeed(known)
    }
    return this.verify(Redacted.make(token), known)
  }

  private verify(
    token: Redacted.Redacted<string>,
    known: Principal | undefined
  ): Effect.Effect<Principal, AuthenticationError> {
    return Effect.flatMap(
      Effect.suspend(() => this.shared.authenticator.verify(token)),
      (principal) =>
        known === undefined || known.userId === principal.userId
          ? Effect.succeed(principal)
          : Effect.fail(new Unauthenticated({ reason: "otherUser" }))
    )
  }

  // Where the log is away, it tells later of a revocation: until then the new token counts.
  private renew(
    connection: Connection,
    known: Principal,
    token: Redacted.Redacted<string>
  ): Effect.Effect<void, AuthenticationError | Revoked.Revoked> {
    const { hub } = this.shared
    return Effect.flatMap(this.verify(token, known), (principal) => {
      if (this.state._tag === "Live") this.state = this.live(connection, principal)
      const admitted: Effect.Effect<void, Revoked.Revoked | BrokerError> = Effect.retry(
        hub.admit(principal.userId, principal.issuedAt),
        {
          while: (error) => error._tag === "BrokerError" && this.waiting === undefined,
          schedule: Schedule.spaced("1 second")
        }
      )
      return Effect.catchTag(admitted, "BrokerError", () => Effect.void)
    })
  }

  // Runs one step of the conversation; another waits for it.
  private start(
    step: Effect.Effect<void, AuthenticationError | TooManyConnections | Revoked.Revoked | BrokerError>
  ): void {
    const fiber = this.shared.run(Effect.catchCause(step, (cause) => this.refuse(cause)))
    if (fiber.pollUnsafe() !== undefined) return
    this.work = fiber
    fiber.addObserver(() => {
      if (this.work !== fiber) return
      this.work = undefined
      this.continue()
    })
  }

  private continue(): void {
    const { waiting = [] } = this
    this.waiting = undefined
    for (const frame of waiting) this.handle(frame)
  }

  private background(effect: Effect.Effect<void>): void {
    this.shared.run(Effect.catchCause(effect, (cause) => this.refuse(cause)))
  }

  private refuse(
    cause: Cause.Cause<AuthenticationError | TooManyConnections | Revoked.Revoked | BrokerError>
  ): Effect.Effect<void> {
    if (Cause.hasInterruptsOnly(cause)) return Effect.void
    const error = Result.getOrUndefined(Cause.findError(cause))
    switch (error?._tag) {
      case "Revoked":
        return Effect.sync(() => this.close(Revoked.closeReason))
      case "Unauthenticated":
        return Effect.sync(() => this.close(unauthenticated(error, 0)))
      case "TooManyConnections":
        return Effect.sync(() =>
          this.close(
            tooMany(error, this.shared.comeBackAfterMs())
          )
        )
      case "AuthenticatorUnavailable":
        return Effect.sync(() => this.close(unauthenticated(error, this.shared.comeBackAfterMs())))
      case "BrokerError":
      case undefined:
        return Effect.andThen(
          Effect.logError("A device could not be served", cause),
          Effect.sync(() => this.close(forCause(closeCodes.brokerUnavailable)))
        )
    }
  }

  private letGo(connection: Connection): void {
    this.shared.run(this.shared.hub.release(connection))
  }
}
