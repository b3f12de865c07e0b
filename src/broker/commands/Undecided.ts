/**
 * What a broker fails with where it cannot tell what became of a command.
 *
 * @since 0.2.0
 */
import { BrokerError, BrokerUnavailable } from "../BrokerError.ts"
import type { SentCommand } from "../Broker.ts"

/**
 * The command may be done or not, and the same id tells; `why` says who did not
 * decide. It took `afterMs` milliseconds, and is the user's trouble.
 *
 * @category errors
 * @since 0.2.0
 */
export const undecided = (
  { name, run }: Pick<SentCommand, "name" | "run">,
  afterMs: number,
  why: Error
): BrokerError =>
  new BrokerError({
    reason: new BrokerUnavailable({
      operation: `command ${name} of run ${run}`,
      afterMs: Math.round(afterMs),
      cause: why,
      blame: "user"
    })
  })
