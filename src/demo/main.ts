/**
 * Runs the demo: `npm start`. It builds the page, serves it, and says where. Ctrl-C stops it.
 */
import { Console, Effect } from "effect"
import * as DemoConfig from "./settings/DemoConfig.ts"
import * as Options from "./settings/Options.ts"
import { runProgram } from "./process/program.ts"

const help =
  `Runs the demo: an agent's runs, on a page in the browser. Ctrl-C stops it; the next start shows the runs of before.

  npm start -- [--help]

PORT is the port that the page is at (4321). DEMO_LOG is the file that keeps the log, or "memory"
(.tmp/demo/events-<port>.db). DEMO_PACE is how many times as fast as a reader the agent goes (1). OPENAI_BASE_URL, OPENAI_MODEL and OPENAI_API_KEY name a model that answers (a small one of the
demo's own).
`

const program = Effect.gen(function*() {
  if ((yield* Options.read("start", {})).help) return yield* Console.log(help)
  const port = yield* DemoConfig.port
  // Most of what the demo is made of is loaded here, once it is clear that it can start.
  const { demo } = yield* Effect.promise(() => import("./demo.ts"))
  return yield* demo(port)
})

// How long stopping may take, with runs to end and devices to say goodbye to.
runProgram(program, { stopWithinMs: 8_000 })
