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
 * - When a process dies, another ends its runs as lost, within its lease.
 * - The state of runs is folded by the processes that append, and saved beside
 *   the log.
 * - With `urls` users are spread over several servers; one that is down costs its
 *   own users their broker, and no others (see `ShardedBroker`).
 *
 * It needs the package `redis`.
 *
 * ```ts
 * import { Config, Layer } from "effect"
 * import { EmitterLayer } from "effect-emitter"
 * import { RedisBroker } from "effect-emitter/redis"
 *
 * const broker = RedisBroker.layerConfig({ url: Config.String("REDIS_URL") })
 *
 * const emitters = EmitterLayer().pipe(Layer.provide(broker))
 * ```
 *
 * @since 0.1.0
 */
import { isReadonlyArrayNonEmpty, type NonEmptyReadonlyArray } from "effect/Array"
import * as Clock from "effect/Clock"
import * as Config from "effect/Config"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import { present } from "../../protocol/Present.ts"
import type { Envelope } from "../../protocol/Envelope.ts"
import type { RunId, UserId } from "../../protocol/Identity.ts"
import * as Names from "../../protocol/Names.ts"
import * as Monotonic from "../../protocol/Monotonic.ts"
import type { Position } from "../../protocol/Position.ts"
import { Broker, BrokerError, type Entry, type PullLimits, RunLost, type Slice } from "../Broker.ts"
import * as Leases from "../leases/Leases.ts"
import * as LostRun from "../leases/LostRun.ts"
import { maxRanges, maxSpentSources } from "../memory/SequenceSet.ts"
import { append as appendScript } from "./scripts/AppendLua.ts"
import { checkpoint as checkpointScript } from "./scripts/CheckpointLua.ts"
import * as RedisBlock from "./codec/Block.ts"
import type { Client } from "./connection/Client.ts"
import * as RedisConnection from "./connection/Connection.ts"
import * as RedisEntry from "./codec/Entry.ts"
import { refused, toBrokerError } from "./connection/RedisFailure.ts"
import { HeldRuns } from "./leases/HeldRuns.ts"
import { keep as keepScript } from "./scripts/KeepLua.ts"
import * as RedisSubscriptions from "./subscriptions/Subscriptions.ts"
import * as RedisKeys from "./codec/Keys.ts"
import * as Layout from "./codec/Layout.ts"
import * as RedisLeaseMetrics from "./leases/LeaseMetrics.ts"
import * as RedisLeases from "./leases/Leases.ts"
import { view as viewScript } from "./scripts/ViewLua.ts"
import * as LogRepair from "./scripts/LogRepair.ts"
import * as RedisMetrics from "./Metrics.ts"
import { type Input, Options, type ServerOptions, serversOf } from "./connection/Options.ts"
import {
  acknowledge as acknowledgeScript,
  countReaders,
  late as lateScript,
  revoke as revokeScript
} from "./scripts/PresenceLua.ts"
import * as Reply from "./codec/Reply.ts"
import * as RedisScript from "./scripts/Script.ts"
import * as Standing from "./scripts/StandingLua.ts"
import * as ShardedBroker from "../ShardedBroker.ts"

export { LayoutMismatch } from "./codec/Layout.ts"
export { Options, Shard } from "./connection/Options.ts"

// So many events after a checkpoint the next one is due: what a reader of snapshots must fold at most, about.
const checkpointEvery = 512
const checkpointsAtOnce = 4
// What could not be saved is not tried again with each append: it reads much of a log, and may fail for good.
const checkpointPause = Duration.seconds(5)
const keepsAtOnce = 16

// How long what a canary writes stays there.
const canaryMs = "10000"

const onlyHead = { after: { epoch: "", offset: 0 }, limits: { maxEvents: 0, maxBytes: 0 }, runs: "none" }
const onlyRuns = { ...onlyHead, runs: "all" }

