/**
 * Emits the events by which runs and tool calls tell how they ended. The program
 * keeps its result whatever happens here: an event that cannot be emitted is counted
 * and logged, and nothing fails.
 *
 * @since 0.1.0
 */
import type * as Cause from "effect/Cause"
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { Acceptor } from "../accept/Acceptor.ts"
import { type Binding, runOf } from "../accept/Binding.ts"
import type { EmitError } from "../EmitError.ts"
import { RunCounters } from "../observe/Counters.ts"
import * as Failure from "./Failure.ts"

/**
 * What the runs and tool calls of a layer tell themselves with. `spans` says
 * whether runs are spans where somebody traces.
 *
 * @category models
 * @since 0.1.0
 */
export class Reporter {
  readonly counters = new RunCounters()
  readonly acceptor: Acceptor
  readonly clock: Clock.Clock
  readonly spans: boolean

  constructor(acceptor: Acceptor, clock: Clock.Clock, spans: boolean) {
    this.acceptor = acceptor
    this.clock = clock
    this.spans = spans
  }

  /** Tells, while the run is active. */
  report(binding: Binding, what: string, emission: Effect.Effect<unknown, EmitError>): Effect.Effect<void> {
    return Effect.suspend(() => isActive(binding) ? Effect.asVoid(emission) : Effect.void).pipe(
      Effect.catchCause((cause) => this.unreported(`No event tells ${what} of ${where(binding)}`, cause))
    )
  }

  /** Counts and logs what no event tells. */
  unreported(message: string, cause: unknown): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.counters.unreported++
      return Effect.logWarning(message, cause)
    })
  }
}

/**
 * Whether the binding's run is active. It is not where the program or a closing layer
 * has ended it already, and that ending stands.
 *
 * @category getters
 * @since 0.1.0
 */
export const isActive = (binding: Binding): boolean => runOf(binding)?.state._tag === "Active"

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
