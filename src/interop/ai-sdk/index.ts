/**
 * The AI SDK: `effect-emitter/ai-sdk`, for servers.
 *
 * Pages import `effect-emitter/ai-sdk/client`. Neither loads the package `ai`.
 *
 * @since 0.2.0
 */
export * as AiSdk from "./AiSdk.ts"
export type { PartMetadata, RunMetadata, UiMessage, UiMessageChunk } from "./UiMessage.ts"
export { UiMessageStream } from "./UiMessageStream.ts"
export type { RunEvent, RunItem } from "../RunItem.ts"
