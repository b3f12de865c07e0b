/**
 * Decides about the commands of devices, where their runs are.
 *
 * Each decision is one step without a wait: what is accepted is done, or is in the
 * hands of the run, before the outcome is given. So a command and the end of its run
 * have an order, and a command is never half done.
 *
 * @since 0.2.0
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import type { Broker, CommandReceiver, SentCommand } from "../../broker/Broker.ts"
import * as Command from "../../protocol/command/Command.ts"
import type { RunId, UserId } from "../../protocol/values/Identity.ts"
import * as Names from "../../protocol/values/Names.ts"
import type { RunRecord, RunRegistry } from "../user/RunRegistry.ts"

/**
 * What the commands of a layer's runs are decided with. `cancelTimeout` is how long a
 * cancelled run has until it is ended in its stead, by a fiber of `scope`.
 *
 * @category models
 * @since 0.2.0
 */
export interface Parts {
  readonly runsOf: (user: UserId) => RunRegistry | undefined
  readonly broker: Pick<Broker["Service"], "commands" | "snapshots">
  readonly cancelTimeout: Duration.Duration
  readonly scope: Scope.Scope
}

/**
 * Makes the receiver of a layer. It takes:
 *
 * - `cancel`: the run's fiber is interrupted, and those of the runs within it, on
 *   whatever fiber they are; runs within it that other processes have are sent the
 *   same. A run that is being cancelled takes it again.
 * - whatever else the run has a taker for.
 *
 * @category constructors
 * @since 0.2.0
 */
export const make = (parts: Parts): CommandReceiver => {
  const cancel = (user: UserId, runs: RunRegistry, run: RunRecord, { run: runId }: SentCommand): Effect.Effect<void> =>
    Effect.suspend(() => {
      // One that only its program has interrupted may not stop by that.
      if (run.cancelledBy === "user") return Effect.void
      const ending = runs.cancelRun(run, "user").map((record) => [record, record.start] as const)
      // A run that ended meanwhile, or one that began under its name, is left alone.
      const endLeft = Effect.sync(() => {
        for (const [record, start] of ending) if (start !== undefined && record.start === start) start.cancel?.()
      })
      return Effect.andThen(
        Effect.forkIn(Effect.delay(endLeft, parts.cancelTimeout), parts.scope),
        Effect.asVoid(Effect.forkIn(cancelElsewhere(parts, user, runs, runId), parts.scope))
      )
    })

  return (user, command) =>
    Effect.suspend((): Effect.Effect<Command.Outcome | undefined> => {
      const runs = parts.runsOf(user)
      const run = runs?.find(command.run)
      if (runs === undefined || run === undefined || run.state._tag === "Idle") return Effect.succeed(undefined)
      if (run.state._tag === "Ended") {
        // One that was lost here may go on elsewhere; of one that has ended the broker knows.
        return Effect.succeed(run.state.outcome === "lost" ? undefined : Command.refused("ended"))
      }
      if (!run.isConducted) return Effect.succeed(nobodys)
      if (command.name !== "cancel") return Effect.succeed(take(run, command))
      return run.isCancellable
        ? Effect.as(cancel(user, runs, run, command), Command.accepted)
        : Effect.succeed(protectedRun)
    })
}

const nobodys = Command.refused("notAllowed", { message: "The run was begun by plain events, and takes no commands" })

const protectedRun = Command.refused("notAllowed", { message: "The run cannot be cancelled" })

const take = (run: RunRecord, { client, data, name }: SentCommand): Command.Outcome => {
  // Who is cancelled has nothing to do with it any more.
  if (run.isStopped) return Command.refused("ended", { message: "The run is being cancelled" })
  const taker = run.takers?.get(name)
  if (taker !== undefined) return taker.take(data, client)
  return name === "answer"
    ? Command.refused("ended", { message: "No request of the run is open" })
    : Command.refused("invalid", { path: "name", message: `The run takes no command named "${name}"` })
}

// Runs of other processes that began within this one are known by the log.
const cancelElsewhere = (parts: Parts, user: UserId, runs: RunRegistry, run: RunId): Effect.Effect<void> => {
  const { broker: { commands, snapshots }, cancelTimeout } = parts
  if (commands === undefined) return Effect.void
  return Effect.gen(function*() {
    const { snapshots: states } = yield* snapshots(user)
    const parents = new Map<string, string | undefined>(states.map(({ run, state }) => [run, state.parentRunId]))
    const elsewhere = states.filter(({ run: other, state }) =>
      state.status === "active" && other !== run && !runs.isActive(other) && isWithin(parents, other, run)
    )
    yield* Effect.forEach(elsewhere, ({ run }) =>
      Effect.flatMap(Names.next, (name) => {
        const command: SentCommand = { id: Command.CommandId.make(`cancel-${name}`), run, name: "cancel" }
        return commands.send(user, command, cancelTimeout)
      }), { concurrency: "unbounded", discard: true })
  }).pipe(
    Effect.retry({ schedule: Schedule.spaced("1 second"), times: 10 }),
    Effect.catchCause((cause) =>
      Effect.logWarning(`Runs within run ${run} of user ${user} that other processes have may not be cancelled`, cause)
    )
  )
}

// What devices are told of parents comes from programs, and may go round in a circle.
const isWithin = (parents: ReadonlyMap<string, string | undefined>, run: RunId, ancestor: RunId): boolean => {
  const seen = new Set<string>()
  for (let parent = parents.get(run); parent !== undefined; parent = parents.get(parent)) {
    if (parent === ancestor) return true
    if (seen.has(parent)) return false
    seen.add(parent)
  }
  return false
}
