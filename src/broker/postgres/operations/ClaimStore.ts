/**
 * Keeps claims in Postgres.
 *
 * @since 0.2.0
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { ClaimStore } from "../../leases/RunClaims.ts"
import type { Database } from "../connection/Database.ts"
import * as Failure from "../connection/Failure.ts"

const decodeLease = Schema.decodeUnknownSync(Schema.String)

/**
 * Makes it over a database.
 *
 * @category constructors
 * @since 0.2.0
 */
export const make = (database: Database): ClaimStore => ({
  claim: (user, run, lease, over) =>
    Effect.flatMap(
      database.call("claim", "claim_run", { user, run, lease, over }),
      (answer) => Failure.read("claim", () => decodeLease(answer))
    ),
  giveBack: (user, run, process) => Effect.asVoid(database.call("giveBack", "unclaim_run", { user, run, process }))
})
