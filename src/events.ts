/**
 * What server and browser share: `effect-emitter/events`.
 *
 * A program's catalog of events is written once, in a file that imports from here,
 * and serves both sides: nothing behind this entry needs Node.
 *
 * ```ts
 * import { Schema } from "effect"
 * import { AgentEvents, Event } from "effect-emitter/events"
 *
 * const OrderPlaced = Event.make("order_placed", { payload: { total: Schema.Finite } })
 *
 * const catalog = AgentEvents.catalog.add(OrderPlaced)
 * ```
 *
 * @since 0.1.0
 */
export * as AgentEvents from "./protocol/event/AgentEvents.ts"
export * as CloseCode from "./protocol/wire/CloseCode.ts"
export * as Command from "./protocol/command/Command.ts"
export * as Event from "./protocol/event/Event.ts"
export * as Identity from "./protocol/values/Identity.ts"
export * as Position from "./protocol/values/Position.ts"
export * as RunSnapshot from "./protocol/run/RunSnapshotSchema.ts"
export * as RunState from "./protocol/run/RunState.ts"
