/**
 * Commands of a broker that has a file: what became of one is there before its device
 * is told, so that the same id gives the same outcome in the next life of the process.
 *
 * What the process was asked and did not decide before it ended is refused as `ended`:
 * its runs ended with it.
 *
 * @since 0.2.0
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Command from "../../protocol/command/Command.ts"
import type { UserId } from "../../protocol/values/Identity.ts"
import type { Commands, SentCommand } from "../Broker.ts"
import type { BrokerError } from "../BrokerError.ts"
import { dataBytes, digestOf } from "../commands/CommandDigest.ts"
import * as CommandLimits from "../commands/CommandLimits.ts"

/**
 * What became of a command, as it was remembered.
 *
 * @category models
 * @since 0.2.0
 */
export interface Remembered {
  readonly digest: string
  readonly outcome: string
}

/**
 * Where commands are remembered.
 *
 * - `recall` gives what became of a command, and has the standings of the user's runs kept until the scope closes.
 * - `remember` keeps it.
 *
 * @category models
 * @since 0.2.0
 */
export interface Memory {
  readonly recall: (
    user: UserId,
    id: Command.CommandId
  ) => Effect.Effect<Remembered | undefined, BrokerError, Scope.Scope>
  readonly remember: (user: UserId, id: Command.CommandId, remembered: Remembered) => Effect.Effect<void, BrokerError>
}

const encode = Schema.encodeSync(Schema.fromJsonString(Command.Outcome))
const decode = Schema.decodeSync(Schema.fromJsonString(Command.Outcome))

// What was not taken is not remembered, and what is remembered of another command stays.
const isRemembered = (outcome: Command.Outcome): boolean =>
  outcome.outcome === "accepted" || (outcome.reason !== "tooMany" && outcome.reason !== "conflict")

/**
 * Makes commands that are remembered of such that are not.
 *
 * @category constructors
 * @since 0.2.0
 */
export const make = (commands: Commands, memory: Memory): Effect.Effect<Commands, never, Scope.Scope> =>
  Effect.map(Effect.scope, (scope): Commands => {
    const decide = (
      user: UserId,
      command: SentCommand,
      within: Duration.Duration
    ): Effect.Effect<Command.Outcome, BrokerError> =>
      Effect.gen(function*() {
        const digest = digestOf(command)
        const known = yield* memory.recall(user, command.id)
        if (known !== undefined) {
          return known.digest === digest ? decode(known.outcome) : Command.refused("conflict")
        }
        const outcome = yield* commands.send(user, command, within)
        if (isRemembered(outcome)) yield* memory.remember(user, command.id, { digest, outcome: encode(outcome) })
        return outcome
      }).pipe(Effect.scoped)
    return {
      receive: commands.receive,
      send: (user, command, within) => {
        const refusal = CommandLimits.refusalOfData(dataBytes(command))
        if (refusal !== undefined) return Effect.succeed(refusal)
        // Whoever sends may go: the command is decided, and remembered, all the same.
        return decide(user, command, within).pipe(
          Effect.forkIn(scope, { startImmediately: true }),
          Effect.flatMap(Fiber.join)
        )
      }
    }
  })
