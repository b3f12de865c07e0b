/**
 * Reads the logs: what lies past a position, and the state of runs.
 *
 * @since 0.2.0
 */
import * as Effect from "effect/Effect"
import type { Broker } from "../../Broker.ts"
import * as Failure from "../connection/Failure.ts"
import { type Logs, onlyHead, onlyRuns } from "./Logs.ts"

/**
 * The part of a broker that reads logs.
 *
 * @category models
 * @since 0.2.0
 */
export type SliceReader = Pick<Broker["Service"], "pull" | "head" | "snapshots" | "snapshot">

/**
 * Makes the reading part of a broker.
 *
 * @category constructors
 * @since 0.2.0
 */
export const make = (logs: Logs): SliceReader => ({
  pull: (user, after, limits) =>
    Effect.flatMap(logs.view("pull", user, { after, limits, runs: "none" }), (view) =>
      Failure.read("pull", () => {
        const { entries, gap, log: { epoch, offset: head } } = view
        return {
          gap,
          snapshots: gap === undefined ? [] : logs.toRuns(view).snapshots(gap.from),
          entries,
          next: { epoch, offset: entries.at(-1)?.offset ?? gap?.to ?? after.offset },
          head
        }
      })),
  head: (user) => Effect.map(logs.view("head", user, onlyHead), ({ log }) => log),
  snapshots: (user, since = Number.POSITIVE_INFINITY, recent) =>
    Effect.flatMap(logs.view("snapshots", user, onlyRuns), (view) =>
      Failure.read("snapshots", () => ({
        position: view.log,
        snapshots: logs.toRuns(view).snapshots(since, recent)
      }))),
  snapshot: (user, run) =>
    Effect.flatMap(
      logs.view("snapshot", user, { ...onlyHead, runs: `=${run}` }),
      (view) => Failure.read("snapshot", () => ({ position: view.log, snapshot: logs.toRuns(view, run).snapshot(run) }))
    )
})
