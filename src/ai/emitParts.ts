/**
 * The parts of a model's response, emitted as they pass by.
 *
 * @since 0.2.0
 */
import type * as Response from "effect/ai/Response"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { EmitError } from "../emitter/EmitError.ts"
import type { Emitter } from "../emitter/Emitter.ts"
import { PartEmitter } from "./PartEmitter.ts"
import type { ResponseError } from "./ResponseError.ts"

/**
 * Emits each part of a model's response, through the emitter of the context, before it
 * passes it on unchanged. It stands right behind `LanguageModel.streamText` or
 * `Chat.streamText`, within a run.
 *
 * - The stream is pulled as its consumer pulls it, and waits where an emit waits. It fails
 *   where an emit is refused.
 * - A response that has an `error` part, or that ended without its `finish` part, looks
 *   complete to a stream. Here it fails with `ResponseError`, behind its last part. One
 *   that ended for want of tokens is complete, and says so.
 * - Where the stream fails, is interrupted, or is left by its consumer, what it began is
 *   ended: its messages are completed, its tool calls have failed. Devices are told of
 *   failures as `Emitter.DescribeFailure` says.
 * - A call that no result came of within the response stays open, for the results that a
 *   later response brings: of one that the user approves of, or that the program
 *   resolves itself.
 *
 * ```ts
 * import { Effect, Stream } from "effect"
 * import { Emitter } from "effect-emitter"
 * import { EmitterAi } from "effect-emitter/ai"
 * import { LanguageModel } from "effect/ai"
 *
 * const answer = LanguageModel.streamText({ prompt: "What are streams?" }).pipe(
 *   EmitterAi.emitParts,
 *   Stream.runDrain,
 *   Emitter.run({ agentName: "researcher" })
 * )
 * ```
 *
 * @category combinators
 * @since 0.2.0
 */
export const emitParts = <A extends Response.AnyPart, E, R>(
  self: Stream.Stream<A, E, R>
): Stream.Stream<A, E | EmitError | ResponseError, R | Emitter> =>
  Stream.unwrap(Effect.map(PartEmitter.make, (response) =>
    self.pipe(
      Stream.mapArrayEffect((parts) =>
        Effect.as(Effect.forEach(parts, (part) => response.take(part), { discard: true }), parts)
      ),
      Stream.concat(Stream.fromEffectDrain(response.end)),
      Stream.onExit((exit) => response.close(exit))
    )))
