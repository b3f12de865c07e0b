/**
 * One connection to Redis that comes back by itself.
 *
 * It stands on the `redis` client, but keeps to itself when to connect: a call
 * while there is no connection fails at once, every call has a deadline, a
 * server that says nothing is given up, and the first connection may fail like
 * any later one. (`NodeRedis` of `@effect/platform-node` needs a server that is
 * up when its layer is built, opens a connection for each subscription, and
 * waits without end for a frozen server when it closes.)
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Random from "effect/Random"
import type * as Scope from "effect/Scope"
import { ErrorReply } from "redis"
import * as Monotonic from "../../../protocol/values/Monotonic.ts"
import { BrokerError } from "../../BrokerError.ts"
import { ArgumentTooLong } from "./ArgumentLimit.ts"
import { isAnswer, toBrokerError, unavailable } from "./RedisFailure.ts"
import type { ConnectionKind, FailureKind, RedisMetrics } from "../Metrics.ts"
import { connect, connectApart, type Live, saysNothing } from "./Client.ts"
import * as Why from "./FailureCause.ts"

/**
 * - `call` runs on the live connection, and fails once there is none or the
 *   deadline has passed. What was sent may be carried out all the same. What not
 *   every server takes is sent over a connection of its own: if the server closes
 *   that, nobody else's call is lost, and whose trouble it is stays undecided.
 * - `isLive` tells whether there is a connection now.
 * - `restart` gives the connection up and makes a new one.
 * - `tried` waits until there was a connection, or the first attempt failed.
 * - `awaitLive` waits for a connection.
 * - `watch` calls its listener when the server can be used no more (`down`), and
 *   when it can again (`up`): there is a connection again, or the server answers
 *   again after calls had no answer in time. It does so until the scope closes.
 *
 * @category models
 * @since 0.1.0
 */
export interface Connection {
  readonly call: <A>(operation: string, send: (live: Live) => Promise<A>) => Effect.Effect<A, BrokerError>
  readonly isLive: () => boolean
  readonly restart: Effect.Effect<void>
  readonly tried: Effect.Effect<void>
  readonly awaitLive: Effect.Effect<void>
  readonly watch: (listener: (signal: "down" | "up") => void) => Effect.Effect<void, never, Scope.Scope>
}

/**
 * `name` is what the server calls the connection, `server` and `kind` what logs
 * and metrics call it. `onLive` runs on each new connection before it is used; if it fails, the
 * connection is given up.
 *
 * @category models
 * @since 0.1.0
 */
export interface Settings {
  readonly name: string
  readonly server: string
  readonly kind: ConnectionKind
  readonly metrics: RedisMetrics
  readonly url: string
  readonly deadline: Duration.Duration
  readonly silence: Duration.Duration
  readonly onLive: (live: Live) => Effect.Effect<void, BrokerError>
}

// A call that was sent and is not answered yet.
interface Call {
  /** For how long it has been under way, in milliseconds. */
  readonly elapsed: () => number
  readonly expire: () => void
}

// A server that was demoted keeps its connections; another has its place, which only a new connection finds.
const isDemoted = (cause: unknown): boolean => cause instanceof ErrorReply && cause.message.startsWith("READONLY")

const reasonOf = (cause: Cause.Cause<BrokerError>): string => {
  const error = Cause.squash(cause)
  if (!(error instanceof BrokerError)) return Why.whyOf(error)
  const { reason } = error
  if (reason._tag === "BrokerRefused") return reason.detail
  return reason._tag === "BrokerUnavailable" && reason.cause instanceof Error ? reason.cause.message : reason.message
}

// A server that is back is found within half a second, since all that was emitted meanwhile waits for it.
const firstDelayMs = 50
const maxDelayMs = 500