const makeOverOne = Effect.fnUntraced(function*(
  options: ServerOptions
): Effect.fn.Return<Broker["Service"], Layout.LayoutMismatch, Scope.Scope> {
  const { maxBytes, maxEvents, maxRuns, prefix } = options
  const maxAgeMs = Duration.toMillis(options.maxAge)
  const ttl = String(RedisKeys.ttlMs(options))
  const scope = yield* Effect.scope
  const node = yield* Names.next
  const clock = yield* Clock.Clock
  let epochs = 0
  const nextEpoch = () => `${node}-${(epochs++).toString(36)}`
  let endingsMade = 0
  const pollMs = Duration.toMillis(options.poll)
  const monotonicMs = () => Monotonic.millisUnsafe(clock)
  const held = new HeldRuns()
  const forgotten = new Set<UserId>()
  const isKeepingDue = Latch.makeUnsafe(false)

  const metrics = yield* RedisMetrics.make(options.name)
  const other: { layout: Layout.LayoutMismatch | undefined } = { layout: undefined }
  const checkLayout = (client: Client) =>
    Effect.tryPromise({
      try: () => Layout.read(client, prefix, RedisLeases.keepMs(RedisKeys.ttlMs(options))),
      catch: (cause) => toBrokerError("connect", 0, cause)
    }).pipe(Effect.flatMap((found) => {
      const isSame = found === RedisKeys.layout
      const mismatch = new Layout.LayoutMismatch({ server: options.name, prefix, found, expected: RedisKeys.layout })
      other.layout = isSame ? undefined : mismatch
      return isSame ? Effect.void : Effect.fail(refused("connect", mismatch.message, "broker"))
    }))
  const connection = yield* RedisConnection.make({
    name: prefix,
    server: options.name,
    kind: "commands",
    metrics,
    url: options.url,
    deadline: options.deadline,
    silence: options.silence,
    onLive: ({ client }) => checkLayout(client)
  })
  const subscriptions = yield* RedisSubscriptions.make(options, node, connection, metrics)
  // A server that is up is used at once; one that is down is not waited for.
  yield* Effect.andThen(connection.tried, subscriptions.tried).pipe(Effect.timeoutOption(options.silence))
  if (other.layout !== undefined) return yield* other.layout

  const onLog = <A extends { readonly log: Position | undefined }>(
    operation: string,
    script: RedisScript.Script,
    user: UserId,
    args: ReadonlyArray<string>,
    decode: (reply: unknown) => A
  ): Effect.Effect<A, BrokerError> =>
    Effect.suspend(() => {
      const epoch = nextEpoch()
      return connection.call(operation, ({ client, server: id }) => {
        const keys = RedisKeys.ofLog(prefix, user)
        const server = options.trustRestarts ? "any" : id
        const log = { keys, channel: RedisKeys.ofChannel(options, user), epoch: nextEpoch(), server, ttl }
        const bounds = [ttl, String(maxEvents), String(maxBytes), String(maxAgeMs)]
        return LogRepair.run(client, { script, keys, args: [epoch, server, ...bounds, ...args], log })
      }).pipe(
        Effect.tap(({ mended }) =>
          mended === undefined
            ? Effect.void
            : Effect.logWarning(`The log of user ${user} was begun anew, since its keys in Redis disagreed: ${mended}`)
        ),
        Effect.flatMap(({ reply }) => RedisEntry.read(operation, () => decode(reply))),
        Effect.tap(({ log }) =>
          Effect.sync(() => {
            if (log?.epoch === epoch) metrics.epochBegun(log.offset === 0 ? "new" : "kept")
          })
        )
      )
    })

  const viewLog = (
    operation: string,
    user: UserId,
    wanted: { readonly after: Position; readonly limits: PullLimits; readonly runs: string }
  ): Effect.Effect<RedisEntry.LogView, BrokerError> =>
    onLog(operation, viewScript, user, [
      wanted.after.epoch,
      String(wanted.after.offset),
      String(Math.min(wanted.limits.maxEvents, Number.MAX_SAFE_INTEGER)),
      String(Math.min(wanted.limits.maxBytes, Number.MAX_SAFE_INTEGER)),
      wanted.runs
    ], RedisEntry.toLogView)

  // What was looked at, read as `decode` says; what cannot be read is refused.
  const viewAs = <A>(
    operation: string,
    user: UserId,
    wanted: Parameters<typeof viewLog>[2],
    decode: (view: RedisEntry.LogView) => A
  ): Effect.Effect<A, BrokerError> =>
    Effect.flatMap(viewLog(operation, user, wanted), (view) => RedisEntry.read(operation, () => decode(view)))

  // One at a time for each user; what is appended meanwhile asks for the next. Each reads much of a log, so that many at
  // once would keep Redis from all else.
  const checkpointing = new Set<UserId>()
  const few = Semaphore.makeUnsafe(checkpointsAtOnce)
  const saveCheckpoint = (user: UserId) =>
    Effect.gen(function*() {
      const args = yield* viewAs("checkpoint", user, onlyRuns, (view) => RedisEntry.toCheckpoint(maxRuns, view))
      yield* onLog("checkpoint", checkpointScript, user, args, () => ({ log: undefined }))
    }).pipe(
      few.withPermits(1),
      Effect.catchCause((cause) =>
        Effect.andThen(
          Effect.logWarning("The state of runs was not saved, and will be later", cause),
          Effect.sleep(checkpointPause)
        )
      ),
      Effect.ensuring(Effect.sync(() => checkpointing.delete(user)))
    )

  const keepCheckpoint = (user: UserId, isDue: boolean) => {
    if (!isDue || checkpointing.has(user)) return Effect.void
    checkpointing.add(user)
    return Effect.forkIn(saveCheckpoint(user), scope)
  }

  const appendWith = (
    user: UserId,
    batch: NonEmptyReadonlyArray<Envelope>,
    lease: string,
    besides: (envelope: Envelope, run: RunId) => string
  ): Effect.Effect<RedisEntry.AppendReply, BrokerError> =>
    RedisEntry.read("append", () => [
      String(checkpointEvery),
      String(maxRanges),
      String(maxSpentSources),
      RedisKeys.ofChannel(options, user),
      RedisBlock.bodyStart(batch[batch.length - 1] ?? batch[0]),
      lease,
      ...Standing.toArguments(batch, besides),
      ...RedisBlock.toArguments(batch)
    ]).pipe(
      Effect.flatMap((args) => onLog("append", appendScript, user, args, RedisEntry.toAppendReply)),
      Effect.tap((reply) => reply._tag === "Appended" ? afterAppend(user, reply) : Effect.void)
    )

  const afterAppend = (user: UserId, { isDue, isTold }: RedisEntry.Appended) =>
    isTold
      ? keepCheckpoint(user, isDue)
      : Effect.logWarning(
        `Redis at ${options.name} took events of user ${user}, but not the right to tell readers of them`
      )

  const appendUnder = (user: UserId, batch: NonEmptyReadonlyArray<Envelope>, lease: string) =>
    Effect.flatMap(
      appendWith(user, batch, lease, threadOf),
      (reply): Effect.Effect<RedisEntry.Appended, BrokerError> => {
        switch (reply._tag) {
          case "Appended":
            return Effect.succeed(reply)
          case "Lost":
            return Effect.fail(new BrokerError({ reason: new RunLost({ runs: reply.runs }) }))
          case "Changed":
            return Effect.die(new Error("only endings are asked to stand as before"))
        }
      }
    )

  const append: Broker["Service"]["append"] = (user, batch) =>
    batch.some(({ run }) => run !== undefined)
      ? leases.hold(user, (lease, quiet) =>
        appendUnder(user, batch, lease).pipe(
          Effect.tapError(({ reason }) =>
            Effect.sync(() => {
              if (reason._tag === "RunLost") held.ended(user, reason.runs)
            })
          ),
          Effect.map(({ left, position }) => {
            if (left === 0) quiet()
            // Another log than before may know nothing of the user's other runs.
            if (held.appended(user, batch, position.epoch, monotonicMs())) {
              forgotten.add(user)
              isKeepingDue.openUnsafe()
            }
            return position
          })
        ))
      : Effect.map(appendUnder(user, batch, "-"), ({ position }) => position)

  // What is ended must stand in the log as active, and in its field as it stood there when it was looked at.
  const endActive = (
    user: UserId,
    isMeant: (run: RunId, lease: string) => boolean
  ): Effect.Effect<number, BrokerError> =>
    Effect.gen(function*() {
      const found = yield* connection.call("active", ({ client }) =>
        client.sendCommand(["HGETALL", RedisKeys.ofActive(prefix, user)]))
      const meant = (yield* RedisEntry.read("active", () =>
        RedisEntry.toActive(found))).filter(({ lease, run }) =>
          isMeant(run, lease)
        )
      if (meant.length === 0) return 0
      const runs = yield* viewAs("runs", user, onlyRuns, (view) => RedisEntry.toRuns(maxRuns, view))
      const at = clock.currentTimeMillisUnsafe()
      const active = meant.filter(({ run }) => runs.get(run)?.fold.ended !== true)
      const fields = new Map(active.map(({ field, run }) => [run, field]))
      const endings = active.map(({ run, thread }) =>
        LostRun.ending({ run, thread, at, source: `${node}-lost${(endingsMade++).toString(36)}-` })
      )
      if (!isReadonlyArrayNonEmpty(endings)) {
        return 0
      }
      const reply = yield* appendWith(user, endings, "", (_, run) => fields.get(run) ?? "")
      return reply._tag === "Appended" ? reply.left : yield* endActive(user, isMeant)
    })

  const leases = yield* Leases.make({
    name: node,
    lease: options.lease,
    store: RedisLeases.make({
      prefix,
      ttlMs: RedisKeys.ttlMs(options),
      connection,
      endRuns: (user, lease) => endActive(user, (_, holder) => holder === lease)
    }),
    notes: yield* RedisLeaseMetrics.make(options.name)
  })

  // Runs that say nothing keep their log all the same, and are written down anew where the server forgot them.
  const keepRuns = (user: UserId): Effect.Effect<void, BrokerError> =>
    leases.hold(user, (lease, quiet) =>
      Effect.suspend(() => {
        const runs = Array.from(held.of(user)?.runs.values() ?? [])
        if (runs.length === 0) return Effect.sync(quiet)
        const args = [RedisKeys.ofChannel(options, user), lease, ...RedisEntry.toHeld(runs)]
        return Effect.map(onLog("keep", keepScript, user, args, RedisEntry.toKept), ({ ended, log }) => {
          held.ended(user, ended)
          held.kept(user, log.epoch, monotonicMs())
        })
      }))

  const keepAll = Effect.suspend(() => {
    const due = new Set([...forgotten, ...held.quietSince(monotonicMs() - pollMs)])
    forgotten.clear()
    let failures = 0
    return Effect.forEach(due, (user) =>
      Effect.catch(keepRuns(user), (error) =>
        Effect.suspend(() => {
          forgotten.add(user)
          return failures++ === 0
            ? Effect.logWarning("Where active runs stand was not renewed, and is tried again at the next poll", error)
            : Effect.void
        })), { concurrency: keepsAtOnce, discard: true })
  })

  // A server that comes back may have forgotten everything, and need not be asked by anybody else.
  yield* connection.watch((signal) => {
    if (signal === "down") return
    for (const user of held.quietSince(Number.POSITIVE_INFINITY)) forgotten.add(user)
    isKeepingDue.openUnsafe()
  })
  yield* Effect.gen(function*() {
    while (true) {
      yield* Effect.timeoutOption(isKeepingDue.await, pollMs)
      isKeepingDue.closeUnsafe()
      yield* keepAll
    }
  }).pipe(
    Effect.catchCause((cause) => Effect.logError("Keeping the logs of active runs failed, and goes on", cause)),
    Effect.forever,
    Effect.forkScoped
  )

  const pull: Broker["Service"]["pull"] = (user, after, limits) =>
    Effect.suspend(() => {
      const recent = subscriptions.recall(user, after, limits)
      return recent === undefined ? pullFromRedis(user, after, limits) : Effect.succeed(noted(user, after, recent))
    })

  // How long what has just come was on its way.
  const noted = (user: UserId, after: Position, slice: Slice): Slice => {
    const isLive = subscriptions.advance(user, after, slice.next, slice.head)
    const [first] = slice.entries
    if (isLive && first !== undefined) metrics.lagged(clock.currentTimeMillisUnsafe() - first.at)
    return slice
  }

  const pullFromRedis: Broker["Service"]["pull"] = (user, after, limits) =>
    viewAs("pull", user, { after, limits, runs: "none" }, (view) => {
      const { gap, log: { epoch, offset: head } } = view
      const entries = within(limits, RedisBlock.entriesIn(view.blocks, gap?.to ?? after.offset))
      return noted(user, after, {
        gap,
        snapshots: gap === undefined ? [] : RedisEntry.toRuns(maxRuns, view).snapshots(gap.from),
        entries,
        next: { epoch, offset: entries.at(-1)?.offset ?? gap?.to ?? after.offset },
        head
      })
    })

  const snapshots: Broker["Service"]["snapshots"] = (user, since = Number.POSITIVE_INFINITY) =>
    viewAs("snapshots", user, onlyRuns, (view) => ({
      position: view.log,
      snapshots: RedisEntry.toRuns(maxRuns, view).snapshots(since)
    }))

  const snapshot: Broker["Service"]["snapshot"] = (user, run) =>
    viewAs("snapshot", user, { ...onlyHead, runs: `=${run}` }, (view) => ({
      position: view.log,
      snapshot: RedisEntry.toRuns(1, view, run).snapshot(run)
    }))

  const head: Broker["Service"]["head"] = (user) => Effect.map(viewLog("head", user, onlyHead), ({ log }) => log)

  const readers: Broker["Service"]["readers"] = (user) =>
    connection.call(
      "readers",
      async ({ client }) =>
        Reply.integer(await RedisScript.run(client, countReaders, [RedisKeys.ofReaders(prefix, user)], []))
    )

  const acknowledge: Broker["Service"]["acknowledge"] = (user, { epoch, offset }) =>
    Effect.asVoid(connection.call("acknowledge", ({ client, server: id }) => {
      const keys = RedisKeys.ofLog(prefix, user)
      const channel = RedisKeys.ofChannel(options, user)
      const server = options.trustRestarts ? "any" : id
      return LogRepair.run(client, {
        script: acknowledgeScript,
        keys: keys.slice(1, 2),
        args: [epoch, String(offset), channel],
        log: { keys, channel, epoch: nextEpoch(), server, ttl }
      })
    }))

  const revoke: Broker["Service"]["revoke"] = (user) =>
    Effect.asVoid(
      connection.call("revoke", ({ client }) =>
        RedisScript.run(client, revokeScript, [RedisKeys.ofRevoked(prefix, user)], [
          RedisKeys.ofChannel(options, user),
          String(Duration.toMillis(options.revocationMemory))
        ]))
    )

  const late: Broker["Service"]["late"] = (user, by, forMs) =>
    Effect.asVoid(
      connection.call("late", ({ client }) =>
        RedisScript.run(client, lateScript, [RedisKeys.ofLate(prefix, user)], [
          by,
          String(Math.round(forMs)),
          RedisKeys.ofChannel(options, user)
        ]))
    )

  // A write, since a server that is out of memory or read-only answers whoever reads.
  const canary = () =>
    Effect.asVoid(
      connection.call("canary", ({ client }) =>
        client.sendCommand(["SET", RedisKeys.ofCanary(prefix), node, "PX", canaryMs]))
    )

  const { acknowledged, subscribe } = subscriptions
  return {
    append,
    pull,
    subscribe,
    head,
    snapshots,
    snapshot,
    readers,
    acknowledge,
    acknowledged,
    endLost: (user, runs) => endActive(user, (run) => runs.includes(run)),
    revoke,
    late,
    canary,
    watch: connection.watch,
    retentionMs: maxAgeMs
  }
})

