/**
 * The subscriptions of this process, one for each user whose log somebody here reads.
 *
 * A publication is only a hint. The log itself is asked after every reconnect and on a
 * slow poll, so a lost wake-up costs time and no event. A `Canary` notices a
 * subscription that has silently stopped.
 *
 * While one of the connections is lost for longer than a moment, readers are told
 * that the broker is down. Each is told that it is up once its log was asked.
 *
 * That a user's access was revoked is noticed in the same two ways: by its
 * publication, and otherwise by the next look.
 *
 * @since 0.1.0
 */
import * as Arr from "effect/Array"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import type { UserId } from "../../../protocol/values/Identity.ts"
import * as Monotonic from "../../../protocol/values/Monotonic.ts"
import * as Position from "../../../protocol/values/Position.ts"
import {
  type Broker,
  BrokerError,
  BrokerUnavailable,
  type Entry,
  type PullLimits,
  type Reader,
  type Slice
} from "../../Broker.ts"
import type { Inbox } from "../../commands/Inbox.ts"
import { Canary } from "../connection/Canary.ts"
import * as RedisConnection from "../connection/Connection.ts"
import { isLater, Subscription, type Waiter } from "../../subscriptions/Subscription.ts"
import * as RedisKeys from "../codec/Keys.ts"
import * as LogRepair from "../scripts/LogRepair.ts"
import { MissedWakeUps } from "./MissedWakeUps.ts"
import type { RedisMetrics, Repair } from "../Metrics.ts"
import type { ServerOptions } from "../connection/Options.ts"
import { attend } from "../scripts/PresenceLua.ts"
import { LiveTails } from "./LiveTail.ts"
import { toAttended } from "../codec/Attended.ts"
import { lineBreak, toPublished } from "../codec/Publication.ts"
import * as RedisEntry from "../codec/Entry.ts"

/**
 * The subscriptions of this process.
 *
 * @category models
 * @since 0.1.0
 */
export interface Subscriptions extends Pick<Broker["Service"], "subscribe" | "acknowledged"> {
  /** What lies past a position, if that was published lately. */
  readonly recall: (user: UserId, after: Position.Position, limits: PullLimits) => Slice | undefined
  /** Waits until there was a connection that publications come on, or the first attempt failed. */
  readonly tried: Effect.Effect<void>
  /**
   * Notes that somebody here read on to `next`, and tells whether nobody here had caught up further before: then what was
   * read had just come.
   */
  readonly advance: (user: UserId, after: Position.Position, next: Position.Position, head: number) => boolean
}

const maxTickMs = 1000
const atOnce = 256

// The same bytes. Programs see the types of a client, and may have none of Node.
const toBuffer = ({ buffer, byteLength, byteOffset }: Uint8Array): Buffer => Buffer.from(buffer, byteOffset, byteLength)

const isCritical = ({ delivery }: Entry): boolean => delivery === "critical"

