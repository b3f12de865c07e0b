/**
 * The one process of a service under test that keeps its logs in a file: agents, and the gateway of their devices.
 */
import { Config, Effect } from "effect"
import { SqliteBroker } from "../../src/broker/sqlite/index.ts"
import { agents } from "./agents.ts"
import { runChild, stepWallClock } from "./program.ts"
import { serving } from "./serving.ts"
import { options } from "./settings.ts"

// Tokens were issued a minute ago: none is of the future.
stepWallClock([-30_000, 30_000, 0])

const { deadline, maxBytes, maxEvents } = options

runChild(
  Effect.flatMap(
    Config.String("LOG_FILE"),
    (file) =>
      Effect.all([agents(() => {}), serving], { concurrency: "unbounded" }).pipe(
        Effect.provide(SqliteBroker.layer({ file, deadline, maxBytes, maxEvents }))
      )
  )
)
