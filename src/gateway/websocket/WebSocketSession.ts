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
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import type { Connection } from "../../hub/connection/Connection.ts"
import type { CloseReason, Liveness, Message, Transport } from "../../hub/Transport.ts"
import type { Outcome } from "../../protocol/command/Command.ts"
import { closeCodes } from "../../protocol/wire/CloseCode.ts"
import * as Frame from "../../protocol/wire/Frame.ts"
import * as Monotonic from "../../protocol/values/Monotonic.ts"
import type * as Strangers from "../admission/Strangers.ts"
import { TokenBucket } from "../admission/TokenBucket.ts"
import { ConnectionLoad } from "../command/OpenCommands.ts"
import type { Principal } from "../authentication/Authenticator.ts"
import { tellUnserved } from "../OperatorLog.ts"
import * as CloseReasons from "../session/CloseReasons.ts"
import type { Session } from "../session/Session.ts"
import { lapsesAt, type SessionContext } from "../session/SessionContext.ts"
import type { Listener } from "./DeviceSocket.ts"
import { greet } from "./Greeting.ts"
import { Heartbeat } from "./Heartbeat.ts"
import { type Incoming, maxWaiting, PendingStep } from "./PendingStep.ts"
import { renew } from "./Renewal.ts"
import type { Live, SessionState, Waiting } from "./SessionState.ts"

/**
 * What a session needs of a socket. `backlog` is what this process holds for it, and
 * `unsent` what of that waits for the network alone.
 *
 * @category models
 * @since 0.1.0
 */
export interface Wire {
  readonly sendAll: (messages: ReadonlyArray<Message>) => boolean
  readonly whenWritable: (ready: (hasDrained: boolean) => void) => void
  readonly backlog: number
  readonly unsent: number
  readonly close: (code: number, reason: string) => void
  readonly terminate: () => void
}

const ping = Frame.encode({ type: "ping" })

/**
 * One device's conversation.
 *
 * @category models
 * @since 0.1.0
 */
export class WebSocketSession implements Session, Listener, Transport, Liveness, Strangers.Unauthenticated {
  private readonly context: SessionContext
  private readonly wire: Wire
  private readonly heartbeat: Heartbeat
  private state: SessionState
  // While frames came of late: a bucket that is full again is as good as none.
  private rate: TokenBucket | undefined
  // While a hello or a token is being checked.
  private step: PendingStep | undefined

  /** `identified` is called once it is known whose device it is. */
  constructor(
    context: SessionContext,
    wire: Wire,
    principal: Principal | undefined,
    identified: () => void = () => {}
  ) {
    const now = Monotonic.millisUnsafe(context.clock)
    this.context = context
    this.wire = wire
    this.heartbeat = new Heartbeat(now)
    this.state = { _tag: "Waiting", principal, deadline: now + context.limits.helloTimeoutMs, identified }
    context.add(this)
    context.strangers.unauthenticated.add(this, now)
  }

  // What the socket tells.

  onText(text: string): void {
    if (!this.hear()) return
    const decoded = Frame.decodeClient(text)
    if (Result.isSuccess(decoded)) return this.handle(decoded.success)
    const { command, detail } = decoded.failure
    if (command === undefined) return this.close(CloseReasons.of(closeCodes.badFrame, detail))
    this.handle({ type: "badCommand", ...command, detail })
  }

  onBinary(): void {
    if (this.hear()) this.close(CloseReasons.of(closeCodes.badFrame, "frames are text"))
  }

  onControl(): void {
    this.hear()
  }

  onOversize(): void {
    this.close(
      CloseReasons.of(closeCodes.frameTooLarge, `a frame may have ${this.context.limits.maxFrameBytesIn} bytes`)
    )
  }

  onClose(): void {
    const state = this.leave({ _tag: "Closed" })
    this.context.remove(this)
    this.context.strangers.unauthenticated.delete(this)
    if (state._tag === "Live" || state._tag === "Closing") state.connection?.gone()
  }

  // What the connection asks.

  write(messages: ReadonlyArray<Message>): boolean {
    return this.wire.sendAll(messages)
  }

  // Whoever takes what was sent lives, also where no ping can go out.
  whenWritable(ready: () => void): void {
    this.wire.whenWritable((hasDrained) => {
      if (hasDrained) this.heartbeat.hear(this.now)
      ready()
    })
  }

