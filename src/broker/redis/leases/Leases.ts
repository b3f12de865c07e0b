/**
 * Leases in Redis.
 *
 * @since 0.1.0
 */
import * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { UserId } from "../../../protocol/values/Identity.ts"
import type { BrokerError } from "../../Broker.ts"
import type { Beat, LeaseStore } from "../../leases/LeaseStore.ts"
import { type Inbox, type Mail, readMail } from "../../commands/Inbox.ts"
import type { Connection } from "../connection/Connection.ts"
import * as RedisEntry from "../codec/Entry.ts"
import * as RedisKeys from "../codec/Keys.ts"
import * as LeaseLua from "./LeaseLua.ts"
import * as Reply from "../codec/Reply.ts"
import * as RedisScript from "../scripts/Script.ts"
import { carryOver, heirIn, readActive } from "../scripts/StandingLua.ts"

const isUser = Schema.is(UserId)

const usersPerCall = 64

// For so long at least what is known of leases is kept while nobody renews one.
const leastKeepMs = 24 * 60 * 60 * 1000

/**
 * For how long, in milliseconds, what is known of leases stays when no process is
 * left: longer than the keys of users.
 *
 * @category models
 * @since 0.1.0
 */
export const keepMs = (ttlMs: number): number => Math.max(leastKeepMs, ttlMs)

// What of it cannot be read costs nobody the lease.
const toMail = (reply: unknown): Mail =>
  Arr.chunksOf(Reply.list(reply), 2).flatMap(([user, number]) => readMail(user, number))

const toBeat = (own: string, reply: unknown): { readonly beat: Beat; readonly mail: Mail } => {
  const [state, counted, claimed, mail] = Reply.list(reply)
  const name = Reply.text(state)
  if (name !== "held" && name !== "taken" && name !== "lost") throw new Reply.UnexpectedReply("a state", name)
  const others = Arr.chunksOf(Reply.list(counted), 2).flatMap(([lease, count]) =>
    lease === own ? [] : [{ lease: Reply.text(lease), count: Reply.integer(count) }]
  )
  return { beat: { state: name, others, claimed: Reply.list(claimed).map(Reply.text) }, mail: toMail(mail) }
}

/**
 * Makes a store of leases over one Redis.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: {
  readonly prefix: string
  /** For how long the keys of a user stay. */
  readonly ttlMs: number
  readonly connection: Connection
  /** What the process is told of its mailbox with each beat. */
  readonly inbox: Inbox
  readonly endRuns: (
    user: UserId,
    lease: string,
    countOf: LeaseStore["countOf"]
  ) => ReturnType<LeaseStore["endRuns"]>
}): LeaseStore => {
  const { connection, endRuns, inbox, prefix, ttlMs } = options
  const kept = String(keepMs(ttlMs))
  const keysOf = (lease: string) => RedisKeys.ofLeases(prefix, lease)

  const run = (
    operation: string,
    script: RedisScript.Script,
    keys: ReadonlyArray<string>,
    args: ReadonlyArray<string>
  ): Effect.Effect<unknown, BrokerError> =>
    connection.call(operation, ({ client }) => RedisScript.run(client, script, keys, args))

  const activeOf = (user: UserId): Effect.Effect<ReadonlyArray<unknown>, BrokerError> =>
    connection.call(
      "active",
      async ({ client }) => Reply.list(await client.sendCommand(["HVALS", RedisKeys.ofMeta(prefix, user)]))
    )

  const countOf: LeaseStore["countOf"] = (lease) =>
    connection.call("count", async ({ client }) => {
      const score = await client.sendCommand(["ZSCORE", keysOf(lease).alive, lease])
      return score === null ? undefined : Reply.integer(score)
    })

  return {
    beat: (lease, over) => {
      const { alive, claimed, gone, users } = keysOf(lease)
      const seen = inbox.seenToTell()
      const args = [
        lease,
        kept,
        String(seen.length),
        ...seen.flatMap(([user, number]) => [user, String(number)]),
        ...over.flatMap((other) => [other.lease, String(other.count)])
      ]
      const keys = [
        alive,
        claimed,
        gone,
        users,
        RedisKeys.ofLayout(prefix),
        RedisKeys.ofMailbox(prefix, inbox.process)
      ]
      return run("renew", LeaseLua.beat, keys, args).pipe(
        Effect.flatMap((reply) => RedisEntry.read("renew", () => toBeat(lease, reply))),
        Effect.map(({ beat, mail }) => {
          inbox.told(seen)
          inbox.arrived(mail)
          return beat
        })
      )
    },
    enter: (lease, user, mark) => {
      const { alive, users } = keysOf(lease)
      const args = [lease, user, String(mark), kept]
      return Effect.map(run("enter", LeaseLua.enter, [alive, users], args), (reply) => reply === 1)
    },
    leave: (lease, entries) =>
      Effect.asVoid(run(
        "leave",
        LeaseLua.leave,
        [keysOf(lease).users],
        entries.flatMap(([user, mark]) => [
          user,
          String(mark)
        ])
      )),
    release: (lease) => {
      const { alive, users } = keysOf(lease)
      return Effect.asVoid(run("release", LeaseLua.release, [alive, users], [lease]))
    },
    countOf,
    usersOf: (lease) =>
      connection.call("claimed", async ({ client }) => {
        const reply = await client.sendCommand(["HRANDFIELD", keysOf(lease).users, String(usersPerCall)])
        return Reply.list(reply).filter(isUser)
      }),
    finish: (lease, users) => {
      const keys = keysOf(lease)
      return Effect.map(
        run("finish", LeaseLua.finish, [keys.claimed, keys.gone, keys.users], [lease, ...users]),
        (reply) => reply === 1
      )
    },
    hasRuns: (user, lease) =>
      Effect.map(activeOf(user), (values) =>
        values.some((value) => {
          const field = readActive(Reply.text(value))
          return field !== undefined && (field.lease === lease || heirIn(field) === lease)
        })),
    carryOver: (user, from, to) =>
      Effect.asVoid(run("carryOver", carryOver, [RedisKeys.ofMeta(prefix, user)], [from, to])),
    endRuns: (user, lease) => endRuns(user, lease, countOf)
  }
}
