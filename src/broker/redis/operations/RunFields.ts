/**
 * Where a user's runs stand, read and changed one by one: a field is replaced only
 * where it still stands as it was found.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type { RunId, UserId } from "../../../protocol/values/Identity.ts"
import type { BrokerError } from "../../Broker.ts"
import * as RedisEntry from "../codec/Entry.ts"
import * as RedisKeys from "../codec/Keys.ts"
import * as Reply from "../codec/Reply.ts"
import type { LeaseStore } from "../../leases/LeaseStore.ts"
import type { Connection } from "../connection/Connection.ts"
import * as RedisScript from "../scripts/Script.ts"
import * as Standing from "../scripts/StandingLua.ts"

/**
 * A run's field as it was found; `active` is what it tells of a run that is active.
 *
 * @category models
 * @since 0.1.0
 */
export interface Found {
  readonly value: string
  readonly active: Standing.ActiveField | undefined
}

/**
 * - `of` gives the field of a run, if there is one.
 * - `replace` tells whether it did.
 * - `change` gives an active run the field that it is told to have, unless that is
 *   nothing.
 * - `bequeath` gives the runs of a dead lease that somebody waits for to whoever
 *   does, as if that one had let them go, if its own lease is alive.
 *
 * @category models
 * @since 0.1.0
 */
export interface RunFields {
  readonly of: (user: UserId, run: RunId) => Effect.Effect<Found | undefined, BrokerError>
  readonly replace: (
    user: UserId,
    run: RunId,
    found: Found,
    field: Standing.ActiveField
  ) => Effect.Effect<boolean, BrokerError>
  readonly change: (
    user: UserId,
    run: RunId,
    to: (field: Standing.ActiveField) => Standing.ActiveField | undefined
  ) => Effect.Effect<void, BrokerError>
  readonly bequeath: (
    user: UserId,
    lease: string,
    countOf: LeaseStore["countOf"]
  ) => Effect.Effect<void, BrokerError>
}

/**
 * Makes it over one Redis.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (prefix: string, connection: Connection): RunFields => {
  const of: RunFields["of"] = (user, run) =>
    Effect.flatMap(
      connection.call("active", ({ client }) => client.sendCommand(["HGET", RedisKeys.ofMeta(prefix, user), run])),
      (reply) =>
        RedisEntry.read("active", () => {
          if (reply === null) return undefined
          const value = Reply.text(reply)
          return { value, active: Standing.readActive(value) }
        })
    )

  const replace: RunFields["replace"] = (user, run, { value }, field) => {
    const args = [run, value, Standing.writeActive(field)]
    return Effect.map(
      connection.call(
        "active",
        ({ client }) => RedisScript.run(client, Standing.replaceField, [RedisKeys.ofMeta(prefix, user)], args)
      ),
      (reply) => reply === 1
    )
  }

  return {
    of,
    replace,
    change: (user, run, to) =>
      Effect.gen(function*() {
        while (true) {
          const found = yield* of(user, run)
          const field = found?.active === undefined ? undefined : to(found.active)
          if (found === undefined || field === undefined) return
          if (yield* replace(user, run, found, field)) return
        }
      }),
    bequeath: (user, lease, countOf) =>
      Effect.gen(function*() {
        const reply = yield* connection.call("active", ({ client }) =>
          client.sendCommand(["HGETALL", RedisKeys.ofMeta(prefix, user)]))
        const runs = yield* RedisEntry.read("active", () =>
          RedisEntry.toActive(reply))
        for (const { field: value, run } of runs) {
          const active = Standing.readActive(value)
          const heir = active === undefined ? undefined : Standing.heirIn(active)
          if (active?.lease !== lease || heir === undefined || (yield* countOf(heir)) === undefined) continue
          // Where it is not as it was found, somebody has it already.
          yield* replace(user, run, { value, active }, Standing.takenOver(active, heir, Standing.free))
        }
      })
  }
}
