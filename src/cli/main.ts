#!/usr/bin/env node
/**
 * `npx effect-emitter`: see `program.ts`.
 *
 * @since 0.2.0
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Effect from "effect/Effect"
import * as Runtime from "effect/Runtime"
import { readFileSync } from "node:fs"
import { run } from "./program.ts"

const readVersion = Effect.sync((): string =>
  JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")).version
)

// What was said is written out first; what a connection that was given up has left to wait for is not waited for.
const teardown: Runtime.Teardown = (exit, onExit) =>
  Runtime.defaultTeardown(exit, (code) => {
    onExit(code)
    process.stdout.write("", () => process.exit(code))
  })

// Whatever is still at work then is left behind: a broker that is frozen may hold up what closes.
const grace = "3 seconds"
const leave = () => process.exit(130)
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, () => {
    Effect.runFork(Effect.andThen(Effect.sleep(grace), Effect.sync(leave)))
    process.once(signal, leave)
  })
}

// Nobody reads on, as behind a pipe into `head`. There is nobody to tell, and nothing more to do.
process.stdout.on("error", ({ code }: NodeJS.ErrnoException) => {
  if (code === "EPIPE") leave()
})

readVersion.pipe(
  Effect.flatMap((version) => run(process.argv.slice(2), version)),
  NodeRuntime.runMain({ disableErrorReporting: true, teardown })
)