/**
 * Follows over a connection of its own. `node` names this process, and `inbox` takes
 * what is published to it alone.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function*(
  options: ServerOptions,
  node: string,
  commands: RedisConnection.Connection,
  inbox: Inbox,
  metrics: RedisMetrics
): Effect.fn.Return<Subscriptions, never, Scope.Scope> {
  const clock = yield* Clock.Clock
  const scope = yield* Effect.scope
  const { name: server, prefix } = options
  const pollMs = Duration.toMillis(options.poll)
  const ttl = String(RedisKeys.ttlMs(options))
  const canary = new Canary(`${prefix}:${options.database}:canary:${node}`, server, metrics)
  const ownChannel = `${RedisKeys.ofProcesses(options)}${inbox.process}`
  const missedWakeUps = new MissedWakeUps(metrics.repaired)
  const byChannel = new Map<string, Subscription>()
  let mended = 0
  const unneeded = new Set<string>()
  const liveTails = new LiveTails()

  // Without those who read, or where they cannot be read here, the events are left to the log.
  const eventsOf = (one: Subscription, message: Buffer, line: number, first: number, last: number) => {
    if (line === message.length || one.readers.size === 0) return undefined
    try {
      return toPublished(message.subarray(line + 1), first, last, liveTails.pageOf(one.channel))
    } catch {
      return undefined
    }
  }

  const listen = (bytes: Uint8Array, channelName: Uint8Array): void => {
    const message = toBuffer(bytes)
    const channel = toBuffer(channelName).toString()
    if (channel === canary.channel) return canary.seen()
    if (channel === ownChannel) return inbox.listen(message.toString())
    const one = byChannel.get(channel)
    if (one === undefined) return
    const end = message.indexOf(lineBreak)
    const line = end < 0 ? message.length : end
    const [kind, epoch = "", ...offsets] = message.toString("utf8", 0, line).split(" ")
    const [offset = 0, last = offset] = offsets.map(Number)
    if (kind === "e") {
      const published = eventsOf(one, message, line, offset, last)
      liveTails.add(channel, epoch, offset, last, published)
      missedWakeUps.told(channel, `${epoch}:${last}`)
      one.wake(`${epoch}:${last}`, published?.entries.some(isCritical) === true ? "critical" : undefined)
    } else if (kind === "a") one.release({ epoch, offset })
    else if (kind === "r") one.revoke(Number(epoch))
    else if (kind === "l") one.lag(Number(epoch))
  }

  // Tells Redis how many read here, and looks whether a wake-up was lost: since `known`, if looking is for that.
  const attendTo = (
    one: Subscription,
    by?: Repair,
    known = one.seen,
    joined?: Reader
  ): Effect.Effect<void, BrokerError> => {
    const keys = [
      RedisKeys.ofReaders(prefix, one.user),
      RedisKeys.ofRevoked(prefix, one.user),
      RedisKeys.ofLate(prefix, one.user),
      ...RedisKeys.ofLog(prefix, one.user)
    ]
    one.lookedAt = Monotonic.millisUnsafe(clock)
    const revokedBefore = one.revokedAt
    const args = [node, String(one.readers.size), String(3 * pollMs), ttl]
    return commands.call("subscribe", ({ client, server: id }) =>
      LogRepair.run(client, {
        script: attend,
        keys,
        args,
        log: {
          keys: RedisKeys.ofLog(prefix, one.user),
          channel: one.channel,
          epoch: `${node}-r${(mended++).toString(36)}`,
          server: options.trustRestarts ? "any" : id,
          ttl
        }
      })).pipe(
        Effect.flatMap(({ reply }) => RedisEntry.read("subscribe", () => toAttended(reply))),
        Effect.map(({ acknowledged, head, lateMs, revokedAt }) => {
          one.revoke(revokedAt)
          if (joined !== undefined) one.join(joined, Math.max(revokedBefore, revokedAt))
          one.lagging(lateMs, joined)
          const seen = head === undefined ? "" : Position.toText(head)
          if (one.seen !== seen) {
            if (by !== undefined && isLater(seen, one.seen || known)) missedWakeUps.found(one.channel, seen, by)
            one.wake(seen)
          }
          if (connection.isLive()) one.tell(false)
          for (const position of acknowledged) one.release(position)
        })
      )
  }

  // Where it fails, the next tick tries again.
  const attendToAll = (these: Iterable<Subscription>, by: Repair, known = new Map<Subscription, string>()) =>
    Effect.forEach(
      these,
      (one) =>
        Effect.catch(
          attendTo(one, by, known.get(one)),
          () => Effect.sync(() => one.lookedAt = Number.NEGATIVE_INFINITY)
        ),
      { concurrency: 64, discard: true }
    )

  const connection = yield* RedisConnection.make({
    name: `${prefix}-subscriber`,
    server,
    kind: "subscriptions",
    metrics,
    url: options.url,
    deadline: options.deadline,
    silence: options.silence,
    onLive: (live) =>
      Effect.gen(function*() {
        canary.seen()
        liveTails.clear()
        const all = Array.from(byChannel.values())
        const channels = [canary.channel, ownChannel, ...all.map(({ channel }) => channel)]
        yield* Effect.tryPromise({
          try: () => live.client.subscribe(channels, listen),
          catch: (cause) =>
            new BrokerError({ reason: new BrokerUnavailable({ operation: "subscribe", afterMs: 0, cause }) })
        })
        const known = new Map<Subscription, string>()
        for (const one of all) {
          yield* Deferred.succeed(one.subscribed, undefined)
          known.set(one, one.seen)
          one.seen = ""
        }
        // Readers are woken by what is found, and only once they can pull.
        yield* commands.awaitLive.pipe(Effect.andThen(attendToAll(all, "reconnect", known)), Effect.forkIn(scope))
      })
  })

  yield* canary.watch(commands, connection)

  // One attempt for all who follow the user now; a reconnect may come before it.
  const subscribeTo = (one: Subscription) =>
    connection.call("subscribe", ({ client }) => client.subscribe([one.channel], listen)).pipe(
      Effect.matchEffect({
        onSuccess: () => Deferred.succeed(one.subscribed, undefined),
        onFailure: (error) =>
          Effect.flatMap(Deferred.fail(one.subscribed, error), (isLast) => {
            // A reconnect was faster: then the user is followed all the same.
            if (isLast && byChannel.get(one.channel) === one) byChannel.delete(one.channel)
            return Effect.void
          })
      })
    )

  const follow = (user: UserId): Effect.Effect<Subscription> =>
    Effect.suspend(() => {
      const channel = RedisKeys.ofChannel(options, user)
      unneeded.delete(channel)
      const found = byChannel.get(channel)
      if (found !== undefined) return Effect.succeed(found)
      const one = new Subscription(user, channel, Deferred.makeUnsafe(), Monotonic.millisUnsafe(clock))
      byChannel.set(channel, one)
      return Effect.as(Effect.forkIn(subscribeTo(one), scope), one)
    })

  // The subscription is left to the next tick: most who leave come back soon.
  const unfollow = (one: Subscription): void => {
    if (!one.isNeeded) unneeded.add(one.channel)
  }

  const unsubscribe = Effect.suspend(() => {
    const channels = Array.from(unneeded)
    unneeded.clear()
    const gone = channels.filter((channel) => {
      const one = byChannel.get(channel)
      return one !== undefined && !one.isNeeded && byChannel.delete(channel)
    })
    for (const channel of gone) liveTails.forget(channel)
    if (gone.length === 0) return Effect.void
    return Effect.ignore(connection.call("unsubscribe", ({ client }) => client.unsubscribe(gone)))
  })

  const poll = Effect.suspend(() => {
    const now = Monotonic.millisUnsafe(clock)
    missedWakeUps.tick()
    const isUp = connection.isLive() && commands.isLive()
    const isDue = (one: Subscription) => one.isNeeded && (one.isDown ? isUp : now - one.lookedAt >= pollMs)
    return attendToAll(Array.from(byChannel.values()).filter(isDue), "poll")
  })

  // A tick later it is more than a moment. Some at a time, since each may write to a socket, so that the loop turns.
  let wasLost = false
  const announce = Effect.suspend(() => {
    const isLost = !connection.isLive() || !commands.isLive()
    const isDown = isLost && wasLost
    wasLost = isLost
    if (!isDown) return Effect.void
    return Effect.forEach(
      Arr.chunksOf(byChannel.values(), atOnce),
      (some) => Effect.andThen(Effect.sync(() => some.forEach((one) => one.tell(true))), Effect.yieldNow),
      { discard: true }
    )
  })

  const sweep = Effect.sync(() => liveTails.sweep())
  yield* Effect.all([announce, unsubscribe, sweep, poll], { discard: true }).pipe(
    Effect.catchCause((cause) => Effect.logError("Looking after the subscriptions failed, and goes on", cause)),
    Effect.repeat(Schedule.spaced(Math.min(maxTickMs, pollMs))),
    Effect.forkScoped
  )

  const subscribe: Subscriptions["subscribe"] = (user, wake) => {
    const own: Reader = { wake }
    return Effect.acquireRelease(
      Effect.map(follow(user), (one) => {
        one.add(own)
        return one
      }),
      (one) => {
        one.delete(own)
        unfollow(one)
        // If this fails, the lease ends it.
        return Effect.ignore(attendTo(one))
      }
    ).pipe(
      Effect.tap((one) => Deferred.await(one.subscribed)),
      Effect.tap((one) => attendTo(one, undefined, one.seen, own)),
      // The others know already; its own look shows that the log can be read, but publications do not come.
      Effect.map((one) => {
        if (one.isDown) own.wake("down")
      })
    )
  }

  const acknowledged: Subscriptions["acknowledged"] = (user, position) =>
    Effect.acquireUseRelease(
      Effect.map(follow(user), (one) => {
        const done = Deferred.makeUnsafe<void>()
        const waiter: Waiter = { position, resume: () => Deferred.doneUnsafe(done, Effect.void) }
        one.waiters.add(waiter)
        return { one, waiter, done }
      }),
      ({ done, one }) =>
        Deferred.await(one.subscribed).pipe(Effect.andThen(attendTo(one)), Effect.andThen(Deferred.await(done))),
      ({ one, waiter }) =>
        Effect.sync(() => {
          one.waiters.delete(waiter)
          unfollow(one)
        })
    )

  const recall: Subscriptions["recall"] = (user, after, limits) => {
    // What is published while there is no connection is missed.
    if (!connection.isLive()) return undefined
    const channel = RedisKeys.ofChannel(options, user)
    const [epoch, head] = byChannel.get(channel)?.seen.split(":") ?? []
    return epoch === after.epoch ? liveTails.pull(channel, after, Number(head), limits) : undefined
  }

  const advance: Subscriptions["advance"] = (user, after, next, head) => {
    const one = byChannel.get(RedisKeys.ofChannel(options, user))
    if (one === undefined) return false
    const { front } = one
    if (next.offset === head) one.front = next
    return front?.epoch === after.epoch && after.epoch === next.epoch && after.offset >= front.offset &&
      next.offset > after.offset
  }

  return { subscribe, acknowledged, recall, tried: connection.tried, advance }
})
