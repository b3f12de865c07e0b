/**
 * A client of Redis that is connected once, and then used until it ends.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import type { BrokerError } from "../../BrokerError.ts"
import * as Reply from "../codec/Reply.ts"
import * as ArgumentLimit from "./ArgumentLimit.ts"
import { newClient } from "./NewClient.ts"
import { toBrokerError, unavailable } from "./RedisFailure.ts"

/**
 * What is used of a client. `scriptLoaded` notes that the server did not know a
 * script. A listener gets bytes that it must not keep: they are part of all that
 * came in at once.
 * `sendCommand` fails with `ArgumentTooLong`, and sends nothing, where an argument
 * is over the connection's limit.
 *
 * @category models
 * @since 0.1.0
 */
export interface Client {
  readonly sendCommand: (args: ReadonlyArray<string>) => Promise<unknown>
  readonly subscribe: (
    channels: Array<string>,
    listener: (message: Uint8Array, channel: Uint8Array) => void
  ) => Promise<void>
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
 * A connection from its first answer on. `end` ends it for a cause, with which
 * `whenEnded` then fails.
 *
 * @category models
 * @since 0.1.0
 */
export interface Connected extends Live {
  readonly end: (cause: unknown) => void
  readonly whenEnded: Effect.Effect<never, BrokerError>
}

/**
 * `name` is what the server calls the connection. After `silence` without a sign of
 * life a server is taken for gone.
 *
 * @category models
 * @since 0.1.0
 */
export interface Settings {
  readonly name: string
  readonly url: string
  readonly silence: Duration.Duration
  readonly scriptLoaded: () => void
}

/**
 * What is said of a server that is silent.
 *
 * @category constructors
 * @since 0.1.0
 */
export const saysNothing = (operation: string, ms: number): BrokerError =>
  unavailable(
    operation,
    ms,
    new Error(`the server said nothing for ${ms} ms: it is frozen or overloaded, or something else listens there`)
  )

const open = ({ name, silence, url }: Settings) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const client = newClient({ name, url, connectTimeout: Duration.toMillis(silence) })
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
      return { client, end, whenEnded }
    }),
    ({ client }) =>
      Effect.sync(() => {
        if (client.isOpen) client.destroy()
      })
  )

const attempt = Effect.fnUntraced(function*(
  settings: Settings,
  limitOf: (client: Pick<Client, "sendCommand">) => Promise<ArgumentLimit.ArgumentLimit>
): Effect.fn.Return<Connected, BrokerError, Scope.Scope> {
  const { client, end, whenEnded } = yield* open(settings)
  const { limit, server } = yield* Effect.tryPromise({
    try: async () => {
      await client.connect()
      const [info, limit] = await Promise.all([client.sendCommand(["INFO", "server"]), limitOf(client)])
      return { server: Reply.runId(info), limit }
    },
    catch: (cause) => toBrokerError("connect", 0, cause)
  })
  return {
    client: {
      sendCommand: (args) => {
        const size = ArgumentLimit.longerThan(limit.bytes, args)
        return size === undefined
          ? client.sendCommand(args)
          : Promise.reject(new ArgumentLimit.ArgumentTooLong(size, limit))
      },
      subscribe: (channels, listener) => client.subscribe(channels, listener, true),
      unsubscribe: (channels) => client.unsubscribe(channels),
      scriptLoaded: settings.scriptLoaded
    },
    server,
    end,
    whenEnded
  }
})

/**
 * Connects for one call, which may send all that this server takes.
 *
 * @category constructors
 * @since 0.1.0
 */
export const connectApart = (settings: Settings): Effect.Effect<Live, BrokerError, Scope.Scope> =>
  attempt(settings, ArgumentLimit.ask)

// What was sent to a server that was away may never be answered, also once the server is back.
const freshEvery = Duration.millis(500)

/**
 * Connects, and keeps the connection until the scope closes. Only what every server
 * takes may be sent over it, so that nothing makes the server close it.
 *
 * The first attempt has twice `silence`, for servers that are slow. While it has no
 * answer a fresh one stands beside it, replaced every half second: so a server that
 * is back is found by then, whatever became of the first attempt. The first to be
 * answered is kept.
 *
 * @category constructors
 * @since 0.1.0
 */
export const connect = Effect.fnUntraced(function*(
  settings: Settings
): Effect.fn.Return<Connected, BrokerError, Scope.Scope> {
  const scope = yield* Effect.scope
  const attempts = new Set<Scope.Closeable>()
  const begin = Effect.suspend(() => {
    const own = Scope.forkUnsafe(scope)
    attempts.add(own)
    const giveUp = Effect.suspend(() => {
      attempts.delete(own)
      return Scope.close(own, Exit.void)
    })
    return attempt(settings, () => Promise.resolve(ArgumentLimit.least)).pipe(
      Scope.provide(own),
      Effect.map((connected) => ({ connected, own })),
      Effect.onError(() => giveUp)
    )
  })
  const limitMs = 2 * Duration.toMillis(settings.silence)
  const first = Effect.timeoutOrElse(begin, {
    duration: limitMs,
    orElse: () => Effect.fail(saysNothing("connect", limitMs))
  })
  const fresh = begin.pipe(
    Effect.timeout(freshEvery),
    Effect.retry(Schedule.fixed(freshEvery)),
    Effect.orDie,
    Effect.delay(freshEvery)
  )
  const { connected, own } = yield* Effect.raceFirst(first, fresh)
  attempts.delete(own)
  yield* Effect.forEach(attempts, (other) => Scope.close(other, Exit.void), { discard: true })
  return connected
})
