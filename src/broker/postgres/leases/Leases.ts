/**
 * Leases in Postgres.
 *
 * @since 0.2.0
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { UserId } from "../../../protocol/values/Identity.ts"
import type { BrokerError } from "../../Broker.ts"
import { type Inbox, readMail } from "../../commands/Inbox.ts"
import type { LeaseStore } from "../../leases/LeaseStore.ts"
import type { Database } from "../connection/Database.ts"
import * as Failure from "../connection/Failure.ts"

const decodeBeat = Schema.decodeUnknownSync(Schema.Tuple([
  Schema.Literals(["held", "taken", "lost"]),
  Schema.Array(Schema.Tuple([Schema.String, Schema.Int])),
  Schema.Array(Schema.String),
  Schema.Array(Schema.Tuple([Schema.Unknown, Schema.Unknown]))
]))
const decodeCount = Schema.decodeUnknownSync(Schema.NullOr(Schema.Int))
const decodeUsers = Schema.decodeUnknownSync(Schema.Array(UserId))

/**
 * Makes a store of leases over a database.
 *
 * @category constructors
 * @since 0.2.0
 */
export const make = (options: {
  readonly database: Database
  /** What the process is told of its mailbox with each beat. */
  readonly inbox: Inbox
  readonly endRuns: LeaseStore["endRuns"]
}): LeaseStore => {
  const { database, endRuns, inbox } = options
  const read = <A>(
    operation: string,
    name: string,
    asked: unknown,
    decode: (answer: unknown) => A
  ): Effect.Effect<A, BrokerError> =>
    Effect.flatMap(
      database.call(operation, name, asked),
      (answer) => Failure.read(operation, () => decode(answer))
    )
  const isTrue = (answer: unknown): boolean => answer === true
  return {
    beat: (lease, over) =>
      Effect.suspend(() => {
        const seen = inbox.seenToTell()
        const asked = { lease, process: inbox.process, seen, over: over.map(({ count, lease }) => [lease, count]) }
        return Effect.map(read("renew", "beat", asked, decodeBeat), ([state, others, claimed, mail]) => {
          inbox.told(seen)
          inbox.arrived(mail.flatMap(([user, number]) => readMail(user, number)))
          return { state, others: others.map(([lease, count]) => ({ lease, count })), claimed }
        })
      }),
    enter: (lease, user, mark) => read("enter", "enter_lease", { lease, user, mark }, isTrue),
    leave: (lease, entries) => Effect.asVoid(database.call("leave", "leave_lease", { lease, entries })),
    release: (lease) => Effect.asVoid(database.call("release", "release_lease", { lease })),
    countOf: (lease) => read("count", "lease_count", { lease }, (answer) => decodeCount(answer) ?? undefined),
    usersOf: (lease) => read("claimed", "lease_users_of", { lease }, decodeUsers),
    finish: (lease, users) => read("finish", "finish_lease", { lease, users }, isTrue),
    hasRuns: (user, lease) => read("active", "has_runs", { user, lease }, isTrue),
    carryOver: (user, from, to) => Effect.asVoid(database.call("carryOver", "carry_over", { user, from, to })),
    endRuns
  }
}
