/**
 * An emitting process of a cluster under test: see `agents.ts`.
 */
import { Effect } from "effect"
import { agents } from "./agents.ts"
import { brokerLayer, runChild, settings, stepWallClock } from "./program.ts"

stepWallClock([-3_600_000, 3_600_000, -2_000, 0])

runChild(
  Effect.flatMap(settings, ({ url }) =>
    Effect.provide(
      agents(() => void process.stdout.write("ready 0\n")),
      brokerLayer(url)
    ))
)
