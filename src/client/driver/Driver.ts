/**
 * Runs a session under Effect: its inputs come from a socket and a clock, its
 * actions become effects.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FiberHandle from "effect/FiberHandle"
import * as Option from "effect/Option"
import * as PubSub from "effect/PubSub"
import * as Queue from "effect/Queue"
import * as Random from "effect/Random"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as SubscriptionRef from "effect/SubscriptionRef"
import { codes } from "../../protocol/wire/CloseCode.ts"
import type * as Event from "../../protocol/event/Event.ts"
import * as Monotonic from "../../protocol/values/Monotonic.ts"
import * as Names from "../../protocol/values/Names.ts"
import type { Position } from "../../protocol/values/Position.ts"
import { call, loadPosition } from "./Callback.ts"
import type { OpenSocket } from "../transport/Platform.ts"
import { onReturn } from "../transport/Platform.ts"
import type { PositionStorage } from "./PositionStorage.ts"
import * as ReceivedEvent from "../../protocol/event/ReceivedEvent.ts"
import type * as Received from "../session/Received.ts"
import type { RunCommandEffects } from "./RunCommandEffects.ts"
import * as RunCommands from "./RunCommandEffects.ts"
import { CommandDesk } from "./RunCommands.ts"
import { type RunHandle, type Runs, RunStore } from "./RunStore.ts"
import { statusOf, step, wakeAt } from "../session/DeviceSession.ts"
import type { Action, Input, Item } from "../session/SessionIO.ts"
import type { Config, Moment } from "../session/SessionState.ts"
import { init } from "../session/SessionState.ts"
import type { Status, StopReason } from "../session/Status.ts"
import { type Overflow, Subscribers } from "./Subscribers.ts"
import * as TokenSource from "./TokenSource.ts"
import type { ClientFrame } from "../transport/ClientFrame.ts"
import * as Connector from "../transport/Connector.ts"
import type { TransportName, WebApis } from "../transport/Transports.ts"

/**
 * What a client runs on: the address, the token, the storage, and the session's settings.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<E, R> {
  readonly url: string
  readonly webApis: WebApis
  readonly token: TokenSource.TokenSource<E, R> | undefined
  readonly storage: PositionStorage | undefined
  readonly capacity: number
  readonly overflow: Overflow
  readonly maxRuns: number
  readonly session: Config
}

/** Timers are set anew after an hour, since none can be set for a month. */
const longestSleepMs = 3_600_000

