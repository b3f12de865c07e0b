/**
 * Who traces, and what an event says of the span in which it was emitted.
 *
 * @since 0.1.0
 */
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Tracer from "effect/Tracer"
import { TraceParent } from "../../protocol/values/Identity.ts"
import type { Binding } from "./Binding.ts"

/**
 * Whether somebody traces what a fiber does: tracing is enabled, and the tracer is
 * another than Effect's own, whose spans nobody sees.
 *
 * @category checks
 * @since 0.1.0
 */
export const isTraced = ({ cache: { tracer, tracerEnabled } }: Fiber.Fiber<unknown, unknown>): boolean =>
  tracerEnabled && tracer !== undefined && tracer !== Tracer.nativeTracer

/**
 * Brings a binding to the span in which it emits now. What goes with each of its
 * events is written anew only for another span.
 *
 * @category operations
 * @since 0.1.0
 */
export const followSpan = (binding: Binding): void => {
  const fiber = Fiber.getCurrent()
  const span = fiber?.cache.span
  if (span === binding.span) return
  binding.span = span
  const trace = span !== undefined && fiber !== undefined && isTraced(fiber) ? traceParentOf(span) : undefined
  if (trace === binding.trace) return
  binding.trace = trace
  binding.freePart = undefined
  binding.runPart = undefined
}

/**
 * The `traceparent` of the binding's events: what its program gave, or that of the
 * span in which it emits.
 *
 * @category getters
 * @since 0.1.0
 */
export const traceOf = ({ context, trace }: Binding): string | undefined => context.trace ?? trace

// A tracer may have ids of its own form, which no `traceparent` can carry.
const traceParentOf = ({ sampled, spanId, traceId }: Tracer.AnySpan): string | undefined =>
  Option.getOrUndefined(decodeTraceParent(`00-${traceId}-${spanId}-${sampled ? "01" : "00"}`))

const decodeTraceParent = Schema.decodeUnknownOption(TraceParent)
