/**
 * The answer to a request that streams texts: in gzip where its client takes that, and
 * as they are where it does not.
 *
 * @since 0.2.0
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { Compressor } from "./Compressor.ts"
import type { Encode } from "./EncodedTexts.ts"
import * as GzipStream from "./GzipStream.ts"

/**
 * Encodes texts by the rules of a compressor.
 *
 * @category constructors
 * @since 0.2.0
 */
export const encodeBy = (compressor: Compressor): Encode => (request, texts) =>
  GzipStream.isAccepted(request.headers["accept-encoding"])
    ? { headers: { ...GzipStream.headers, ...GzipStream.variesWith(undefined) }, body: gzip(compressor, texts) }
    : { headers: GzipStream.variesWith(undefined), body: Stream.encodeText(texts) }

const gzip = <E>(compressor: Compressor, texts: Stream.Stream<string, E>): Stream.Stream<Uint8Array, E> =>
  Stream.unwrap(Effect.map(open(compressor), ({ stream, taken }) => {
    const send = (text: string) =>
      Effect.callback<Uint8Array>((resume) => {
        stream.send(text)
        stream.whenIdle(() => resume(Effect.sync(taken)))
      })
    const end = Effect.callback<Uint8Array>((resume) => stream.finish(() => resume(Effect.sync(taken))))
    return Stream.mapEffect(texts, send).pipe(
      Stream.concat(Stream.fromEffect(end)),
      Stream.filter(({ length }) => length > 0)
    )
  }))

const open = (compressor: Compressor) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      let written: Array<Buffer> = []
      const taken = (): Uint8Array => {
        const all = Buffer.concat(written)
        written = []
        return all
      }
      return { stream: new GzipStream.GzipStream(compressor, (bytes) => void written.push(bytes)), taken }
    }),
    ({ stream }) => Effect.sync(() => stream.end())
  )
