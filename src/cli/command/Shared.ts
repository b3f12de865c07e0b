/**
 * What the commands of the command line share: the flag `--json`, arguments, and the
 * broker of the environment.
 *
 * @since 0.2.0
 */
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { Broker } from "../../broker/Broker.ts"
import { BrokerError } from "../../broker/BrokerError.ts"
import type { ConfigError } from "../../protocol/settings/ConfigError.ts"
import { RunId, UserId } from "../../protocol/values/Identity.ts"
import * as Backends from "../backend/Backends.ts"
import { type Failed, ofBroker } from "../output/Failed.ts"
import * as Out from "../output/Out.ts"

/**
 * The program without its commands.
 *
 * @category constructors
 * @since 0.2.0
 */
export const root = Command.make("effect-emitter").pipe(
  Command.withSharedFlags({
    json: Flag.Boolean("json").pipe(
      Flag.withDescription("Write JSON, one value a line, instead of lines for people"),
      Flag.withDefault(false)
    )
  }),
  Command.withDescription(
    "Looks after effect-emitter: what is wrong, what is in a user's log, what became of an event. " +
      "It reads the same environment variables as your processes (REDIS_URL, …). " +
      "It ends with 0 where all is well, 1 where there is a fault or the answer is no, 2 when it was called wrongly, " +
      "3 while the broker is away, and 130 when it was interrupted."
  )
)

/**
 * How to write what a command says.
 *
 * @category getters
 * @since 0.2.0
 */
export const out = Effect.flatMap(root, ({ json }) => Out.make(json))

/**
 * The argument USER.
 *
 * @category constructors
 * @since 0.2.0
 */
export const user = Argument.String("user").pipe(
  Argument.withDescription("The id of the user"),
  Argument.withSchema(UserId)
)

/**
 * The argument RUN.
 *
 * @category constructors
 * @since 0.2.0
 */
export const run = Argument.String("run").pipe(
  Argument.withDescription("The id of the run"),
  Argument.withSchema(RunId)
)

/**
 * The flag that tells whose something is.
 *
 * @category constructors
 * @since 0.2.0
 */
export const ofUser = Flag.String("user").pipe(
  Flag.withAlias("u"),
  Flag.withDescription("Whose it is; without it all users of the broker are looked through"),
  Flag.withSchema(UserId),
  Flag.optional
)

/**
 * Gives an effect the broker of the environment, once that answers for a user, and
 * tells what a failure of the broker means here.
 *
 * @category operations
 * @since 0.2.0
 */
export const withBroker = <A, R>(
  user: UserId,
  effect: Effect.Effect<A, BrokerError | ConfigError | Failed, R>
): Effect.Effect<A, ConfigError | Failed, Exclude<R, Broker>> =>
  Effect.flatMap(
    Backends.current,
    ({ layer }) =>
      Effect.flatMap(Broker, ({ head }) => Effect.retry(head(user), patience)).pipe(
        Effect.andThen(effect),
        Effect.mapError((error) => error instanceof BrokerError ? ofBroker(error) : error),
        Effect.provide(layer)
      )
  )

// A connection may take a while; a broker that is away is not waited for much longer.
const patience = {
  while: ({ reason }: BrokerError) => reason._tag === "BrokerUnavailable",
  schedule: Schedule.spaced("250 millis"),
  times: 12
}
