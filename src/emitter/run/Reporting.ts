/**
 * How a run and a tool tell what became of them. What the program computed
 * stands: an event that cannot be emitted is counted and logged, and nothing
 * fails for it.
 *
 * @since 0.1.0
 */
import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type { Binding } from "../accept/Binding.ts"
import type { EmitError } from "../EmitError.ts"
import * as Failure from "./Failure.ts"

/**
 * Whether the binding's run is active. Its program may have ended it itself, and
 * a closing engine ends runs too: then that ending stands.
 *
 * @category getters
 * @since 0.1.0
 */
export const isActive = ({ context: { runId }, outbox }: Binding): boolean =>
  runId !== undefined && outbox.run(runId).state._tag === "Active"

/**
 * Tells, while the run is active.
 *
 * @category operations
 * @since 0.1.0
 */
export const report = (
  binding: Binding,
  what: string,
  emission: Effect.Effect<unknown, EmitError>
): Effect.Effect<void> =>
  Effect.suspend(() => isActive(binding) ? Effect.asVoid(emission) : Effect.void).pipe(
    Effect.catchCause((cause) => {
      binding.engine.counters.unreported++
      return Effect.logWarning(`No event tells ${what} of ${where(binding)}`, cause)
    })
  )

/**
 * Gives what a function of the program gives, or what is given instead where it
 * throws.
 *
 * @category operations
 * @since 0.1.0
 */
export const ask = <A, B>(binding: Binding, name: string, give: () => A, instead: B): Effect.Effect<A | B> =>
  Effect.suspend(() => Effect.succeed(give())).pipe(
    Effect.catchCause((cause) =>
      Effect.as(Effect.logError(`"${name}" of ${where(binding)} has thrown`, cause), instead)
    )
  )

/**
 * What devices are told of a failure, by `describe` or the program's
 * `DescribeFailure`.
 *
 * @category operations
 * @since 0.1.0
 */
export const describe = <E>(
  binding: Binding,
  what: "run" | "tool",
  own: ((cause: Cause.Cause<E>) => string | undefined) | undefined,
  cause: Cause.Cause<E>
): Effect.Effect<string> =>
  Effect.flatMap(Failure.DescribeFailure, (ofProgram) => {
    const plain = Failure.plainMessage(what, cause)
    return ask(binding, "describe", () => Failure.shortened(own?.(cause) ?? ofProgram(cause) ?? plain), plain)
  })

const where = ({ context: { runId, userId } }: Binding): string => `run ${runId} of user ${userId}`
