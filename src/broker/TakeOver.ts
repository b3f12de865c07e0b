/**
 * What becomes of a run that somebody wants to go on with.
 *
 * @since 0.1.0
 */
import type { RunSnapshot } from "../protocol/run/RunSnapshot.ts"
import type { RunAtHead } from "./Log.ts"

/**
 * - `Taken`: it is the caller's. What comes late from whoever had it in another
 *   process is refused as that of a lost run.
 * - `Held`: another process has it, which lives.
 * - `Ended`: it has ended, and how.
 * - `Unknown`: the log knows nothing of it, or nothing any more.
 *
 * @category models
 * @since 0.1.0
 */
export type TakeOver =
  | { readonly _tag: "Taken" }
  | { readonly _tag: "Held" }
  | { readonly _tag: "Ended"; readonly outcome: Exclude<RunSnapshot["status"], "active"> }
  | { readonly _tag: "Unknown" }

/**
 * What becomes of it where no other process can have it.
 *
 * @category conversions
 * @since 0.1.0
 */
export const within = ({ snapshot }: RunAtHead): TakeOver => {
  if (snapshot === undefined) return { _tag: "Unknown" }
  const { status } = snapshot.state
  return status === "active" ? { _tag: "Taken" } : { _tag: "Ended", outcome: status }
}
