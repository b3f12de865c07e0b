/**
 * What the commands of the command line share: the flag `--json`, arguments, and the
 * broker of the environment.
 *
 * @since 0.2.0
 */
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { Broker } from "../../broker/Broker.ts"
import { BrokerError } from "../../broker/BrokerError.ts"
import type { ConfigError } from "../../protocol/settings/ConfigError.ts"
import { RunId, UserId } from "../../protocol/values/Identity.ts"
import * as Backends from "../backend/Backends.ts"
import { type Failed, ofBroker } from "../output/Failed.ts"
import * as Out from "../output/Out.ts"

/**
 * Describes a flag, and says what holds without it.
 *
 * @category combinators
 * @since 0.2.0
 */
export const told = (description: string, without: string): <A>(flag: Flag.Flag<A>) => Flag.Flag<A> =>
  Flag.withDescription(`${description} (default: ${without})`)

/**
 * The program without its commands.
 *
 * @category constructors
 * @since 0.2.0
 */
export const root = Command.make("effect-emitter").pipe(
  Command.withSharedFlags({
    json: Flag.Boolean("json").pipe(
      told("Write JSON, one value a line, instead of lines for people", "no"),
      Flag.withDefault(false)
    )
  }),
  Command.withDescription(
    "Looks after effect-emitter: what is wrong, what is in a user's log, what became of an event. " +
      "It reads the same environment variables as your processes (REDIS_URL, …)."
  ),
  Command.withExamples([
    { command: "REDIS_URL=redis://127.0.0.1:6379 effect-emitter doctor", description: "What is wrong with a set-up" },
    { command: "effect-emitter tail --help", description: "What a command can be told" }
  ])
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
  told("Whose it is", "all users of the broker are looked through"),
  Flag.withSchema(UserId),
  Flag.optional
)

const Path = Schema.String.check(
  Schema.makeFilter((path: string) =>
    /^[a-z][\w+.-]*:\/\//iu.test(path) ? "the path of a file, not an address" : undefined
  )
)

/**
 * The flag that names the file of a spool.
 *
 * @category constructors
 * @since 0.2.0
 */
export const spool = (without: string) =>
  Flag.String("spool").pipe(
    Flag.withMetavar("FILE"),
    told("The file of a spool, as Spool.sqlite has it, to be looked at as well", without),
    Flag.withSchema(Path),
    Flag.optional
  )

/**
 * Gives an effect the broker of the environment, once that answers for a user, and
 * tells what a failure of the broker means here. `unfinished` tells what is not known
 * where the effect is interrupted; an effect that tells it by itself has none.
 *
 * @category operations
 * @since 0.2.0
 */
export const withBroker = <A, R>(
  user: UserId,
  effect: Effect.Effect<A, BrokerError | ConfigError | Failed, R>,
  unfinished?: string
): Effect.Effect<A, ConfigError | Failed, Exclude<Exclude<R, Broker>, Scope.Scope>> =>
  Effect.flatMap(Backends.current, ({ layer }) =>
    Effect.suspend(() => {
      let hasAnswered = false
      const asked = Effect.flatMap(Broker, ({ head }) => Effect.retry(head(user), patience)).pipe(
        Effect.andThen(Effect.sync(() => hasAnswered = true)),
        Effect.andThen(effect)
      )
      return Layer.build(layer).pipe(
        Effect.flatMap((context) => Effect.provide(asked, context)),
        Effect.mapError((error) => error instanceof BrokerError ? ofBroker(error) : error),
        // Told before anything closes, which a broker that is frozen may hold up.
        Effect.onInterrupt(() => {
          const why = hasAnswered ? unfinished : "the broker did not answer until then"
          return why === undefined ? Effect.void : Console.error(`interrupted: ${why}`)
        })
      )
    }).pipe(Effect.scoped))

// A connection may take a while; a broker that is away is not waited for much longer.
const patience = {
  while: ({ reason }: BrokerError) => reason._tag === "BrokerUnavailable",
  schedule: Schedule.upTo(Schedule.spaced("250 millis"), { duration: "3 seconds" })
}