/**
 * Starts a session. It ends, and its socket closes, with the scope.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function*<D extends Event.AnyDefinition, E, R>(
  catalog: Event.Catalog<D>,
  options: Options<E, R>
) {
  const clock = yield* Clock.Clock
  const monotonic = (): number => Math.floor(Monotonic.millisUnsafe(clock))
  const now = (): Moment => ({ monotonic: monotonic(), wall: clock.currentTimeMillisUnsafe() })
  const runFork = Effect.runForkWith(yield* Effect.context<never>())
  /** What the program's own threw costs no event; the log says it. */
  const warn = (message: string) => (error: unknown): void => {
    runFork(Effect.logWarning(message, error))
  }
  const attempt = (what: string, run: () => void): Effect.Effect<void> => {
    const failed = warn(what)
    return Effect.sync(() => call(run, failed))
  }
  const stored = loadPosition(options.storage, warn("The position storage did not load"))
  let state = init(
    stored === undefined ? options.session : { ...options.session, start: stored },
    yield* Random.nextInt,
    now()
  )

  const inbox = yield* Queue.unbounded<Input>()
  const tell = (input: Input): void => {
    Queue.offerUnsafe(inbox, input)
  }
  const status = yield* SubscriptionRef.make<Status>(statusOf(state))
  const subscribers = yield* Subscribers.make<Received.Item<D>, Refused>(options.capacity, options.overflow, {
    handled: (position) => tell({ _tag: "handled", position }),
    room: () => {
      if (state.phase._tag === "Paused") tell({ _tag: "resume" })
    }
  })
  const runs = new RunStore(options.maxRuns, options.session.threads)
  const { nextUnsafe: nextId } = yield* Names.Names
  const commands = new CommandDesk({
    store: runs,
    tell,
    nextId,
    report: warn("A subscriber of the runs failed"),
    // The effect that asks has a clock of its own.
    after: () => () => {}
  })
  const { end: endRunChanges, runChanges } = yield* makeRunChanges(runs)
  const stopped = (): void => {
    commands.stop()
    runs.close()
    endRunChanges()
  }
  const socket = yield* makeSocket(options, tell)
  const timer = yield* makeTimer(monotonic, () => tell({ _tag: "tick" }))
  const asking = yield* FiberHandle.make()
  const checking = yield* FiberHandle.make()

  const decode = ReceivedEvent.decoder(catalog)
  const received = (item: Item): Received.Item<D> =>
    item._tag === "Event" ? { _tag: "Event", event: decode(item.epoch, item.event) } : item

  const deliver = (items: ReadonlyArray<Item>, position: Position): void => {
    for (const item of items) runs.apply(item)
    const entries = items.map((item, index) => ({
      value: received(item),
      position: item._tag === "Event" && index < items.length - 1
        ? { epoch: item.epoch, offset: item.event.offset }
        : position,
      urgent: item._tag === "Event" && item.event.confirm === true
    }))
    subscribers.offer(entries, position)
    runs.flush(warn("A subscriber of the runs failed"))
  }

  const askToken = (request: number) =>
    FiberHandle.run(
      asking,
      Effect.matchCauseEffect(Effect.suspend(() => TokenSource.get(options.token)), {
        onSuccess: (answer) => Effect.sync(() => tell({ _tag: "token", request, answer })),
        onFailure: (cause) =>
          Effect.andThen(
            Effect.logWarning("The token could not be had; it will be tried again", cause),
            Effect.sync(() => tell({ _tag: "tokenFailed", request }))
          )
      })
    )

  const check = (connection: number) =>
    FiberHandle.run(
      checking,
      Effect.flatMap(
        Effect.promise((signal) => Connector.ask(options.webApis, options.url, signal)),
        (answer) => Effect.sync(() => tell({ _tag: "checked", connection, answer }))
      )
    )

  const run = (action: Action): Effect.Effect<unknown, never, R> => {
    switch (action._tag) {
      case "askToken":
        return askToken(action.request)
      case "connect":
        return Effect.sync(() => socket.open(action.connection, action.transport))
      case "check":
        return check(action.connection)
      case "send":
        return attempt("The socket did not take a frame", () => socket.send(action.frame))
      case "disconnect":
        return attempt("The socket did not close", () => socket.close(action.code, action.reason))
      case "deliver":
        return Effect.sync(() => deliver(action.items, action.position))
      case "save":
        return attempt("The position storage did not save", () => options.storage?.save(action.position))
      case "answered":
        return Effect.sync(() => commands.answered(action.id, action.outcome))
      case "status": {
        const { status: next } = action
        const show = SubscriptionRef.set(status, next)
        if (next.state !== "stopped") return show
        // Whoever is told that nothing comes any more may look why.
        const end = Effect.sync(() => {
          subscribers.close(endOf(next.reason))
          stopped()
        })
        return Effect.andThen(show, end)
      }
    }
  }

  const advance = Effect.fnUntraced(function*(input: Input) {
    const next = step(state, input, now())
    state = next.state
    for (const action of next.actions) yield* run(action)
  })

  const loop = Effect.gen(function*() {
    while (state.phase._tag !== "Stopped") {
      for (const input of yield* Queue.takeAll(inbox)) {
        yield* advance(input)
        // Whoever is quick enough gets a turn before it counts as slow.
        if (subscribers.backlog * 2 > options.capacity) yield* Effect.yieldNow
        if (subscribers.isFull) yield* advance({ _tag: "pause" })
      }
      yield* timer.arm(wakeAt(state))
    }
  }).pipe(Effect.onError((cause) => {
    stopped()
    if (Cause.hasInterruptsOnly(cause)) return Effect.void
    subscribers.close(cause)
    return Effect.logError("The client ended by a defect", cause)
  }))

  tell({ _tag: "start" })
  const fiber = yield* Effect.forkScoped(loop)
  yield* Effect.addFinalizer(() => {
    tell({ _tag: "close" })
    return Fiber.await(fiber)
  })
  yield* Effect.acquireRelease(
    Effect.sync(() => {
      const end = new AbortController()
      onReturn(() => tell({ _tag: "wake" }), end.signal)
      return end
    }),
    (end) => Effect.sync(() => end.abort())
  )

  return {
    items: subscribers.stream,
    status,
    runs,
    run: (id: string): RunHandle & RunCommandEffects => Object.assign(runs.run(id), RunCommands.make(commands.of(id))),
    runChanges,
    position: Effect.sync(() => Option.fromUndefinedOr(state.handled)),
    accepts: Effect.sync(() => state.accepts),
    renew: Effect.sync(() => tell({ _tag: "renew" })),
    reconnect: Effect.sync(() => tell({ _tag: "reconnect" }))
  }
})

