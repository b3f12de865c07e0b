/**
 * One device's conversation over a WebSocket: hello and welcome, events and
 * acknowledgements, ping and pong, renewed tokens, and the word before each
 * close.
 *
 * A session reacts to messages and to the gateway's ticks, so an idle one has
 * no fiber and no timer. Frames are handled in the order they came: while a
 * token is being checked, what follows waits, and its number is bounded by the
 * limit on frames per second.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import type { BrokerError } from "../broker/Broker.ts"
import { frames } from "../hub/Encoding.ts"
import type { Connection } from "../hub/Connection.ts"
import type { TooManyConnections } from "../hub/Hub.ts"
import * as Revoked from "../hub/Revoked.ts"
import type { Farewell, Message, Transport } from "../hub/Transport.ts"
import { closeCodes } from "../protocol/CloseCode.ts"
import * as Frame from "../protocol/Frame.ts"
import * as Monotonic from "../protocol/Monotonic.ts"
import type { AuthenticationError, Principal } from "./Authenticator.ts"
import type { Listener } from "./DeviceSocket.ts"
import { TokenBucket } from "./TokenBucket.ts"
import { forCause, lapsesAt, type Session, type Shared, unauthenticated } from "./Session.ts"
import type * as Strangers from "./Strangers.ts"
import { Unauthenticated } from "./Unauthenticated.ts"

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
  | { readonly _tag: "Waiting"; readonly principal: Principal | undefined; readonly deadline: number }
  | { readonly _tag: "Greeting"; readonly deadline: number }
  | { readonly _tag: "Live"; readonly connection: Connection; readonly principal: Principal; readonly lapsesAt: number }
  | { readonly _tag: "Closing"; readonly connection: Connection | undefined }
  | { readonly _tag: "Closed" }

const ping = Frame.encode({ type: "ping" })

/**
 * @category models
 * @since 0.1.0
 */
export class WebSocketSession implements Session, Listener, Transport, Strangers.Unauthenticated {
  private readonly shared: Shared
  private readonly wire: Wire
  // While frames came of late: a bucket that is full again is as good as none.
  private rate: TokenBucket | undefined
  private state: State
  private heardAt: number
  private pingedAt: number
  // What was waiting for the network at the last tick, while the device was behind.
  private waiting = 0
  private work: Fiber.Fiber<void, unknown> | undefined
  private inbox: Array<Frame.ClientFrame> | undefined

  constructor(shared: Shared, wire: Wire, principal: Principal | undefined) {
    const now = Monotonic.millisUnsafe(shared.clock)
    this.shared = shared
    this.wire = wire
    this.state = { _tag: "Waiting", principal, deadline: now + shared.limits.helloTimeoutMs }
    this.heardAt = now
    this.pingedAt = now
    shared.add(this)
    shared.strangers.unauthenticated.add(this, now)
  }

  // What the socket tells.

  onText(text: string): void {
    if (!this.hear()) return
    const decoded = Frame.decodeClient(text)
    if (Result.isFailure(decoded)) return this.close(forCause(closeCodes.badFrame, decoded.failure.detail))
    const frame = decoded.success
    if (this.work !== undefined) (this.inbox ??= []).push(frame)
    else this.handle(frame)
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
    this.inbox = undefined
    this.shared.remove(this)
    this.shared.strangers.unauthenticated.delete(this)
    if (work !== undefined) this.shared.run(Fiber.interrupt(work))
    if (state._tag === "Live" || state._tag === "Closing") this.letGo(state.connection)
  }

  // What the connection asks.

  write(messages: ReadonlyArray<Message>): boolean {
    return this.wire.sendAll(messages)
  }

  // Whoever takes what was sent lives, also where no ping can go out.
  whenWritable(ready: () => void): void {
    this.wire.whenWritable(() => {
      this.heardAt = Monotonic.millisUnsafe(this.shared.clock)
      ready()
    })
  }

  backlog(): number {
    return this.wire.backlog
  }

