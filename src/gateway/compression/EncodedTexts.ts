/**
 * What an answer that streams texts is made of. Its types name nothing of Node, since
 * programs see them.
 *
 * @since 0.2.0
 */
import type { HttpServerRequest } from "effect/http/HttpServerRequest"
import type * as Stream from "effect/Stream"

/**
 * The body of an answer, and what it says of itself.
 *
 * @category models
 * @since 0.2.0
 */
export interface Encoded<E> {
  readonly headers: Readonly<Record<string, string>>
  readonly body: Stream.Stream<Uint8Array, E>
}

/**
 * Encodes texts for whoever sent a request. Each can be read as soon as it arrives, and
 * the next is asked for once the network has taken it.
 *
 * @category models
 * @since 0.2.0
 */
export type Encode = <E>(request: HttpServerRequest, texts: Stream.Stream<string, E>) => Encoded<E>
