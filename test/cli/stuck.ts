/** A process of the command line whose work never closes what it has open, as when a broker is frozen for good. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Console, Effect } from "effect"
import * as Leave from "../../src/cli/leave.ts"

Leave.inTime()

Console.log("at work").pipe(
  Effect.andThen(Effect.never),
  Effect.onInterrupt(() => Effect.andThen(Console.log("closing"), Effect.never)),
  NodeRuntime.runMain({ disableErrorReporting: true, teardown: Leave.teardown })
)
