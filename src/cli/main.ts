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

readVersion.pipe(
  Effect.flatMap((version) => run(process.argv.slice(2), version)),
  NodeRuntime.runMain({ disableErrorReporting: true, teardown })
)
