/**
 * Makes room at a user's limit on connections, by closing those whose devices have
 * gone without a word. After a change of network such connections look alive until
 * their devices are asked.
 *
 * The three that have been quiet for the longest are asked for a sign of life.
 * Those that give none within 2 seconds are closed, and do not count any more at
 * once. Devices that answer keep their connections, whoever waits for room.
 *
 * @since 0.1.0
 */
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { closeCodes } from "../../protocol/wire/CloseCode.ts"
import type { UserId } from "../../protocol/values/Identity.ts"
import * as Monotonic from "../../protocol/values/Monotonic.ts"
import type { Connection } from "../connection/Connection.ts"
import type { ConnectionRegistry } from "./ConnectionRegistry.ts"
import type { CloseReason, Liveness } from "../Transport.ts"

/**
 * - `release` lets go of a connection.
 * - `run` starts an effect that outlives its caller.
 * - `maxWaiting` is how many new connections of one user may wait for room.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly registry: ConnectionRegistry
  readonly clock: Clock.Clock
  readonly release: (connection: Connection) => Effect.Effect<void>
  readonly run: <A, E>(effect: Effect.Effect<A, E>) => Fiber.Fiber<A, E>
  readonly maxWaiting: number
}

interface Asked {
  readonly connection: Connection
  readonly liveness: Liveness
}

/**
 * Mutable: a user's round is there while it goes on.
 *
 * @category models
 * @since 0.1.0
 */
export class Eviction {
  private readonly options: Options
  // One round of questions at a time for each user, whoever waits for it.
  private readonly rounds = new Map<UserId, { readonly fiber: Fiber.Fiber<boolean>; waiting: number }>()

  constructor(options: Options) {
    this.options = options
  }

  /** Tells whether there is room for one more connection of this user. */
  makeRoom(user: UserId): Effect.Effect<boolean> {
    return Effect.suspend(() => {
      const round = this.rounds.get(user) ?? this.begin(user)
      if (round.waiting >= this.options.maxWaiting) return Effect.succeed(false)
      round.waiting++
      return Effect.ensuring(
        Fiber.join(round.fiber),
        Effect.sync(() => round.waiting--)
      )
    })
  }

  private begin(user: UserId) {
    const fiber = this.options.run(this.round(user))
    const round = { fiber, waiting: 0 }
    this.rounds.set(user, round)
    fiber.addObserver(() => this.rounds.delete(user))
    return round
  }

  private round(user: UserId): Effect.Effect<boolean> {
    const { clock, release, registry } = this.options
    return Effect.suspend(() => {
      const before = registry.countOf(user)
      const asked = quietest(registry.of(user))
      if (asked.length === 0) return Effect.succeed(false)
      const askedAt = Monotonic.millisUnsafe(clock)
      for (const { liveness } of asked) liveness.ask()
      const silent = () => {
        const now = Monotonic.millisUnsafe(clock)
        return asked.filter(({ liveness }) => liveness.isSilent(askedAt, now))
      }
      const isDecided = () =>
        registry.countOf(user) < before || silent().length === 0
        || Monotonic.millisUnsafe(clock) - askedAt >= answerWithinMs
      return Effect.sleep(lookEveryMs).pipe(
        Effect.repeat({ until: isDecided }),
        Effect.andThen(Effect.suspend(() => {
          if (registry.countOf(user) < before) return Effect.succeed(true)
          const gone = silent()
          for (const { connection } of gone) connection.close(closeReason)
          return Effect.as(
            Effect.forEach(gone, ({ connection }) => release(connection), { discard: true }),
            gone.length > 0
          )
        }))
      )
    })
  }
}

const quietest = (connections: ReadonlyArray<Connection>): ReadonlyArray<Asked> =>
  connections
    .flatMap((connection) => connection.liveness === undefined ? [] : [{ connection, liveness: connection.liveness }])
    .toSorted((one, other) => one.liveness.heardAt() - other.liveness.heardAt())
    .slice(0, maxAsked)

const closeReason: CloseReason = { code: closeCodes.heartbeatLost, detail: closeCodes.heartbeatLost.meaning }

const maxAsked = 3
const answerWithinMs = 2_000
const lookEveryMs = 50
