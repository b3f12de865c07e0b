/**
 * Commands of a broker that has a file: what became of one is there before its device
 * is told, so that the same id gives the same outcome in the next life of the process.
 *
 * A command is written down as taken before a run is asked, since what was refused is
 * never done: where the process ended before it decided, the command may have been done,
 * and is `accepted` in its next life. What nobody had taken is refused as `ended`: the
 * runs of the process ended with it.
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
 * Where commands are remembered, by a process of which `life` names this life.
 *
 * - `recall` gives what became of a command, and has the standings of the user's runs kept until the scope closes.
 * - `remember` keeps it.
 *
 * @category models
 * @since 0.2.0
 */
export interface Memory {
  readonly life: string
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

// What is written down of a command while a run is asked, in a life of the process.
const takenIn = (life: string): string => `taken ${life}`

const outcomeOf = (remembered: string): Command.Outcome =>
  remembered.startsWith(takenIn("")) ? Command.accepted : decode(remembered)

/**
 * Writes down that a command is taken; `false` where it cannot be, and nobody may be
 * asked.
 *
 * @category operations
 * @since 0.2.0
 */
export const taking = ({ life, remember }: Memory) => (user: UserId, command: SentCommand): Effect.Effect<boolean> =>
  Effect.match(remember(user, command.id, { digest: digestOf(command), outcome: takenIn(life) }), {
    onSuccess: () => true,
    onFailure: () => false
  })

/**
 * Makes commands that are remembered of such that are not, and that are written down
 * by `taking` before anybody is asked.
 *
 * @category constructors
 * @since 0.2.0
 */
export const make = (commands: Commands, memory: Memory): Effect.Effect<Commands, never, Scope.Scope> =>
  Effect.map(Effect.scope, (scope): Commands => {
    const takenHere = takenIn(memory.life)
    const decide = (
      user: UserId,
      command: SentCommand,
      within: Duration.Duration
    ): Effect.Effect<Command.Outcome, BrokerError> =>
      Effect.gen(function*() {
        const digest = digestOf(command)
        const known = yield* memory.recall(user, command.id)
        // Of what is being decided in this life, those who decide it know.
        if (known !== undefined && known.outcome !== takenHere) {
          return known.digest === digest ? outcomeOf(known.outcome) : Command.refused("conflict")
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
