/**
 * Finds whose a run or an event is.
 *
 * @since 0.2.0
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { ConfigError } from "../../protocol/settings/ConfigError.ts"
import type { UserId } from "../../protocol/values/Identity.ts"
import type { Backend, Sought } from "../backend/Backend.ts"
import { Failed } from "../output/Failed.ts"
import type { Out } from "../output/Out.ts"

/**
 * The users who have what is sought: the one who was named, or those that the broker
 * knows. Interrupted, it tells how far it was.
 *
 * @category operations
 * @since 0.2.0
 */
export const users = (
  backend: Backend,
  { aside }: Out,
  named: Option.Option<UserId>,
  sought: ReadonlyArray<Sought>
): Effect.Effect<ReadonlyArray<UserId>, ConfigError | Failed> => {
  if (Option.isSome(named)) return Effect.succeed([named.value])
  let seen = 0
  return backend.usersOf(sought, (count) => void (seen += count)).pipe(
    Effect.onInterrupt(() => aside(`interrupted after ${seen} users; --user USER looks at one alone`))
  )
}

/**
 * The one user who has a run.
 *
 * @category operations
 * @since 0.2.0
 */
export const userOfRun = Effect.fnUntraced(function*(
  backend: Backend,
  out: Out,
  named: Option.Option<UserId>,
  run: string
): Effect.fn.Return<UserId, ConfigError | Failed> {
  const [first, second] = yield* users(backend, out, named, [{ run }])
  if (first === undefined) {
    return yield* new Failed({
      exit: "no",
      message: `No user has a run ${run}`,
      remedy: `effect-emitter why ${run} tells what is known of it`
    })
  }
  if (second !== undefined) {
    return yield* new Failed({
      exit: "usage",
      message: `Several users have a run ${run}: ${first}, ${second}, …`,
      remedy: "tell whose it is: --user USER"
    })
  }
  return first
})
