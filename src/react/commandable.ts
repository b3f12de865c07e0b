/**
 * Runs with what a person can ask of them.
 *
 * @since 0.2.0
 */
import type { Connection } from "../client/driver/ConnectOptions.ts"
import type { RunCommands } from "../client/driver/RunCommands.ts"
import type { Run } from "../client/driver/RunStore.ts"
import type * as Event from "../protocol/event/Event.ts"

/**
 * A run, and the commands that can be sent to it: `cancel`, `answer`, `send`. It stays
 * the same value while nothing of the run changed.
 *
 * @category models
 * @since 0.2.0
 */
export type CommandableRun = Run & RunCommands

// A run's state is a value of one store, and never changes.
const ofRuns = new WeakMap<Run, CommandableRun>()
const ofLists = new WeakMap<ReadonlyArray<Run>, ReadonlyArray<CommandableRun>>()

/**
 * The run with its commands.
 *
 * @category conversions
 * @since 0.2.0
 */
export const withCommands = (connection: Connection<Event.AnyDefinition>, run: Run): CommandableRun => {
  const known = ofRuns.get(run)
  if (known !== undefined) return known
  const { answer, cancel, send } = connection.run(run.id)
  const made = { ...run, answer, cancel, send }
  ofRuns.set(run, made)
  return made
}

/**
 * The runs with their commands.
 *
 * @category conversions
 * @since 0.2.0
 */
export const allWithCommands = (
  connection: Connection<Event.AnyDefinition>,
  runs: ReadonlyArray<Run>
): ReadonlyArray<CommandableRun> => {
  const known = ofLists.get(runs)
  if (known !== undefined) return known
  const made = runs.map((run) => withCommands(connection, run))
  ofLists.set(runs, made)
  return made
}