const threadOf = ({ thread }: Envelope): string => thread ?? ""

// As many entries as the limits allow, and one in any case.
const within = ({ maxBytes, maxEvents }: PullLimits, entries: ReadonlyArray<Entry>): ReadonlyArray<Entry> => {
  let bytes = 0
  const end = entries.findIndex((entry, at) => {
    bytes += entry.bytes
    return at >= maxEvents || at > 0 && bytes > maxBytes
  })
  return end < 0 ? entries : entries.slice(0, end)
}

/**
 * Makes the broker, over one server or, with `urls`, over several.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options): Effect.Effect<Broker["Service"], Layout.LayoutMismatch, Scope.Scope> => {
  const [first, ...others] = serversOf(options)
  const makeShard = (server: ServerOptions) =>
    Effect.map(makeOverOne(server), (broker) => ({ name: server.name, weight: server.weight, broker }))
  // One that is down is waited for a while, so they are waited for together.
  return Effect.zipWith(
    makeShard(first),
    Effect.forEach(others, makeShard, { concurrency: "unbounded" }),
    (first, others) => ShardedBroker.make([first, ...others]),
    { concurrent: true }
  )
}

/**
 * A broker in Redis. For its options and their defaults see `Options`; a wrong
 * or unknown option fails the layer with every problem listed. A server that
 * cannot be reached does not; one whose keys another version wrote does.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Input): Layer.Layer<Broker, Schema.SchemaError | Layout.LayoutMismatch> =>
  fromUnknown(options)

// An option may hold a password, so a problem is told without the value.
const decode = Schema.decodeUnknownEffect(Options, { errors: "all", onExcessProperty: "error" })

const fromUnknown = (options: unknown): Layer.Layer<Broker, Schema.SchemaError | Layout.LayoutMismatch> =>
  Layer.effect(Broker, Effect.flatMap(decode(present(options)), make))

/**
 * The same, with options from `Config`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerConfig = (
  options: Config.Wrap<typeof Options.Encoded>
): Layer.Layer<Broker, Schema.SchemaError | Layout.LayoutMismatch | Config.ConfigError> =>
  Layer.unwrap(Effect.map(Config.unwrap(options), fromUnknown))
