/**
 * Keeps claims in Redis.
 *
 * @since 0.2.0
 */
import * as Effect from "effect/Effect"
import type { ClaimStore } from "../../leases/RunClaims.ts"
import * as RedisEntry from "../codec/Entry.ts"
import * as RedisKeys from "../codec/Keys.ts"
import * as Reply from "../codec/Reply.ts"
import type { Connection } from "../connection/Connection.ts"
import * as ClaimLua from "../scripts/ClaimLua.ts"
import * as RedisScript from "../scripts/Script.ts"

/**
 * Makes it over one Redis. A claim that is not renewed stays for `ttlMs` milliseconds.
 *
 * @category constructors
 * @since 0.2.0
 */
export const make = (
  { connection, prefix, ttlMs }: { readonly prefix: string; readonly ttlMs: number; readonly connection: Connection }
): ClaimStore => ({
  claim: (user, run, lease, over) => {
    const args = [lease, over, String(ttlMs)]
    return Effect.flatMap(
      connection.call(
        "claim",
        ({ client }) => RedisScript.run(client, ClaimLua.claim, [RedisKeys.ofClaim(prefix, user, run)], args)
      ),
      (reply) => RedisEntry.read("claim", () => Reply.text(reply))
    )
  },
  giveBack: (user, run, process) =>
    Effect.asVoid(
      connection.call(
        "giveBack",
        ({ client }) =>
          RedisScript.run(client, ClaimLua.giveBack, [RedisKeys.ofClaim(prefix, user, run)], [`${process}.`])
      )
    )
})
