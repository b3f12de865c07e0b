/**
 * Delivers the events of an AI agent's run to one user's devices.
 *
 * Here is what a server's program needs. What it shares with its pages is in
 * `effect-emitter/events`, the words on the wire in `effect-emitter/protocol`.
 *
 * @since 0.1.0
 */
export * as Broker from "./broker/index.ts"
export type * as MemoryBroker from "./broker/memory/Options.ts"
export * as UserLog from "./broker/UserLog.ts"
export * as Command from "./protocol/command/Command.ts"
export * as ConfigError from "./protocol/settings/ConfigError.ts"
export * as DeadLetters from "./emitter/fallback/DeadLetters.ts"
export * as Emitter from "./emitter/Emitter.ts"
export * as EmitterConfig from "./emitter/EmitterConfig.ts"
export { EmitterLayer } from "./emitter/EmitterLayer.ts"
export * as EmitterPool from "./emitter/EmitterPool.ts"
export { Emitters } from "./emitter/Emitter.ts"
export * as FallbackChannel from "./emitter/fallback/FallbackChannel.ts"
export * as Notifier from "./emitter/fallback/Notifier.ts"
export * as OperatorAlert from "./emitter/observe/OperatorAlert.ts"
export * as Spool from "./emitter/fallback/Spool.ts"
export * as Webhook from "./emitter/fallback/Webhook.ts"
export * as AgentEvents from "./protocol/event/AgentEvents.ts"
export * as Event from "./protocol/event/Event.ts"
export * as Identity from "./protocol/values/Identity.ts"
export * as Names from "./protocol/values/Names.ts"
export * as Position from "./protocol/values/Position.ts"
export * as RunSnapshot from "./protocol/run/RunSnapshotSchema.ts"
