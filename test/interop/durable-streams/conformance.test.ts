/**
 * The public suite for servers of the Durable Streams protocol, over a real gateway: what it writes goes by
 * `WritableStreams.ts`. A test that is left out has to fail, and `leftOut.ts` says why it does.
 */
import { afterAll, assert, beforeAll, beforeEach, describe, it } from "@effect/vitest"
import { runConformanceTests } from "@durable-streams/server-conformance-tests"
import { Effect, Exit, Layer, Scope } from "effect"
import { DurableStreams } from "effect-emitter/durable-streams"
import type { RunnerTask } from "vitest"
import { serveApp } from "../app.ts"
import { leftOut, nameOf } from "./leftOut.ts"
import * as WritableStreams from "./WritableStreams.ts"

const scope = Scope.makeUnsafe()
// The longest that a test of long polls may take; and subscriptions are asked for, so that what is left out is run.
const options = { baseUrl: "", longPollTimeoutMs: 60_000, subscriptions: true }

const names = new Set(
  leftOut.flatMap(({ tests }) =>
    Object.entries(tests).flatMap(([group, titles]) => titles.map((title) => nameOf(group, title)))
  )
)
const found = new Set<string>()

const groupsOf = ({ suite }: RunnerTask): ReadonlyArray<string> =>
  suite?.suite === undefined ? [] : [...groupsOf(suite), suite.name]

// The suite itself gives up after seconds, which a machine that is busy may take.
describe("the public suite of Durable Streams", { retry: 3 }, () => {
  beforeAll(async () => {
    const serving = Effect.gen(function*() {
      const routes = Layer.merge(
        DurableStreams.layer({ path: "/streams", longPoll: "500 millis" }),
        WritableStreams.layer("/streams/runs")
      )
      const { authenticator } = WritableStreams
      const { url } = yield* serveApp(routes, { origins: "any" }, { authenticator })
      return url
    })
    options.baseUrl = await Effect.runPromise(Scope.provide(serving, scope))
  })
  afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)))

  beforeEach(({ task }) => {
    const name = nameOf(groupsOf(task).join(" > "), task.name)
    found.add(name)
    Object.assign(task, { fails: names.has(name) })
  })

  runConformanceTests(options)
})

it("has every test of the public suite that is left out", () => {
  assert.deepStrictEqual(Array.from(names).filter((name) => !found.has(name)), [])
})
