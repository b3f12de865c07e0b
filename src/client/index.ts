/**
 * What browsers and other devices import: `effect-emitter/client`.
 *
 * `Client` is for Effect programs, `connect` for all others. Both run in
 * browsers and in Node 22 and later, on the built-in WebSocket.
 *
 * @since 0.1.0
 */
// First: then all that a page loads stands together in its bundle, and compresses better.
export { connect } from "./connect.ts"
export * as Client from "./Client.ts"
export type { Connection, ConnectOptions, Token } from "./driver/ConnectOptions.ts"
export type {
  Channel,
  ChannelConstructor,
  Fetch,
  Locks,
  Platform,
  Socket,
  SocketConstructor
} from "./transport/Platform.ts"
export type { AnyEvent, EventMeta, KnownEvent, TypedEvent, UnknownEvent } from "./driver/TypedEvent.ts"
export { type AskOptions, CommandError, type NoAnswer, type RunCommands } from "./driver/RunCommands.ts"
export type { Run, RunHandle, RunList, Runs } from "./driver/RunStore.ts"
export * as PositionStorage from "./driver/PositionStorage.ts"
export type { Backoff } from "./session/Reconnect.ts"
export type { Gap, Snapshot, TokenAnswer } from "./session/SessionIO.ts"
export type { Loss, Status, StatusStore, StopReason } from "./session/Status.ts"
export { statusMessage } from "./session/StatusMessage.ts"
export type { TransportName, Transports } from "./transport/Transports.ts"
