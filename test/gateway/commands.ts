/**
 * A broker that takes commands, without runs: what a test says of a command becomes of it.
 */
import { Clock, Duration, Effect, Layer } from "effect"
import * as Broker from "../../src/broker/index.ts"
import * as Command from "../../src/protocol/command/Command.ts"
import type { UserId } from "../../src/protocol/values/Identity.ts"
import * as Commands from "../../src/gateway/command/Commands.ts"

type Sent = Broker.SentCommand & { readonly user: UserId }

/** What becomes of a command. */
export type Decide = (command: Sent) => Effect.Effect<Command.Outcome, Broker.BrokerError>

/** Each run is of one user, by its name: `ada-1` is ada's. A run `<user>-ended` has ended. */
const byName: Decide = ({ run, user }) => {
  const [owner, which] = run.split("-")
  if (owner !== user) return Effect.succeed(Command.refused("unknownRun"))
  return Effect.succeed(which === "ended" ? Command.refused("ended") : Command.accepted)
}

const textOf = ({ data, name, run }: Command.Request) => JSON.stringify([run, name, data])

/** Commands that are decided once for each id. `sent` is what came, repetitions included. */
export class CommandsDouble implements Broker.Commands {
  readonly sent: Array<Sent> = []
  readonly done: Array<Sent> = []
  decide: Decide = byName
  private readonly decided = new Map<string, { readonly text: string; readonly outcome: Command.Outcome }>()

  readonly send = (user: UserId, command: Broker.SentCommand, within: Duration.Duration) =>
    Effect.suspend((): Effect.Effect<Command.Outcome, Broker.BrokerError> => {
      const sent = { ...command, user }
      const key = `${user} ${command.id}`
      this.sent.push(sent)
      const before = this.decided.get(key)
      if (before !== undefined) {
        return Effect.succeed(before.text === textOf(command) ? before.outcome : Command.refused("conflict"))
      }
      return Effect.map(
        Effect.timeoutOrElse(this.decide(sent), {
          duration: within,
          orElse: () => Effect.succeed(Command.refused("unavailable"))
        }),
        (outcome) => {
          this.decided.set(key, { text: textOf(command), outcome })
          if (outcome.outcome === "accepted") this.done.push(sent)
          return outcome
        }
      )
    })

  readonly receive = () => Effect.never
}

/** The memory broker, with commands of a test's own. */
export const layer = (commands: Broker.Commands | undefined): Layer.Layer<Broker.Broker> =>
  Layer.effect(
    Broker.Broker,
    Effect.map(Broker.Broker, ({ commands: _, ...broker }) => commands === undefined ? broker : { ...broker, commands })
  ).pipe(Layer.provide(Layer.orDie(Broker.layerMemory())))

/** The gateway's part, over the commands of a broker, if it has any. */
export const makeCommands = (
  commands?: Broker.Commands,
  limits: Partial<Commands.Limits> = {}
) =>
  Effect.flatMap(Clock.Clock, (clock) =>
    Commands.make({
      goodbye: Effect.never,
      commands,
      clock,
      limits: {
        within: Duration.seconds(5),
        maxDataBytes: Command.maxDataBytes,
        rate: { perConnection: 10, perUser: 20 },
        open: { perConnection: 16, perUser: 64, perNode: 4_096 },
        ...limits
      }
    }))
