/**
 * What `npm run start:cluster` can be told.
 */
import { Effect } from "effect"
import * as Options from "../settings/Options.ts"

/** Where the processes keep their logs. */
export type Broker = "redis" | "postgres"

const script = "start:cluster"

/** What `--help` says. */
export const help =
  `Runs the demo on several processes: two gateways, a worker, a load balancer, and a server of its own for their logs.

  npm run start:cluster -- [options]

  --broker s  redis or postgres (redis): which must be installed
  --help      this text

PORT is the port that the page is at (4321). DEMO_PACE is how many times as fast as a reader the agent goes (1).
`

/** The broker, or nothing where help is asked for. */
export const read: Effect.Effect<Broker | undefined, Options.WrongOption> = Effect.suspend(() =>
  Options.read(script, { broker: { type: "string", default: "redis" } })
).pipe(Effect.flatMap(({ broker, help }) => {
  if (help) return Effect.succeed(undefined)
  return broker === "redis" || broker === "postgres"
    ? Effect.succeed(broker)
    : Effect.fail(new Options.WrongOption({ problem: `--broker must be redis or postgres, not "${broker}"`, script }))
}))
