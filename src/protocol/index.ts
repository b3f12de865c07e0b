/**
 * The words on the wire: `effect-emitter/protocol`.
 *
 * For programs that speak the protocol themselves, such as a client of their own,
 * a proxy or a test: frames and their texts, the text of an event, and a document
 * of both in AsyncAPI's form. Programs that only emit or receive events need none
 * of it. Nothing behind this entry needs Node.
 *
 * ```ts
 * import { Result } from "effect"
 * import { Frame } from "effect-emitter/protocol"
 *
 * const typeOf = (text: string) => Result.map(Frame.decodeServer(text), ({ type }) => type)
 * ```
 *
 * @since 0.1.0
 */
export * as AsyncApi from "./wire/AsyncApi.ts"
export * as Envelope from "./wire/Envelope.ts"
export * as Frame from "./wire/Frame.ts"