/**
 * Keeps a connection for as long as the scope is open.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function*(
  settings: Settings
): Effect.fn.Return<Connection, never, Scope.Scope> {
  const clock = yield* Clock.Clock
  const { deadline, kind, metrics, name, onLive, server: serverName, silence, url } = settings
  const silenceMs = Duration.toMillis(silence)
  const wasTried = Latch.makeUnsafe(false)
  const isLive = Latch.makeUnsafe(false)
  let live: Live | undefined
  let drop: (() => void) | undefined
  const listeners = new Set<(signal: "down" | "up") => void>()
  let isUp = true
  const tell = (signal: "down" | "up"): void => {
    if (isUp === (signal === "up")) return
    isUp = signal === "up"
    for (const listener of listeners) listener(signal)
  }

  const address = { name, url, silence, scriptLoaded: metrics.scriptLoaded }
  const serve = Effect.gen(function*() {
    const found = yield* connect(address)
    yield* onLive(found).pipe(
      Effect.timeoutOrElse({ duration: silence, orElse: () => Effect.fail(saysNothing("connect", silenceMs)) })
    )
    return found
  })

  // The client's own timeout counts what is written as a sign of life, so it never ends a busy connection.
  const heartbeat = ({ client }: Live): Effect.Effect<never, BrokerError> =>
    Effect.tryPromise({
      try: () => client.sendCommand(["PING"]),
      catch: (cause) => toBrokerError("ping", 0, cause)
    }).pipe(
      Effect.timeoutOrElse({
        duration: silence,
        orElse: () => Effect.fail(saysNothing("ping", silenceMs))
      }),
      Effect.delay(Duration.millis(silenceMs / 3)),
      Effect.forever
    )

  let failures = 0
  let sessions = 0
  // Why there is no connection, and what of it was told.
  let why = "the first try had no answer yet"
  let told: string | undefined
  const session = Effect.gen(function*() {
    const found = yield* serve
    if (failures > 0) yield* Effect.logInfo(`Redis at ${serverName} can be reached again, after ${failures} attempts`)
    failures = 0
    told = undefined
    live = found
    metrics.connected(kind, true)
    if (sessions++ > 0) metrics.reconnected(kind)
    drop = () => found.end(new Error("The connection was given up"))
    wasTried.openUnsafe()
    isLive.openUnsafe()
    tell("up")
    return yield* Effect.raceFirst(found.whenEnded, heartbeat(found))
  }).pipe(
    Effect.scoped,
    Effect.tapCause((cause) => Effect.sync(() => void (why = reasonOf(cause)))),
    Effect.ensuring(Effect.sync(() => {
      live = undefined
      drop = undefined
      metrics.connected(kind, false)
      isLive.closeUnsafe()
      tell("down")
      wasTried.openUnsafe()
    })),
    Effect.catchCause(() => {
      failures++
      // Once for each reason, not for each try.
      if (why === told) return Effect.void
      told = why
      return Effect.logWarning(`Redis at ${serverName} cannot be used, and is tried again: ${why}`)
    })
  )

  const backoff = Effect.flatMap(Random.next, (random) => {
    const cap = Math.min(maxDelayMs, firstDelayMs * 2 ** Math.min(failures, 10))
    return Effect.sleep(firstDelayMs + Math.floor(random * cap))
  })
  yield* session.pipe(Effect.andThen(backoff), Effect.forever, Effect.forkScoped)

  // All calls have the same deadline, so the first to begin is the first to be late: one fiber watches over all of them.
  const underWay = new Set<Call>()
  const isBusy = Latch.makeUnsafe(false)
  const deadlineMs = Duration.toMillis(deadline)
  const expireOldest = Effect.suspend(() => {
    const [oldest] = underWay
    if (oldest === undefined) return Effect.sync(() => isBusy.closeUnsafe())
    const left = deadlineMs - oldest.elapsed()
    return left > 0 ? Effect.sleep(left) : Effect.sync(() => oldest.expire())
  })
  yield* isBusy.await.pipe(Effect.andThen(expireOldest), Effect.forever, Effect.forkScoped)

  const late = (operation: string, afterMs: number): BrokerError =>
    unavailable(operation, Math.round(afterMs), new Error(`Redis at ${serverName} did not answer in time`), "undecided")

  const kindOf = ({ reason }: BrokerError): FailureKind => reason._tag === "BrokerRefused" ? "refused" : "unavailable"

  // It tells nothing of the connection that everybody shares, and nothing of it but an answer is the broker's trouble.
  const callApart = <A>(operation: string, send: (live: Live) => Promise<A>): Effect.Effect<A, BrokerError> =>
    Effect.suspend(() => {
      const startedAt = Monotonic.millisUnsafe(clock)
      const elapsed = () => Monotonic.millisUnsafe(clock) - startedAt
      const lost = (what: string, cause: unknown): BrokerError => {
        const why = new Error(`Redis at ${serverName} ${what}: ${Why.whyOf(cause)}`, { cause })
        return unavailable(operation, Math.round(elapsed()), why, "undecided")
      }
      return connectApart(address).pipe(
        Effect.mapError((error) => lost("gave no connection for a long argument", error)),
        Effect.flatMap((own) =>
          Effect.tryPromise({
            try: () => send(own),
            catch: (cause) =>
              isAnswer(cause)
                ? toBrokerError(operation, Math.round(elapsed()), cause)
                : lost("closed the connection on a long argument (look at its client-query-buffer-limit)", cause)
          })
        ),
        Effect.scoped,
        Effect.tap(() => Effect.sync(() => metrics.answered(operation, elapsed()))),
        Effect.tapError((error) => Effect.sync(() => metrics.failed(operation, kindOf(error)))),
        Effect.timeoutOrElse({
          duration: deadline,
          orElse: () =>
            Effect.suspend(() => {
              metrics.failed(operation, "deadline")
              return Effect.fail(late(operation, elapsed()))
            })
        })
      )
    })

  const call: Connection["call"] = <A>(operation: string, send: (live: Live) => Promise<A>) =>
    Effect.callback<A, BrokerError>((resume) => {
      const startedAt = Monotonic.millisUnsafe(clock)
      const elapsed = () => Monotonic.millisUnsafe(clock) - startedAt
      const fail = (kind: FailureKind, error: BrokerError): void => {
        metrics.failed(operation, kind)
        resume(Effect.fail(error))
      }
      const found = live
      if (found === undefined) {
        return fail(
          "disconnected",
          unavailable(operation, 0, new Error(`there is no connection to Redis at ${serverName}: ${why}`))
        )
      }
      const expire = () => {
        underWay.delete(one)
        tell("down")
        fail("deadline", late(operation, elapsed()))
      }
      const one: Call = { elapsed, expire }
      underWay.add(one)
      isBusy.openUnsafe()
      const answered = (answer: A): void => {
        // Also an answer that comes too late shows that the server is back.
        if (live === found) tell("up")
        metrics.answered(operation, elapsed())
        if (underWay.delete(one)) resume(Effect.succeed(answer))
      }
      const failed = (cause: unknown): void => {
        if (isDemoted(cause) && live === found) drop?.()
        if (!underWay.delete(one)) return
        if (cause instanceof ArgumentTooLong) return resume(callApart(operation, send))
        const error = toBrokerError(operation, Math.round(elapsed()), cause)
        fail(kindOf(error), error)
      }
      try {
        send(found).then(answered, failed)
      } catch (cause) {
        failed(cause)
      }
      return Effect.sync(() => underWay.delete(one))
    })

  return {
    call,
    isLive: () => live !== undefined,
    restart: Effect.sync(() => drop?.()),
    tried: wasTried.await,
    awaitLive: isLive.await,
    watch: (listener) =>
      Effect.acquireRelease(
        Effect.sync(() => void listeners.add(listener)),
        () => Effect.sync(() => void listeners.delete(listener))
      )
  }
})
