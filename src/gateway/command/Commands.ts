/**
 * Takes the commands of devices, by whatever transport they come, and passes them to
 * the broker.
 *
 * - **bounded**: how often they may come, how many may be open and how large they may
 *   be is limited per connection, per user and per node. What is beyond is refused, and
 *   costs nobody a connection.
 * - **independent**: a command that waits to be decided holds up nothing else. One whose
 *   device has gone is decided all the same, since whoever pressed stop and left wants
 *   the run to stop.
 * - **honest**: where the broker cannot tell what became of a command, nobody is answered.
 *   The device sends it again under the same id, and gets what was decided. A gateway that
 *   goes does not wait for what is not decided, either.
 *
 * @since 0.2.0
 */
import * as Cause from "effect/Cause"
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FiberSet from "effect/FiberSet"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type { Commands as BrokerCommands, SentCommand } from "../../broker/Broker.ts"
import * as Command from "../../protocol/command/Command.ts"
import type { UserId } from "../../protocol/values/Identity.ts"
import * as Monotonic from "../../protocol/values/Monotonic.ts"
import { Rates } from "../admission/Rates.ts"
import type { Principal } from "../authentication/Principal.ts"
import * as OperatorLog from "../OperatorLog.ts"
import type { CommandPolicy } from "./CommandPolicy.ts"
import { tooMuch } from "./DataSize.ts"
import { type ConnectionLoad, OpenCommands, type OpenLimits } from "./OpenCommands.ts"

/**
 * Limits on commands: `within` which time one has to be decided, how many bytes of
 * JSON its data may have, at what `rate` they may come, per second and as many at once,
 * and how many may be `open`.
 *
 * @category models
 * @since 0.2.0
 */
export interface Limits {
  readonly within: Duration.Duration
  readonly maxDataBytes: number
  readonly rate: { readonly perConnection: number; readonly perUser: number }
  readonly open: OpenLimits
}

/**
 * Whose command it is: `client` is what the device calls itself, `load` what its
 * connection has sent of late, if it came by one.
 *
 * @category models
 * @since 0.2.0
 */
export interface Sender {
  readonly principal: Principal
  readonly client?: string | undefined
  readonly load?: ConnectionLoad | undefined
}

/**
 * What may become of a command at a gateway: an outcome, by its reason where it was
 * refused, or `undecided`.
 *
 * @category models
 * @since 0.2.0
 */
export type Fate = "accepted" | Command.RefusedReason | "undecided"

/**
 * The commands of a gateway's devices.
 *
 * - `areTaken` tells whether the broker takes commands at all. Where it does not, each
 *   is refused as `unavailable`.
 * - `isTooOften` tells whether a command came too soon after others, and counts it.
 * - `submit` decides about a command that did not come too soon. The fiber fails with
 *   `Undecided`; interrupting who waits for it does not interrupt the command.
 * - `decided` does the same for whoever waits for the outcome. It fails soon after the
 *   goodbye where there is none yet.
 * - `refuse` counts a refusal that was decided elsewhere, and gives it.
 * - `open` and `fates` are what was counted.
 *
 * @category models
 * @since 0.2.0
 */
export interface Commands {
  readonly areTaken: boolean
  readonly isTooOften: (sender: Sender) => boolean
  readonly submit: (sender: Sender, command: Command.Request) => Fiber.Fiber<Command.Outcome, Undecided>
  readonly decided: (sender: Sender, command: Command.Request) => Effect.Effect<Command.Outcome, Undecided>
  readonly refuse: (
    reason: Command.RefusedReason,
    details: { readonly path?: string; readonly message?: string }
  ) => Command.Outcome
  readonly open: () => number
  readonly fates: () => Readonly<Record<Fate, number>>
}

/**
 * Starts to take commands. Those that are open when the scope closes are given up.
 *
 * @category constructors
 * @since 0.2.0
 */
