/**
 * A gateway of a cluster under test, as a process of its own: see `serving.ts`.
 */
import { Effect } from "effect"
import { brokerLayer, runChild, settings, stepWallClock } from "./program.ts"
import { serving } from "./serving.ts"

// Tokens were issued a minute ago: none is of the future.
stepWallClock([-30_000, 30_000, 0])

runChild(Effect.flatMap(settings, ({ url }) => Effect.provide(serving, brokerLayer(url))))
