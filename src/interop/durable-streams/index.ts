/**
 * The Durable Streams protocol: `effect-emitter/durable-streams`, for servers.
 *
 * @since 0.2.0
 */
export * as DurableStreams from "./DurableStreams.ts"
