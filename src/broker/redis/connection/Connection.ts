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
import { createClient, ErrorReply } from "redis"
import * as Monotonic from "../../../protocol/Monotonic.ts"
import { BrokerError } from "../../BrokerError.ts"
import { toBrokerError, unavailable } from "./RedisFailure.ts"
import type { ConnectionKind, FailureKind, RedisMetrics } from "../Metrics.ts"
import * as Reply from "../codec/Reply.ts"
import * as Why from "./FailureCause.ts"

/**
 * What is used of a client. `scriptLoaded` notes that the server did not know a
 * script.
 *
 * @category models
 * @since 0.1.0
 */
export interface Client {
  readonly sendCommand: (args: ReadonlyArray<string>) => Promise<unknown>
  readonly subscribe: (channels: Array<string>, listener: (message: string, channel: string) => void) => Promise<void>
  readonly unsubscribe: (channels: Array<string>) => Promise<void>
  readonly scriptLoaded: () => void
}

/**
 * A connection that stands, to the server process of this id.
 *
 * @category models
 * @since 0.1.0
 */
export interface Live {
  readonly client: Client
  readonly server: string
}

/**
 * - `call` runs on the live connection, and fails once there is none or the
 *   deadline has passed. What was sent may be carried out all the same.
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
  readonly watch: (listener: (news: "down" | "up") => void) => Effect.Effect<void, never, Scope.Scope>
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

const saysNothing = (ms: number) =>
  new Error(`the server said nothing for ${ms} ms: it is frozen or overloaded, or something else listens there`)

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
  const listeners = new Set<(news: "down" | "up") => void>()
  let isUp = true
  const tell = (news: "down" | "up"): void => {
    if (isUp === (news === "up")) return
    isUp = news === "up"
    for (const listener of listeners) listener(news)
  }

  const open = Effect.acquireRelease(
    Effect.sync(() => {
      const client = createClient({
        url,
        name,
        RESP: 2,
        disableOfflineQueue: true,
        disableClientInfo: true,
        commandsQueueMaxLength: 65_536,
        // Its own timer for each command costs more than the command; see `deadline`.
        commandOptions: { timeout: 0 },
        socket: { connectTimeout: silenceMs, reconnectStrategy: false }
      })
      let ended: unknown = undefined
      let onEnd: ((cause: unknown) => void) | undefined
      const end = (cause: unknown) => {
        ended ??= cause ?? new Error("The connection ended")
        onEnd?.(ended)
      }
      client.on("error", end).on("terminated", end).on("end", end)
      const whenEnded = Effect.callback<never, BrokerError>((resume) => {
        onEnd = (cause) => resume(Effect.fail(toBrokerError("connect", 0, cause)))
        if (ended !== undefined) onEnd(ended)
      })
      return { client, whenEnded, end }
    }),
    ({ client }) =>
      Effect.sync(() => {
        if (client.isOpen) client.destroy()
      })
  )

  const serve = Effect.gen(function*() {
    const { client, end, whenEnded } = yield* open
    const server = yield* Effect.tryPromise({
      try: async () => {
        await client.connect()
        return Reply.runId(await client.sendCommand(["INFO", "server"]))
      },
      catch: (cause) => toBrokerError("connect", 0, cause)
    })
    const found: Live = {
      client: {
        sendCommand: (args) => client.sendCommand(args),
        subscribe: (channels, listener) => client.subscribe(channels, listener),
        unsubscribe: (channels) => client.unsubscribe(channels),
        scriptLoaded: metrics.scriptLoaded
      },
      server
    }
    yield* onLive(found)
    return { found, end, whenEnded }
  })

  // The client's own timeout counts what is written as a sign of life, so it never ends a busy connection.
  const heartbeat = ({ client }: Live): Effect.Effect<never, BrokerError> =>
    Effect.tryPromise({
      try: () => client.sendCommand(["PING"]),
      catch: (cause) => toBrokerError("ping", 0, cause)
    }).pipe(
      Effect.timeoutOrElse({
        duration: silence,
        orElse: () => Effect.fail(unavailable("ping", silenceMs, saysNothing(silenceMs)))
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
    const { end, found, whenEnded } = yield* serve.pipe(
      Effect.timeoutOrElse({
        duration: Duration.times(silence, 2),
        orElse: () => Effect.fail(unavailable("connect", 2 * silenceMs, saysNothing(2 * silenceMs)))
      })
    )
    if (failures > 0) yield* Effect.logInfo(`Redis at ${serverName} can be reached again, after ${failures} attempts`)
    failures = 0
    told = undefined
    live = found
    metrics.connected(kind, true)
    if (sessions++ > 0) metrics.reconnected(kind)
    drop = () => end(new Error("The connection was given up"))
    wasTried.openUnsafe()
    isLive.openUnsafe()
    tell("up")
    return yield* Effect.raceFirst(whenEnded, heartbeat(found))
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

  yield* Effect.gen(function*() {
    while (true) {
      yield* session
      const cap = Math.min(maxDelayMs, firstDelayMs * 2 ** Math.min(failures, 10))
      yield* Effect.sleep(firstDelayMs + Math.floor((yield* Random.next) * cap))
    }
  }).pipe(Effect.forkScoped)

  // All calls have the same deadline, so the first to begin is the first to be late: one fiber watches over all of them.
  const underWay = new Set<Call>()
  const isBusy = Latch.makeUnsafe(false)
  const deadlineMs = Duration.toMillis(deadline)
  yield* Effect.gen(function*() {
    while (true) {
      yield* isBusy.await
      const [oldest] = underWay
      if (oldest === undefined) {
        isBusy.closeUnsafe()
        continue
      }
      const left = deadlineMs - oldest.elapsed()
      if (left > 0) yield* Effect.sleep(left)
      else oldest.expire()
    }
  }).pipe(Effect.forkScoped)

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
        fail(
          "deadline",
          unavailable(
            operation,
            Math.round(elapsed()),
            new Error(`Redis at ${serverName} did not answer in time`),
            "undecided"
          )
        )
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
        const error = toBrokerError(operation, Math.round(elapsed()), cause)
        fail(error.reason._tag === "BrokerRefused" ? "refused" : "unavailable", error)
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
