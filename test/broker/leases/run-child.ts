/**
 * A process that runs an agent: it starts a run, emits a thought every few milliseconds, and tells each step on a line of
 * JSON. `end` on its input ends the run, and `again` begins another; SIGTERM ends the process in good order.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import { AgentEvents, Emitter, EmitterLayer, Emitters, FallbackChannel, Spool } from "../../../src/index.ts"
import { RedisBroker } from "../../../src/broker/redis/index.ts"
import { writeSync } from "node:fs"
import { createInterface } from "node:readline"

const [, , url = "", userId = "", runId = "", file = ""] = process.argv

const say = (line: object) => Effect.sync(() => void writeSync(1, `${JSON.stringify(line)}\n`))

const commands = new Map([["end", Latch.makeUnsafe(false)], ["again", Latch.makeUnsafe(false)]])
createInterface({ input: process.stdin }).on("line", (line) => commands.get(line)?.openUnsafe())
const told = (command: string) => commands.get(command) ?? Latch.makeUnsafe(false)

const thinking = Effect.gen(function*() {
  const emitter = yield* Emitter.Emitter
  yield* say({ run: emitter.context.runId })
  let n = 0
  while (true) {
    const receipt = yield* emitter.emit(AgentEvents.AgentThinking.make({ text: String(++n) }))
    yield* say({ receipt: receipt._tag })
    yield* Effect.sleep("20 millis")
  }
})

const nameOf = <A, E>(exit: Exit.Exit<A, E>) =>
  Exit.isSuccess(exit) ? "succeeded" : Cause.hasInterruptsOnly(exit.cause) ? "interrupted" : "failed"

// What a program may still do that cleans up when its run was stopped.
const lastWords = Effect.gen(function*() {
  const emitter = yield* Emitter.Emitter
  yield* emitter.emit(AgentEvents.AgentThinking.make({ text: "last words" })).pipe(
    Effect.matchEffect({
      onSuccess: ({ _tag }) => say({ receipt: _tag }),
      onFailure: ({ reason }) => say({ refused: reason._tag })
    })
  )
  yield* say({ tool: nameOf(yield* Effect.exit(emitter.tool("late", null)(Effect.void))) })
})

const agent = thinking.pipe(
  Effect.raceFirst(told("end").await),
  Effect.onInterrupt(() => Effect.ignore(lastWords)),
  Emitter.run({ agentName: "agent" }),
  Effect.onExit((exit) => say({ exit: nameOf(exit) }))
)

const program = Effect.gen(function*() {
  const { forUser, stats } = yield* Emitters
  const first = yield* forUser({ userId, runId, threadId: "t" })
  yield* agent.pipe(Effect.provideService(Emitter.Emitter, first), Effect.forkScoped)
  yield* told("again").await
  yield* say({ letters: (yield* stats).delivery.deadLettered, breaker: (yield* stats).breaker })
  const second = yield* forUser({ userId, runId: `${runId}-again` })
  yield* agent.pipe(Effect.provideService(Emitter.Emitter, second))
  return yield* Effect.never
})

const broker = RedisBroker.layer({
  url,
  lease: "2 seconds",
  deadline: "500 millis",
  silence: "1 second",
  trustRestarts: true
})
const main = Effect.runFork(
  program.pipe(
    Effect.scoped,
    Effect.provide(
      EmitterLayer({ profile: "lowLatency" }).pipe(
        FallbackChannel.provide(file === "" ? Spool.memory() : Spool.sqlite({ file })),
        Layer.provide(broker),
        Layer.provideMerge(Logger.layer([]))
      )
    )
  )
)
process.once("SIGTERM", () => Effect.runFork(Fiber.interrupt(main)))
main.addObserver(() => process.exit(0))
