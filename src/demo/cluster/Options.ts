/**
 * What `npm run start:cluster` can be told.
 */
import { Effect, Schema } from "effect"
import { parseArgs } from "node:util"

/** Where the processes keep their logs. */
export type Broker = "redis" | "postgres"

/** An option is none that there is, or has a value that it cannot have. */
export class WrongOption extends Schema.TaggedError<WrongOption>()("WrongOption", { problem: Schema.String }) {
  override get message() {
    return `${this.problem} (npm run start:cluster -- --help tells the options)`
  }
}

/** What `--help` says. */
export const help =
  `Runs the demo on several processes: two gateways, a worker, a load balancer, and a server of its own for their logs.

  npm run start:cluster -- [options]

  --broker s  redis or postgres (redis): which must be installed

PORT is the port that the page is at (4321).
`

/** The broker, or nothing where help is asked for. */
export const read = (args: ReadonlyArray<string>): Effect.Effect<Broker | undefined, WrongOption> =>
  Effect.try({
    try: () =>
      parseArgs({
        args: [...args],
        options: { broker: { type: "string", default: "redis" }, help: { type: "boolean", short: "h", default: false } }
      }).values,
    catch: (error) => new WrongOption({ problem: error instanceof Error ? error.message : String(error) })
  }).pipe(Effect.flatMap(({ broker, help }) => {
    if (help) return Effect.succeed(undefined)
    return broker === "redis" || broker === "postgres"
      ? Effect.succeed(broker)
      : Effect.fail(new WrongOption({ problem: `--broker must be redis or postgres, not "${broker}"` }))
  }))