/** One socket at a time, closed with the scope at the latest. */
const makeSocket = (
  { url, webApis }: { readonly url: string; readonly webApis: WebApis },
  tell: (input: Input) => void
) => {
  let current: OpenSocket | undefined
  const close = (code: number, reason: string): void => {
    const last = current
    current = undefined
    last?.close(code, reason)
  }
  const open = (connection: number, transport: TransportName): void => {
    current = Connector.open(webApis, url, transport, {
      opened: () => tell({ _tag: "opened", connection }),
      message: (data) => tell({ _tag: "message", connection, data }),
      acknowledged: (confirmed) => tell({ _tag: "acknowledged", connection, confirmed }),
      unacknowledged: () => tell({ _tag: "unacknowledged", connection }),
      closed: (code, reason) => tell({ _tag: "closed", connection, code, reason })
    })
  }
  const send = (frame: ClientFrame): void => current?.send(frame)
  return Effect.acquireRelease(
    Effect.succeed({ open, close, send }),
    () => Effect.ignoreCause(Effect.sync(() => close(1000, "")), { log: "Warn" })
  )
}

/** One timer at a time. It may ring early, never late. */
const makeTimer = Effect.fnUntraced(function*(now: () => number, ring: () => void) {
  const fiber = yield* FiberHandle.make()
  let armed: number | undefined
  const sleepUntil = (at: number) =>
    Effect.andThen(
      Effect.sleep(Math.min(Math.max(0, at - now()), longestSleepMs)),
      Effect.sync(() => {
        armed = undefined
        ring()
      })
    )
  return {
    arm: (at: number | undefined): Effect.Effect<unknown> => {
      if (at !== undefined && armed !== undefined && at >= armed) return Effect.void
      armed = at
      return at === undefined ? FiberHandle.clear(fiber) : FiberHandle.run(fiber, sleepUntil(at))
    }
  }
})

/** Word that runs have changed, and that they change no more: a reader takes the newest state when it has time. */
const makeRunChanges = Effect.fnUntraced(function*({ getSnapshot, subscribe }: Runs) {
  const changed = yield* PubSub.sliding<{ readonly isLast: boolean }>({ capacity: 1, replay: 1 })
  const tell = (isLast: boolean) => PubSub.publishUnsafe(changed, { isLast })
  tell(false)
  const leave = subscribe(() => tell(false))
  return {
    runChanges: Stream.fromPubSub(changed).pipe(
      Stream.takeUntil(({ isLast }) => isLast),
      Stream.map(getSnapshot),
      Stream.changesWith((before, after) => before === after)
    ),
    end: () => {
      leave()
      tell(true)
    }
  }
})

const endOf = (reason: StopReason): Cause.Cause<Refused | Cause.Done> => {
  switch (reason._tag) {
    case "closed":
      return Cause.fail(Cause.Done())
    case "refused":
      return Cause.fail(new Refused({ code: reason.code, name: reason.name ?? "unknown", detail: reason.detail }))
    case "noToken":
      return Cause.fail(new Refused({ code: codes.unauthenticated, name: "noToken", detail: reason.detail }))
  }
}

/**
 * The server wants this client no more, so it stopped. `code` is the close code
 * and `name` its name; `noToken` when there is no token to try again with.
 *
 * @category errors
 * @since 0.1.0
 */
export class Refused extends Schema.TaggedError<Refused>()("Refused", {
  code: Schema.Int,
  name: Schema.String,
  detail: Schema.String
}) {
  override get message() {
    return `The server refused the connection (${this.code} ${this.name}): ${this.detail}`
  }
}