  backlog(): number {
    return this.wire.backlog
  }

  close(reason: CloseReason): void {
    const { state } = this
    if (state._tag === "Closing" || state._tag === "Closed") return
    // What waits for the network still does.
    this.leave({ _tag: "Closing", connection: state._tag === "Live" ? state.connection : undefined })
    this.context.closed(reason)
    const { code, detail, reconnectAfterMs } = reason
    this.wire.sendAll([
      reconnectAfterMs === undefined
        ? Frame.encode({ type: "error", code: code.name, message: detail })
        : Frame.encode({ type: "goodbye", reason: detail, reconnectAfterMs })
    ])
    this.wire.close(code.code, code.name)
  }

  get liveness(): Liveness {
    return this
  }

  heardAt(): number {
    return this.heartbeat.heardAt
  }

  ask(): void {
    this.wire.sendAll([ping])
  }

  isSilent(askedAt: number): boolean {
    return this.heartbeat.heardAt < askedAt
  }

  // It would be heard here.
  heardElsewhere(): void {}

  // What the gateway asks.

  tick(now: number, forgivenMs: number): void {
    const { state } = this
    this.heartbeat.forgive(forgivenMs)
    if (this.rate?.isFull(now) === true) this.rate = undefined
    switch (state._tag) {
      case "Waiting":
        if (now >= state.deadline) this.close(CloseReasons.of(closeCodes.helloTimeout))
        return
      case "Greeting":
        // The device has done its part.
        if (now < state.deadline) return
        return this.close(CloseReasons.draining(this.context.comeBackAfterMs(), "the hello was not answered in time"))
      case "Live":
        return this.tickLive(state, now)
      case "Closing":
      case "Closed":
        return
    }
  }

  private tickLive({ connection, lapsesAt }: Live, now: number): void {
    const { heartbeat } = this
    const { heartbeatMs, silenceMs } = this.context.limits
    heartbeat.look(connection, this.wire.unsent, now)
    if (now - heartbeat.heardAt >= silenceMs) return this.close(CloseReasons.of(closeCodes.heartbeatLost))
    if (now > lapsesAt) return this.close(CloseReasons.expired)
    connection.tick(now)
    if (!heartbeat.isDue(heartbeatMs, now)) return
    connection.announce()
    if (connection.state !== "blocked") this.wire.sendAll([ping])
  }

  destroy(): void {
    this.wire.terminate()
  }

  giveUp(): void {
    this.wire.terminate()
  }

  // The conversation.

  private get now(): number {
    return Monotonic.millisUnsafe(this.context.clock)
  }

  // Moves to the end, and lets go of what the conversation held.
  private leave(to: SessionState): SessionState {
    const { state, step } = this
    this.state = to
    this.step = undefined
    step?.interrupt(this.context)
    if (state._tag === "Live") this.context.run(this.context.hub.release(state.connection))
    return state
  }

  private live(
    connection: Connection,
    principal: Principal,
    { client, load }: Pick<Live, "client" | "load">
  ): SessionState {
    return { _tag: "Live", connection, principal, client, load, lapsesAt: lapsesAt(this.context, principal) }
  }

  private hear(): boolean {
    if (this.state._tag === "Closing" || this.state._tag === "Closed") return false
    const { framesPerSecond } = this.context.limits
    const { now } = this
    this.heartbeat.hear(now)
    this.rate ??= new TokenBucket(framesPerSecond, now)
    if (this.rate.take(now)) return true
    this.close(CloseReasons.of(closeCodes.tooManyFrames, `more than ${framesPerSecond} frames per second`))
    return false
  }

