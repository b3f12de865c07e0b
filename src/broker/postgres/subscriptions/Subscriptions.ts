/**
 * The subscriptions of this process, one for each user whose log somebody here reads.
 *
 * What is told by NOTIFY is only a hint. The log itself is asked after every reconnect
 * and on a slow poll, so a lost wake-up costs time and no event. Where nothing that this
 * process tells comes back, be it for a pooler that carries no LISTEN or a connection
 * that died, all logs that are read here are looked at twice a second, many in one call.
 *
 * While the server cannot be used for longer than a moment, readers are told that the
 * broker is down. Each is told that it is up once its log was asked.
 *
 * @since 0.2.0
 */
import * as PgConnection from "@effect/sql-pg/PgConnection"
import * as Arr from "effect/Array"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import { UserId } from "../../../protocol/values/Identity.ts"
import * as Monotonic from "../../../protocol/values/Monotonic.ts"
import * as Position from "../../../protocol/values/Position.ts"
import type { Broker, BrokerError, Reader } from "../../Broker.ts"
import { Subscription, type Waiter } from "../../subscriptions/Subscription.ts"
import { toConnection } from "../connection/Connections.ts"
import type { Database } from "../connection/Database.ts"
import * as Failure from "../connection/Failure.ts"
import { type Options, placeOf } from "../connection/Options.ts"
import type { PostgresMetrics } from "../Metrics.ts"
import { fromPayload } from "./Message.ts"
import type { Notifier } from "./Notifier.ts"
import type { Postbox } from "./Postbox.ts"

/**
 * The part of a broker that wakes readers.
 *
 * @category models
 * @since 0.2.0
 */
export type Subscriptions = Pick<Broker["Service"], "subscribe" | "acknowledged">

const tickMs = 250
// How often logs are looked at where nothing is heard.
const deafMs = 500
const usersAtOnce = 500
const reconnectMs = 200

const decodeAttended = Schema.decodeUnknownSync(Schema.Array(Schema.Tuple([
  UserId,
  Schema.NullOr(Position.Epoch),
  Schema.NullOr(Position.Offset),
  Schema.Int,
  Schema.Int,
  Schema.Array(Position.Offset)
])))

/**
 * Listens until the scope closes. `node` names this process.
 *
 * @category constructors
 * @since 0.2.0
 */
