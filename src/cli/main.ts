#!/usr/bin/env node
/**
 * `npx effect-emitter`: see `program.ts`.
 *
 * @since 0.2.0
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Effect from "effect/Effect"
import { readFileSync } from "node:fs"
import * as Leave from "./leave.ts"
import { run } from "./program.ts"

const readVersion = Effect.sync((): string =>
  JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")).version
)

Leave.inTime()

readVersion.pipe(
  Effect.flatMap((version) => run(process.argv.slice(2), version)),
  NodeRuntime.runMain({ disableErrorReporting: true, teardown: Leave.teardown })
)
