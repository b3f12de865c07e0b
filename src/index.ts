/**
 * Delivers the events of an AI agent's run to one user's devices.
 *
 * @since 0.1.0
 */
export * as Broker from "./broker/index.ts"
export * as Emitter from "./emitter/Emitter.ts"
export { Emitters } from "./emitter/Emitter.ts"
export * as CircuitBreaker from "./emitter/resilience/CircuitBreaker.ts"
export { DeadLetters } from "./emitter/fallback/DeadLetters.ts"
export type {
  DeadLetter,
  Reason as DeadLetterReason,
  Replayed as DeadLettersReplayed,
  Selection as DeadLetterSelection,
  Size as DeadLettersSize,
  Trigger as DeadLetterTrigger
} from "./emitter/fallback/DeadLetters.ts"
export * as EmitterConfig from "./emitter/EmitterConfig.ts"
export { EmitterLayer } from "./emitter/EmitterLayer.ts"
export * as EmitterPool from "./emitter/EmitterPool.ts"
export * as FallbackChannel from "./emitter/fallback/FallbackChannel.ts"
export * as Notifier from "./emitter/fallback/Notifier.ts"
export * as OperatorAlert from "./emitter/observe/OperatorAlert.ts"
export * as Spool from "./emitter/fallback/Spool.ts"
export * as Webhook from "./emitter/fallback/Webhook.ts"
export * as AgentEvents from "./protocol/AgentEvents.ts"
export * as AsyncApi from "./protocol/AsyncApi.ts"
export * as CloseCode from "./protocol/CloseCode.ts"
export * as Envelope from "./protocol/Envelope.ts"
export * as Event from "./protocol/Event.ts"
export * as Frame from "./protocol/Frame.ts"
export * as Identity from "./protocol/Identity.ts"
export * as Names from "./protocol/Names.ts"
export * as Position from "./protocol/Position.ts"
export * as RunSnapshot from "./protocol/RunSnapshot.ts"
export * as RunState from "./protocol/RunState.ts"