  private handle(frame: Incoming): void {
    const { state } = this
    switch (state._tag) {
      case "Waiting":
        if (frame.type !== "hello") {
          return this.close(
            CloseReasons.of(
              closeCodes.badFrame,
              `the first frame must be "hello", not "${frame.type === "badCommand" ? "command" : frame.type}"`
            )
          )
        }
        if (frame.snapshots !== undefined && frame.snapshots > this.context.limits.maxSnapshots) {
          return this.close(CloseReasons.tooManySnapshots(frame.snapshots, this.context.limits.maxSnapshots))
        }
        this.state = { _tag: "Greeting", deadline: state.deadline }
        return this.begin(() => this.greet(frame, state))
      case "Live":
        switch (frame.type) {
          case "hello":
            if (this.step !== undefined) return this.wait(frame, this.step)
            return this.close(CloseReasons.of(closeCodes.badFrame, `"hello" came twice`))
          case "ack":
            this.run(Effect.suspend(() => state.connection.acknowledge(frame.offset, frame.epoch, frame.confirmed)))
            return
          case "pong":
            return
          case "token":
            if (this.step !== undefined) return this.wait(frame, this.step)
            return this.begin((step) => this.renew(state, frame.token, step))
          case "command":
            return this.takeCommand(state, frame)
          case "badCommand": {
            const { detail: message, id, path } = frame
            return this.answer(state, id, this.context.commands.refuse("invalid", { path, message }))
          }
        }
      case "Greeting":
        if (this.step !== undefined) this.wait(frame, this.step)
        return
      case "Closing":
      case "Closed":
        return
    }
  }

  private wait(frame: Incoming, step: PendingStep): void {
    if (!step.wait(frame)) {
      this.close(CloseReasons.of(closeCodes.tooManyFrames, `more than ${maxWaiting} frames wait for an answer`))
    }
  }

  private greet(
    hello: typeof Frame.Hello.Type,
    { identified, principal: known }: Waiting
  ): Effect.Effect<void, CloseReasons.ServeError> {
    return greet(this.context, hello, {
      known,
      transport: this,
      identified,
      take: (connection, principal) => {
        if (this.state._tag === "Greeting") {
          this.state = this.live(connection, principal, { client: hello.client, load: undefined })
          this.context.strangers.unauthenticated.delete(this)
          return Effect.void
        }
        if (this.state._tag === "Closing") this.state = { _tag: "Closing", connection }
        else connection.gone()
        return this.context.hub.release(connection)
      }
    })
  }

  private renew(
    { connection, principal: known }: Live,
    token: string,
    step: PendingStep
  ): Effect.Effect<void, CloseReasons.ServeError> {
    return renew(this.context, {
      known,
      token,
      renewed: (principal) => {
        if (this.state._tag === "Live") this.state = this.live(connection, principal, this.state)
      },
      isAwaited: () => step.waiting.length > 0
    })
  }

  // Nothing waits for a command. One within its own rate does not count as a frame.
  private takeCommand(live: Live, command: Frame.Command): void {
    const { commands } = this.context
    live.load ??= new ConnectionLoad()
    if (commands.isTooOften(live)) {
      return this.answer(live, command.id, commands.refuse("tooMany", { message: "commands came too fast" }))
    }
    this.rate?.giveBack()
    commands.submit(live, command).addObserver((exit) => {
      // Where it is not known what became of it, the device asks again.
      if (Exit.isSuccess(exit)) this.answer(live, command.id, exit.value)
    })
  }

  private answer({ connection }: Live, id: Frame.Command["id"], outcome: Outcome): void {
    connection.reply(Frame.encode({ type: "command", id, ...outcome }))
  }

  // Begins a step of the conversation. What comes meanwhile is handled after it.
  private begin(make: (step: PendingStep) => Effect.Effect<void, CloseReasons.ServeError>): void {
    const step = new PendingStep()
    this.step = step
    const fiber = this.run(make(step))
    step.follow(fiber)
    fiber.addObserver(() => {
      if (this.step !== step) return
      this.step = undefined
      for (const frame of step.waiting) this.handle(frame)
    })
  }

  private run(effect: Effect.Effect<void, CloseReasons.ServeError>) {
    return this.context.run(Effect.catchCause(effect, (cause) => this.refuse(cause)))
  }

  private refuse(cause: Cause.Cause<CloseReasons.ServeError>): Effect.Effect<void> {
    if (Cause.hasInterruptsOnly(cause)) return Effect.void
    const error = Result.getOrUndefined(Cause.findError(cause))
    const close = Effect.sync(() =>
      this.close(
        error === undefined
          ? CloseReasons.of(closeCodes.brokerUnavailable)
          : CloseReasons.ofError(error, this.context.comeBackAfterMs)
      )
    )
    if (error === undefined) return Effect.andThen(Effect.logError("A device could not be served", cause), close)
    return error._tag === "BrokerError" ? Effect.andThen(tellUnserved(this.context.tell, error), close) : close
  }
}