  close(farewell: Farewell): void {
    const { state, work } = this
    if (state._tag === "Closing" || state._tag === "Closed") return
    this.state = { _tag: "Closing", connection: undefined }
    this.work = undefined
    this.inbox = undefined
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

  // What the gateway asks.

  tick(now: number, forgivenMs: number): void {
    const { state } = this
    const { heartbeatMs, silenceMs } = this.shared.limits
    this.heardAt += forgivenMs
    if (this.rate?.isFull(now) === true) this.rate = undefined
    switch (state._tag) {
      case "Waiting":
      case "Greeting":
        if (now >= state.deadline) this.close(forCause(closeCodes.helloTimeout))
        return
      case "Live":
        if (this.progresses(state.connection)) this.heardAt = now
        if (now - this.heardAt >= silenceMs) return this.close(forCause(closeCodes.heartbeatLost))
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
    const before = this.waiting
    this.waiting = connection.state === "blocked" ? this.wire.backlog : 0
    return connection.state === "blocked" && this.waiting < before
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
    this.heardAt = now
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
        return this.start(this.greet(frame, state.principal))
      case "Live":
        switch (frame.type) {
          case "hello":
            return this.close(forCause(closeCodes.badFrame, `"hello" came twice`))
          case "ack":
            return this.background(Effect.suspend(() => state.connection.acknowledge(frame.offset, frame.epoch)))
          case "pong":
            return
          case "token":
            return this.start(this.renew(state.connection, state.principal, Redacted.make(frame.token)))
        }
      case "Greeting":
      case "Closing":
      case "Closed":
        return
    }
  }

  private greet(
    hello: typeof Frame.Hello.Type,
    known: Principal | undefined
  ): Effect.Effect<void, AuthenticationError | TooManyConnections | Revoked.Revoked | BrokerError> {
    const { hub, limits, nextId } = this.shared
    const { heartbeatMs, retentionMs } = limits
    const id = nextId()
    const open = ({ issuedAt, userId }: Principal) =>
      hub.open(
        { id, user: userId, issuedAt, resume: hello.resume, threads: hello.threads, encoding: frames, transport: this },
        (opening) => Frame.encode({ type: "welcome", connection: id, ...opening, heartbeatMs, retentionMs })
      )
    // Once open, a connection is either taken or let go, even if the socket vanished in that moment.
    return Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(
        restore(this.identify(hello.token, known)),
        (principal) =>
          Effect.flatMap(restore(open(principal)), (connection) => {
            if (this.state._tag !== "Greeting") return hub.release(connection)
            this.state = this.live(connection, principal)
            this.shared.strangers.unauthenticated.delete(this)
            return Effect.void
          })
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

  private renew(
    connection: Connection,
    known: Principal,
    token: Redacted.Redacted<string>
  ): Effect.Effect<void, AuthenticationError> {
    return Effect.map(this.verify(token, known), (principal) => {
      if (this.state._tag === "Live") this.state = this.live(connection, principal)
    })
  }

  // Runs one step of the conversation; frames that come meanwhile wait for it.
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
    const { inbox } = this
    this.inbox = undefined
    if (inbox === undefined) return
    for (const [index, frame] of inbox.entries()) {
      this.handle(frame)
      if (this.work !== undefined) {
        this.inbox = inbox.slice(index + 1)
        return
      }
    }
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
        return Effect.sync(() => this.close(Revoked.farewell))
      case "Unauthenticated":
        return Effect.sync(() => this.close(unauthenticated(error, 0)))
      case "TooManyConnections":
        return Effect.sync(() =>
          this.close(
            error.scope === "user"
              ? forCause(closeCodes.tooManyConnections, error.message)
              : { code: closeCodes.draining, detail: error.message, reconnectAfterMs: this.shared.comeBackAfterMs() }
          )
        )
      case "AuthenticatorUnavailable":
        return Effect.andThen(
          Effect.logError(error.message, cause),
          Effect.sync(() => this.close(unauthenticated(error, this.shared.comeBackAfterMs())))
        )
      case "BrokerError":
      case undefined:
        return Effect.andThen(
          Effect.logError("A device could not be served", cause),
          Effect.sync(() => this.close(forCause(closeCodes.brokerUnavailable)))
        )
    }
  }

  private letGo(connection: Connection | undefined): void {
    if (connection !== undefined) this.shared.run(this.shared.hub.release(connection))
  }
}
