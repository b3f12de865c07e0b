/**
 * A process that has runs and takes commands: it begins a run, and tells each command that it is asked about on a line of
 * JSON. With `hesitate` it decides about the first only after `go` on its input. `again` begins another run.
 */
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import { writeSync } from "node:fs"
import { createInterface } from "node:readline"
import { Broker } from "../../../src/index.ts"
import { RedisBroker } from "../../../src/broker/redis/index.ts"
import * as Command from "../../../src/protocol/command/Command.ts"
import { UserId } from "../../../src/protocol/values/Identity.ts"
import { toEnvelope } from "../../support/envelopes.ts"

const [, , url = "", userId = "", runId = "", mode = ""] = process.argv
const user = UserId.make(userId)

const say = (line: object) => Effect.sync(() => void writeSync(1, `${JSON.stringify(line)}\n`))

const told = new Map([["go", Latch.makeUnsafe(false)], ["again", Latch.makeUnsafe(false)]])
createInterface({ input: process.stdin }).on("line", (line) => told.get(line)?.openUnsafe())
const when = (word: string) => (told.get(word) ?? Latch.makeUnsafe(false)).await

const startOf = (run: string) =>
  toEnvelope({
    id: `${run}-${process.pid}.1`,
    source: `${run}-${process.pid}.`,
    sequence: 1,
    at: Date.now(),
    run,
    type: "agent_started",
    data: { agentName: "a" }
  })

const program = Effect.gen(function*() {
  const { append, commands } = yield* Broker.Broker
  const begin = (run: string) =>
    append(user, [startOf(run)]).pipe(
      Effect.retry({ times: 1_000 }),
      Effect.andThen(say({ begun: run }))
    )
  let asked = 0
  yield* commands?.receive((_, { id }) =>
    Effect.suspend(() => {
      const mayDecide = mode === "hesitate" && asked++ === 0 ? when("go") : Effect.void
      return say({ asked: id }).pipe(Effect.andThen(mayDecide), Effect.as(Command.accepted))
    })
  ) ?? Effect.die(new Error("it takes no commands"))
  yield* begin(runId)
  yield* when("again")
  yield* begin(`${runId}-again`)
  return yield* Effect.never
})

Effect.runFork(
  program.pipe(
    Effect.scoped,
    Effect.provide(
      RedisBroker.layer({ url, lease: "6 seconds", deadline: "2 seconds", silence: "3 seconds", trustRestarts: true })
        .pipe(
          Layer.merge(Logger.layer([]))
        )
    )
  )
)
