/**
 * Folds the runs of logs, saves their state, and deletes what was dropped and is folded:
 * in the background, some users at a time, and a bounded number of rows at a time. After
 * each round the planner is told how large the tables have become.
 *
 * @since 0.2.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { UserId } from "../../../protocol/values/Identity.ts"
import * as BackgroundSaves from "../../BackgroundSaves.ts"
import type { BrokerError } from "../../Broker.ts"
import * as SavedRuns from "../../memory/SavedRuns.ts"
import type { Database } from "../connection/Database.ts"
import * as Failure from "../connection/Failure.ts"
import { type Options, ttlMs } from "../connection/Options.ts"
import { type Logs, onlyRuns } from "./Logs.ts"

/**
 * Begins to fold and trim a user's log in the background, unless that is under way.
 *
 * @category models
 * @since 0.2.0
 */
export type Folder = (user: UserId) => Effect.Effect<void>

const atOnce = 2
const rowsAtOnce = 1_000
const usersAtOnce = 200

const decodeSwept = Schema.decodeUnknownSync(Schema.Tuple([Schema.Int, Schema.Array(UserId)]))

/**
 * Folds until the scope closes.
 *
 * @category constructors
 * @since 0.2.0
 */
export const make = Effect.fnUntraced(function*(
  options: Options,
  database: Database,
  logs: Logs
): Effect.fn.Return<Folder, never, Scope.Scope> {
  const ttl = ttlMs(options)

  const save = (user: UserId): Effect.Effect<void, BrokerError> =>
    Effect.gen(function*() {
      const view = yield* logs.view("fold", user, onlyRuns)
      if (view.folded === view.log.offset) return
      const { changed, forgotten } = yield* Failure.read(
        "fold",
        () => SavedRuns.changes(logs.toRuns(view), view.saved, view.folded)
      )
      const asked = { user, epoch: view.log.epoch, from: view.folded, to: view.log.offset, forgotten }
      yield* database.call("fold", "fold", asked, changed)
    })

  const trim = (user: UserId): Effect.Effect<void, BrokerError> =>
    Effect.flatMap(
      database.call("trim", "trim_user", { user, most: rowsAtOnce, ttl }),
      (hasMore) => hasMore === true ? trim(user) : Effect.void
    )

  const folder: Folder = yield* BackgroundSaves.make(atOnce, (user) => Effect.andThen(save(user), trim(user)))

  let after = 0
  const sweep = Effect.gen(function*() {
    if (!database.isLive()) return
    const asked = { after, users: usersAtOnce, maxAge: Duration.toMillis(options.maxAge), ttl }
    const answer = yield* database.call("sweep", "sweep", asked)
    const [next, due] = yield* Failure.read("sweep", () => decodeSwept(answer))
    after = next
    yield* Effect.forEach(due, folder, { discard: true })
    if (next === 0) yield* database.call("learn", "learn", {})
  })
  yield* sweep.pipe(
    // The next comes soon, and calls that fail are told of elsewhere.
    Effect.catch((error) => Effect.logDebug("Old events were not looked for", error)),
    Effect.catchCause((cause) => Effect.logError("Looking for old events failed, and goes on", cause)),
    Effect.repeat(Schedule.jittered(Schedule.spaced(options.sweep))),
    Effect.forkScoped
  )
  return folder
})
