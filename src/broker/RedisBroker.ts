/**
 * A broker that keeps the logs in Redis, for many processes.
 *
 * Emitters and gateways in any number of processes share one Redis (7 or later,
 * or Valkey). It gives every promise of `Broker`; what a server that restarted
 * or another that took over may have lost is named by a gap (see
 * `Options.trustRestarts`).
 *
 * - An append is one script: it is repeated without harm, also by another
 *   process.
 * - While Redis is away every call fails within its deadline, and the layer is
 *   built all the same; the connection comes back by itself.
 * - The state of runs is folded by the processes that append, and saved beside
 *   the log.
 *
 * It needs the package `redis`.
 *
 * @since 0.1.0
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Config from "effect/Config"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Random from "effect/Random"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type { Envelope } from "../protocol/Envelope.ts"
import type { UserId } from "../protocol/Identity.ts"
import type { Position } from "../protocol/Position.ts"
import { Broker, type BrokerError, type Gap, type PullLimits } from "./Broker.ts"
import { maxRanges } from "./Numbers.ts"
import * as Reading from "./Reading.ts"
import { append as appendScript } from "./RedisAppendLua.ts"
import { checkpoint as checkpointScript } from "./RedisCheckpointLua.ts"
import * as RedisConnection from "./RedisConnection.ts"
import * as RedisEntry from "./RedisEntry.ts"
import * as RedisFollowing from "./RedisFollowing.ts"
import * as RedisKeys from "./RedisKeys.ts"
import { look as lookScript } from "./RedisLookLua.ts"
import { Options } from "./RedisOptions.ts"
import { acknowledge as acknowledgeScript, countReaders } from "./RedisPresenceLua.ts"
import * as Reply from "./RedisReply.ts"
import * as RedisScript from "./RedisScript.ts"

export { Options } from "./RedisOptions.ts"

// So many events after a checkpoint the next one is due: what a reader of snapshots must fold at most, about.
const checkpointEvery = 512

const nothing: PullLimits = { maxEvents: 0, maxBytes: 0 }

/**
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function*(
  options: Options
): Effect.fn.Return<Broker["Service"], never, Scope.Scope> {
  const { maxBytes, maxEvents, maxRuns, prefix } = options
  const maxAgeMs = Duration.toMillis(options.maxAge)
  const scope = yield* Effect.scope
  const node = `${yield* randomName}${yield* randomName}`
  let epochs = 0

  const connection = yield* RedisConnection.make({
    name: prefix,
    url: options.url,
    deadline: options.deadline,
    silence: options.silence,
    onLive: () => Effect.void
  })
  const following = yield* RedisFollowing.make(options, node, connection)
  // A server that is up is used at once; one that is down is not waited for.
  yield* Effect.andThen(connection.awaitLive, following.awaitLive).pipe(Effect.timeoutOption(options.deadline))

  const onLog = (
    operation: string,
    script: RedisScript.Script,
    user: UserId,
    args: ReadonlyArray<string>
  ): Effect.Effect<ReadonlyArray<unknown>, BrokerError> =>
    connection.call(operation, async ({ client, server }) =>
      Reply.list(
        await RedisScript.run(client, script, RedisKeys.ofLog(prefix, user), [
          `${node}-${(epochs++).toString(36)}`,
          options.trustRestarts ? "any" : server,
          String(maxAgeMs),
          ...args
        ])
      ))

  const lookAt = (operation: string, user: UserId, after: Position, limits: PullLimits, withRuns: boolean) =>
    onLog(operation, lookScript, user, [
      after.epoch,
      String(after.offset),
      String(limits.maxEvents),
      String(Math.min(limits.maxBytes, Number.MAX_SAFE_INTEGER)),
      withRuns ? "1" : "0"
    ])

  // One at a time for each user; what is appended meanwhile asks for the next.
  const checkpointing = new Set<UserId>()
  const saveCheckpoint = (user: UserId) =>
    Effect.gen(function*() {
      const [epoch, , last, before, , , , saved, tail] = yield* lookAt("checkpoint", user, unknown, nothing, true)
      const args = yield* RedisEntry.read("checkpoint", () => {
        const from = Reply.integer(before)
        const changes = RedisEntry.toCheckpoint(RedisEntry.toRuns(maxRuns, saved, tail), saved, from)
        return [Reply.text(epoch), String(from), String(Reply.integer(last)), ...changes]
      })
      yield* connection.call("checkpoint", ({ client, server }) =>
        RedisScript.run(client, checkpointScript, RedisKeys.ofLog(prefix, user), [
          Reply.text(epoch),
          options.trustRestarts ? "any" : server,
          String(maxAgeMs),
          ...args
        ]))
    }).pipe(
      Effect.catchCause((cause) =>
        Effect.logWarning("The state of runs was not saved, and will be later", cause)
      ),
      Effect.ensuring(Effect.sync(() => checkpointing.delete(user)))
    )

  const keepCheckpoint = (user: UserId, isDue: boolean) => {
    if (!isDue || checkpointing.has(user)) return Effect.void
    checkpointing.add(user)
    return Effect.forkIn(saveCheckpoint(user), scope)
  }

  const append = (user: UserId, batch: NonEmptyReadonlyArray<Envelope>): Effect.Effect<Position, BrokerError> => {
    const args = [
      String(maxEvents),
      String(maxBytes),
      String(maxAgeMs),
      String(checkpointEvery),
      String(maxRanges),
      RedisKeys.ofChannel(prefix, user),
      RedisEntry.bodyStart(batch[batch.length - 1] ?? batch[0])
    ]
    for (const envelope of batch) args.push(...RedisEntry.toArguments(envelope))
    return onLog("append", appendScript, user, args).pipe(
      Effect.flatMap(([epoch, offset, isDue]) =>
        Effect.as(keepCheckpoint(user, isDue === 1), { epoch: Reply.text(epoch), offset: Reply.integer(offset) })
      )
    )
  }

  const pull: Broker["Service"]["pull"] = (user, after, limits) =>
    Effect.flatMap(lookAt("pull", user, after, limits, false), (reply) =>
      RedisEntry.read("pull", () => {
        const epoch = Reply.text(reply[0])
        const first = Reply.integer(reply[1])
        const head = Reply.integer(reply[2])
        const reason = reply[4]
        const entries = RedisEntry.toEntries(reply[6])
        const gap: Gap | undefined = reason === "epoch" || reason === "retention"
          ? { epoch, from: Reply.integer(reply[5]), to: first - 1, reason }
          : undefined
        return {
          gap,
          snapshots: gap === undefined ? [] : RedisEntry.toRuns(maxRuns, reply[7], reply[8]).snapshots(gap.from),
          entries,
          next: { epoch, offset: entries.at(-1)?.offset ?? gap?.to ?? after.offset },
          head
        }
      }))

  const snapshots: Broker["Service"]["snapshots"] = (user, since = Number.POSITIVE_INFINITY) =>
    Effect.flatMap(lookAt("snapshots", user, unknown, nothing, true), (reply) =>
      RedisEntry.read("snapshots", () => ({
        position: { epoch: Reply.text(reply[0]), offset: Reply.integer(reply[2]) },
        snapshots: RedisEntry.toRuns(maxRuns, reply[7], reply[8]).snapshots(since)
      })))

  const head: Broker["Service"]["head"] = (user) =>
    Effect.map(lookAt("head", user, unknown, nothing, false), (reply): Position => ({
      epoch: Reply.text(reply[0]),
      offset: Reply.integer(reply[2])
    }))

  const readers: Broker["Service"]["readers"] = (user) =>
    connection.call(
      "readers",
      async ({ client }) =>
        Reply.integer(await RedisScript.run(client, countReaders, [RedisKeys.ofReaders(prefix, user)], []))
    )

  const acknowledge: Broker["Service"]["acknowledge"] = (user, { epoch, offset }) =>
    Effect.asVoid(connection.call("acknowledge", ({ client }) => {
      const [, meta = ""] = RedisKeys.ofLog(prefix, user)
      return RedisScript.run(client, acknowledgeScript, [meta], [
        epoch,
        String(offset),
        RedisKeys.ofChannel(prefix, user)
      ])
    }))

  const { acknowledged, subscribe } = following
  return {
    append,
    pull,
    subscribe,
    head,
    read: Reading.fromPull({ pull, subscribe, head }),
    snapshots,
    readers,
    acknowledge,
    acknowledged,
    retentionMs: maxAgeMs
  }
})

const unknown: Position = { epoch: "", offset: 0 }

// The names of processes and epochs: letters, digits and lines, 8 of them at most.
const randomName = Effect.map(Random.nextIntBetween(0, 36 ** 6), (n) => n.toString(36).padStart(6, "0"))

/**
 * A broker in Redis. For its options and their defaults see `Options`; a wrong
 * or unknown option fails the layer with every problem listed. A server that
 * cannot be reached does not.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: typeof Options.Encoded): Layer.Layer<Broker, Schema.SchemaError> =>
  Layer.effect(
    Broker,
    Effect.flatMap(
      Schema.decodeUnknownEffect(Options, { errors: "all", onExcessProperty: "error" })(options),
      make
    )
  )

/**
 * The same, with options from `Config`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerConfig = (
  options: Config.Wrap<typeof Options.Encoded>
): Layer.Layer<Broker, Schema.SchemaError | Config.ConfigError> =>
  Layer.unwrap(Effect.map(Config.unwrap(options), layer))
