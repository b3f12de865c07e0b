/**
 * The AI SDK: `effect-emitter/ai-sdk/client`, for pages. It loads neither Effect nor the
 * package `ai`.
 *
 * @since 0.2.0
 */
export { type ChatOptions, EmitterChatTransport, type SendOptions, type SendRequest } from "./EmitterChatTransport.ts"
export type { GivenHeaders } from "../RunRequest.ts"
export type { PartMetadata, RunMetadata, UiMessage, UiMessageChunk } from "./UiMessage.ts"
