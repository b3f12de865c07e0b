/**
 * What an Effect program gets from its client, in order.
 *
 * @since 0.1.0
 */
import type * as Event from "../../protocol/event/Event.ts"
import type { Received } from "../../protocol/event/ReceivedEvent.ts"
import type { Gap, Snapshot } from "./SessionIO.ts"

/**
 * What comes from the server, in order: events, and what stands for those that
 * cannot come.
 *
 * @category models
 * @since 0.1.0
 */
export type Item<D extends Event.AnyDefinition> =
  | { readonly _tag: "Event"; readonly event: Received<D> }
  | { readonly _tag: "Gap" } & Gap
  | { readonly _tag: "Snapshot" } & Snapshot
  | { readonly _tag: "Lost"; readonly run: string; readonly at: number }
