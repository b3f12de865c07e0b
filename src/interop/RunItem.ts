/**
 * What a mapping to another protocol is made from: one run, as its events come, or as
 * its state stands where they are not to be had.
 *
 * Server and page read runs in this form, so that a mapping is written once.
 *
 * @since 0.2.0
 */
import type { JsonObject } from "effect/Schema"
import type { BuiltIn } from "../protocol/event/AgentEvents.ts"
import type { AnyDefinition, Definition } from "../protocol/event/Event.ts"
import * as RunEvents from "../protocol/event/RunEvents.ts"
import type { RunSnapshot } from "../protocol/run/RunSnapshot.ts"
import type { Position } from "../protocol/values/Position.ts"

type Known<D extends AnyDefinition> = D extends Definition<infer Name, infer Payload>
  ? { readonly type: Name; readonly payload: Payload["Encoded"] }
  : never

/**
 * An event of a run: a built-in one, or the program's own (`$unknown`) with its
 * `name`, and `keep` where the run's state keeps it. `payload` is as it travels.
 *
 * @category models
 * @since 0.2.0
 */
export type RunEvent = Known<BuiltIn> | {
  readonly type: "$unknown"
  readonly name: string
  readonly keep?: RunEvents.Keep | undefined
  readonly payload: JsonObject
}

/**
 * What comes next of a run.
 *
 * - `Event`: an event at its `position`, and `at` in milliseconds since the Unix
 *   epoch. One that `isKnown` was sent to this reader before: a mapping follows it,
 *   and sends nothing of it.
 * - `Snapshot`: the state of the run at `position`, in place of all events up to there.
 * - `Missing`: nothing more comes, and no event tells of the end: `message` says why.
 *
 * @category models
 * @since 0.2.0
 */
export type RunItem =
  | {
    readonly _tag: "Event"
    readonly position: Position
    readonly at: number
    readonly event: RunEvent
    readonly isKnown: boolean
  }
  | { readonly _tag: "Snapshot"; readonly position: Position; readonly state: RunSnapshot }
  | { readonly _tag: "Missing"; readonly message: string }

/**
 * Whether nothing comes of a run behind this.
 *
 * @category guards
 * @since 0.2.0
 */
export const isEnd = (item: RunItem): boolean => {
  switch (item._tag) {
    case "Event":
      return !item.isKnown && RunEvents.isTerminal(item.event.type)
    case "Snapshot":
      return item.state.status !== "active"
    case "Missing":
      return true
  }
}
