/**
 * What a page does over HTTP where it gets no WebSocket: it asks why, and reads
 * server-sent events. Most pages get one, so this is loaded by those that do not.
 *
 * @since 0.2.0
 */
export { ask } from "./Diagnosis.ts"
export { openSse } from "./SseTransport.ts"
