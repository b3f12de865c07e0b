/**
 * Spreads users over several brokers by consistent hashing, and is one broker to
 * whoever uses it.
 *
 * Each user belongs to one shard, which is found from the user's id and the
 * shards' names and weights alone: every process with the same shards finds the
 * same, in whatever order they are listed. A shard that fails costs its own
 * users their broker, and no others.
 *
 * A shard more takes over about its share of the users, each from one of the
 * others, and moves nobody else. Logs do not move along: a user who changes
 * shards begins a new epoch there, and devices get a gap.
 *
 * @since 0.1.0
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Effect from "effect/Effect"
import * as HashRing from "effect/HashRing"
import * as PrimaryKey from "effect/PrimaryKey"
import { hash } from "node:crypto"
import * as Command from "../protocol/command/Command.ts"
import type { UserId } from "../protocol/values/Identity.ts"
import type { Broker } from "./Broker.ts"

/**
 * A broker for a part of the users. `name` is its identity, and seen in metrics
 * and errors; `weight` its share against those of the others, 1 by default,
 * between 0.1 and 100.
 *
 * @category models
 * @since 0.1.0
 */
export interface Shard {
  readonly name: string
  readonly weight?: number | undefined
  readonly broker: Broker["Service"]
}

// So many points on the ring for a weight of 1 keep shares within a few percent of what was asked for.
const baseWeight = 1024

// The ring's own hash is made for speed: of ids that differ in a digit or are short it makes one heap.
const spread = (text: string): string => hash("sha1", text)

class Place implements PrimaryKey.PrimaryKey {
  readonly shard: Shard
  private readonly key: string

  constructor(shard: Shard) {
    this.shard = shard
    this.key = spread(shard.name)
  }

  [PrimaryKey.symbol](): string {
    return this.key
  }
}

/**
 * Finds the shard of each user. Two shards of one name are a mistake, and throw
 * a `TypeError`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const makeLocate = (shards: NonEmptyReadonlyArray<Shard>): (user: UserId) => Shard => {
  const ring = HashRing.make<Place>({ baseWeight })
  for (const shard of shards) {
    const place = new Place(shard)
    if (HashRing.has(ring, place)) throw new TypeError(`Two shards have the name "${shard.name}"`)
    HashRing.add(ring, place, { weight: shard.weight })
  }
  return (user) => HashRing.get(ring, spread(user))?.shard ?? shards[0]
}

// A command goes where its user is, and a receiver takes those of all users.
const commandsOf = (
  shards: NonEmptyReadonlyArray<Shard>,
  of: (user: UserId) => Broker["Service"]
): NonNullable<Broker["Service"]["commands"]> => ({
  send: (user, command, within) =>
    of(user).commands?.send(user, command, within) ?? Effect.succeed(Command.refused("unavailable")),
  receive: (receiver) =>
    Effect.forEach(shards, ({ broker }) => broker.commands?.receive(receiver) ?? Effect.void, { discard: true })
})

/**
 * Makes one broker of several. A single one stays what it is.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (shards: NonEmptyReadonlyArray<Shard>): Broker["Service"] => {
  const locate = makeLocate(shards)
  if (shards.length === 1) return shards[0].broker
  const of = (user: UserId) => locate(user).broker
  return {
    append: (user, batch) => of(user).append(user, batch),
    ...(shards.every(({ broker }) => broker.appendUnsafe !== undefined)
      ? { appendUnsafe: (user, batch) => of(user).appendUnsafe?.(user, batch) }
      : {}),
    pull: (user, after, limits) => of(user).pull(user, after, limits),
    subscribe: (user, wake) => of(user).subscribe(user, wake),
    head: (user) => of(user).head(user),
    snapshots: (user, since, recent) => of(user).snapshots(user, since, recent),
    snapshot: (user, run) => of(user).snapshot(user, run),
    readers: (user) => of(user).readers(user),
    acknowledge: (user, position) => of(user).acknowledge(user, position),
    acknowledged: (user, position) => of(user).acknowledged(user, position),
    endLost: (user, runs) => of(user).endLost(user, runs),
    takeOver: (user, run) => of(user).takeOver(user, run),
    letGo: (user, runs) => of(user).letGo(user, runs),
    claim: (user, run) => of(user).claim(user, run),
    revoke: (user) => of(user).revoke(user),
    late: (user, by, forMs) => of(user).late?.(user, by, forMs) ?? Effect.void,
    ...(shards.every(({ broker }) => broker.canary !== undefined)
      ? { canary: (user) => of(user).canary?.(user) ?? Effect.void }
      : {}),
    ...(shards.every(({ broker }) => broker.commands !== undefined) ? { commands: commandsOf(shards, of) } : {}),
    watchLost: (listener) =>
      Effect.forEach(shards, ({ broker }) => broker.watchLost?.(listener) ?? Effect.void, { discard: true }),
    watch: (watcher) =>
      Effect.forEach(
        shards,
        ({ broker, name }) => broker.watch?.((signal) => watcher(signal, name)) ?? Effect.void,
        { discard: true }
      ),
    retentionMs: Math.min(...shards.map(({ broker }) => broker.retentionMs)),
    domains: {
      names: [shards[0].name, ...shards.slice(1).map(({ name }) => name)],
      of: (user) => locate(user).name
    }
  }
}