export const make = Effect.fnUntraced(function*(options: {
  readonly commands: BrokerCommands | undefined
  readonly clock: Clock.Clock
  readonly limits: Limits
  readonly goodbye: Effect.Effect<void>
  readonly policy?: CommandPolicy["Service"] | undefined
}): Effect.fn.Return<Commands, never, Scope.Scope> {
  const { clock, commands, goodbye, limits: { maxDataBytes, open: openLimits, rate, within }, policy } = options
  const run = yield* FiberSet.makeRuntime<never, Command.Outcome, Undecided>()
  const tell = OperatorLog.make(clock)
  const rates = new Rates<UserId>(rate.perUser)
  const open = new OpenCommands(openLimits)
  const fates: Record<Fate, number> = {
    accepted: 0,
    unknownRun: 0,
    ended: 0,
    invalid: 0,
    notAllowed: 0,
    conflict: 0,
    tooMany: 0,
    unavailable: 0,
    undecided: 0
  }

  const count = (outcome: Command.Outcome): Command.Outcome => {
    fates[outcome.outcome === "accepted" ? "accepted" : outcome.reason]++
    return outcome
  }

  // Undefined where the policy has nothing against it.
  const judge = ({ principal }: Sender, command: Command.Request): Effect.Effect<Command.Outcome | undefined> => {
    if (policy === undefined) return Effect.undefined
    return Effect.suspend(() => policy.check(principal, command)).pipe(
      Effect.as(undefined),
      Effect.timeout(within),
      Effect.catchTag(
        "NotAllowed",
        ({ message }) => Effect.succeed(Command.refused("notAllowed", { message: message.slice(0, maxMessage) }))
      ),
      Effect.catchCause((cause) =>
        Cause.hasInterruptsOnly(cause) ? Effect.interrupt : Effect.as(
          tell("policy", "The policy for commands failed", (line) => Effect.logError(line, cause)),
          Command.refused("unavailable", { message: "it cannot be told at the moment whether this is allowed" })
        )
      )
    )
  }

  const pass = ({ client, principal: { userId } }: Sender, command: Command.Request) => {
    if (commands === undefined) {
      return Effect.succeed(Command.refused("unavailable", { message: "this server takes no commands" }))
    }
    const sent: SentCommand = client === undefined ? command : { ...command, client }
    return Effect.suspend(() => commands.send(userId, sent, within)).pipe(
      Effect.catchCause((cause) =>
        Cause.hasInterruptsOnly(cause) ? Effect.interrupt : Effect.andThen(
          tell("undecided", "It is not known what became of a command", (line) => Effect.logError(line, cause)),
          Effect.fail(new Undecided())
        )
      )
    )
  }

  const decide = (sender: Sender, command: Command.Request): Effect.Effect<Command.Outcome, Undecided> =>
    Effect.suspend((): Effect.Effect<Command.Outcome, Undecided> => {
      const tooLarge = tooMuch(command.data, maxDataBytes)
      if (tooLarge !== undefined) {
        return Effect.succeed(Command.refused("invalid", { path: "data", message: tooLarge }))
      }
      const { load, principal } = sender
      const full = open.open(principal.userId, load)
      if (full !== undefined) return Effect.succeed(Command.refused("tooMany", { message: full }))
      return judge(sender, command).pipe(
        Effect.flatMap((refusal) => refusal === undefined ? pass(sender, command) : Effect.succeed(refusal)),
        Effect.ensuring(Effect.sync(() => open.close(principal.userId, load)))
      )
    })

  const submit: Commands["submit"] = (sender, { data, id, name, run: runId }) =>
    run(
      decide(sender, { id, run: runId, name, ...(data === undefined ? {} : { data }) }).pipe(
        Effect.map(count),
        Effect.tapError(() => Effect.sync(() => fates.undecided++))
      )
    )
  const gone = Effect.andThen(Effect.andThen(goodbye, Effect.sleep(lastAnswerWithin)), Effect.fail(new Undecided()))

  return {
    areTaken: commands !== undefined,
    isTooOften: ({ load, principal }) => {
      const now = Monotonic.millisUnsafe(clock)
      return load?.take(rate.perConnection, now) === false || !rates.take(principal.userId, now)
    },
    submit,
    decided: (sender, command) => Effect.raceFirst(Effect.suspend(() => Fiber.join(submit(sender, command))), gone),
    refuse: (reason, details) => count(Command.refused(reason, details)),
    open: () => open.size,
    fates: () => ({ ...fates })
  }
})

/** How long after the goodbye a command may still be answered. */
const lastAnswerWithin = "500 millis"

/** How many characters of a policy's words a device is told. */
const maxMessage = 1_000

/**
 * It is not known what became of a command: it may be done or not. The same command,
 * sent again, tells.
 *
 * @category errors
 * @since 0.2.0
 */
export class Undecided extends Schema.TaggedError<Undecided>()("Undecided", {}) {
  override get message() {
    return "it is not known what became of the command: send the same again"
  }
}