export const make = Effect.fnUntraced(function*(parts: {
  readonly options: Options
  readonly node: string
  readonly database: Database
  readonly postbox: Postbox
  readonly notifier: Notifier
  readonly metrics: PostgresMetrics
}): Effect.fn.Return<Subscriptions, never, Scope.Scope> {
  const { database, metrics, node, notifier, options, postbox } = parts
  const clock = yield* Clock.Clock
  const { byUser } = postbox
  const url = options.listenUrl ?? options.url
  const place = placeOf(url)
  const pollMs = Duration.toMillis(options.poll)
  const silenceMs = Duration.toMillis(options.silence)
  const now = () => Monotonic.millisUnsafe(clock)
  const unneeded = new Set<Subscription>()
  // Whether what this process told of late came back.
  let hears = false
  let canaries = 0
  let heard = 0

  const hearing = (to: boolean): void => {
    hears = to
    metrics.connected("listening", to)
  }

  // Events that come soon after an outage are looked for until something is heard again.
  yield* database.watch((signal) => {
    if (signal === "down") hearing(false)
  })

  // Tells how many read here, and finds what a reader may have missed. A reader that joined hears what was before it.
  const attendOnce = (
    these: ReadonlyArray<Subscription>,
    joined?: Reader,
    wasLate = false
  ): Effect.Effect<void, BrokerError> =>
    Effect.suspend(() => {
      const lookedAt = now()
      const revokedBefore = new Map(these.map((one) => [one, one.revokedAt]))
      for (const one of these) one.lookedAt = lookedAt
      const asked = { node, forMs: 3 * pollMs, users: these.map(({ readers, user }) => [user, readers.size]) }
      return Effect.flatMap(database.call("subscribe", "attend", asked), (answer) =>
        Failure.read("subscribe", () => {
          const found = new Map(decodeAttended(answer).map((row) => [row[0], row]))
          for (const one of these) {
            const [, epoch, offset, revokedAt, lateMs, acknowledged] = found.get(one.user) ?? []
            if (revokedAt === undefined || lateMs === undefined) continue
            one.revoke(revokedAt)
            if (joined !== undefined) one.join(joined, Math.max(revokedBefore.get(one) ?? 0, revokedAt))
            // Whoever came before the others were told was told with them.
            one.lagging(lateMs, wasLate ? joined : undefined)
            const head = epoch === null || epoch === undefined || offset === null || offset === undefined
              ? undefined
              : { epoch, offset }
            const seen = head === undefined ? "" : Position.toText(head)
            if (one.seen !== seen) one.wake(seen)
            if (database.isLive()) one.tell(false)
            if (head === undefined) continue
            for (const offset of acknowledged ?? []) one.release({ epoch: head.epoch, offset })
          }
        }))
    })

  // The same. Calls pass each other on their connections, so that the count that is taken last may not be the newest: where it
  // is not so any more once there is an answer, it is told again.
  const attendTo = (
    these: ReadonlyArray<Subscription>,
    joined?: Reader,
    wasLate?: boolean
  ): Effect.Effect<void, BrokerError> =>
    Effect.suspend(() => {
      const told = these.map(({ readers }) => readers.size)
      const miscounted = Effect.suspend(() =>
        attendToAll(
          these.map((one) => byUser.get(one.user) ?? one).filter(({ readers }, at) => readers.size !== told[at])
        )
      )
      return Effect.andThen(attendOnce(these, joined, wasLate), miscounted)
    })

  // Where it fails, the next tick tries again.
  const attendToAll = (these: Iterable<Subscription>): Effect.Effect<void> =>
    Effect.forEach(
      Arr.chunksOf(these, usersAtOnce),
      (some) =>
        Effect.catch(
          attendTo(some),
          () =>
            Effect.sync(() => {
              for (const one of some) one.lookedAt = Number.NEGATIVE_INFINITY
            })
        ),
      { discard: true }
    )

  const hear = (payload: string): void => {
    const { from, lines } = fromPayload(payload)
    for (const line of lines) {
      // Its own it has already, but for the one that only comes back.
      if (from !== node) postbox.deliver(line)
      else if (line[0] === "c") {
        heard = Math.max(heard, Number(line[1]))
        hearing(heard === canaries)
      }
    }
  }

  // Ends when nothing comes back.
  const proveHearing = Effect.gen(function*() {
    while (true) {
      if (database.isLive()) {
        notifier.canary(++canaries)
        const expected = canaries
        yield* Effect.sleep(silenceMs / 3)
        if (heard < expected && database.isLive()) {
          // A first one may be late.
          yield* Effect.sleep(2 * silenceMs / 3)
          if (heard < expected) return yield* Effect.fail("what this process tells does not come back")
        }
      } else {
        yield* Effect.sleep(tickMs)
      }
    }
  })

  let told: string | undefined
  const listen = Effect.gen(function*() {
    // Closed after the connection: before it, it would ask a server that may never answer to be heard no more.
    const channel = yield* Scope.make()
    yield* Effect.addFinalizer((exit) => Scope.close(channel, exit))
    const connection = yield* PgConnection.make(toConnection(options, url))
    const queue = yield* Scope.provide(connection.listen(options.schema), channel).pipe(
      Effect.timeoutOrElse({
        duration: options.silence,
        orElse: () => Effect.fail(`it did not answer to LISTEN for ${silenceMs} ms`)
      })
    )
    yield* Effect.forkScoped(attendToAll(Array.from(byUser.values())))
    const receive = Effect.forever(Effect.map(Queue.take(queue), ({ payload }) => hear(payload)))
    return yield* Effect.raceFirst(Effect.mapError(receive, Failure.whyOf), proveHearing)
  }).pipe(
    Effect.scoped,
    Effect.catch((error) => {
      hearing(false)
      const why = typeof error === "string" ? error : Failure.whyOf(error)
      if (why === told) return Effect.void
      told = why
      return Effect.logWarning(
        `Nothing is heard from Postgres at ${place}: logs are looked at twice a second until it is: ${why}`
      )
    })
  )
  yield* listen.pipe(
    Effect.catchCause((cause) => Effect.logError("Listening failed, and goes on", cause)),
    Effect.andThen(Effect.suspend(() => Effect.sleep(told === undefined ? 0 : reconnectMs))),
    Effect.forever,
    Effect.forkScoped
  )

  const follow = (user: UserId): Subscription => {
    const found = byUser.get(user)
    if (found !== undefined) {
      unneeded.delete(found)
      return found
    }
    const one = new Subscription(user, user, Deferred.makeUnsafe(), now())
    byUser.set(user, one)
    return one
  }

  // The subscription is left to the next tick: most who leave come back soon.
  const unfollow = (one: Subscription): void => {
    if (!one.isNeeded) unneeded.add(one)
  }

  let wasLost = false
  const tick = Effect.suspend(() => {
    const isLost = !database.isLive()
    if (isLost && wasLost) byUser.forEach((one) => one.tell(true))
    wasLost = isLost
    for (const one of unneeded) if (!one.isNeeded) byUser.delete(one.user)
    unneeded.clear()
    const lookedAt = now()
    const everyMs = hears ? pollMs : Math.min(pollMs, deafMs)
    const due = Array.from(byUser.values()).filter((one) =>
      one.isNeeded && (one.isDown ? !isLost : lookedAt - one.lookedAt >= everyMs)
    )
    return isLost || due.length === 0 ? Effect.void : attendToAll(due)
  })
  yield* tick.pipe(
    Effect.catchCause((cause) => Effect.logError("Looking after the subscriptions failed, and goes on", cause)),
    Effect.repeat(Schedule.spaced(Math.min(tickMs, pollMs))),
    Effect.forkScoped
  )

  return {
    subscribe: (user, wake) => {
      const own: Reader = { wake }
      return Effect.acquireRelease(
        Effect.sync(() => {
          const one = follow(user)
          one.add(own)
          return { one, wasLate: one.isLate }
        }),
        ({ one }) => {
          one.delete(own)
          unfollow(one)
          // If this fails, its time ends it.
          return Effect.ignore(attendTo([one]))
        }
      ).pipe(
        Effect.tap(({ one, wasLate }) => attendTo([one], own, wasLate)),
        // The others know already.
        Effect.map(({ one }) => {
          if (one.isDown) own.wake("down")
        })
      )
    },
    acknowledged: (user, position) =>
      Effect.acquireUseRelease(
        Effect.sync(() => {
          const one = follow(user)
          const done = Deferred.makeUnsafe<void>()
          const waiter: Waiter = { position, resume: () => Deferred.doneUnsafe(done, Effect.void) }
          one.waiters.add(waiter)
          return { one, waiter, done }
        }),
        ({ done, one }) => Effect.andThen(attendTo([one]), Deferred.await(done)),
        ({ one, waiter }) =>
          Effect.sync(() => {
            one.waiters.delete(waiter)
            unfollow(one)
          })
      )
  }
})
