/**
 * Appends to a file, a line on stdout for each answer, until it is killed. What fails is said and done again; a file that cannot be
 * used is said. Its arguments: the
 * file, and `normal` or `full`.
 */
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { decode } from "../../../src/broker/sqlite/Options.ts"
import { make } from "../../../src/broker/sqlite/SqliteBroker.ts"
import { UserId } from "../../../src/protocol/values/Identity.ts"
import { envelope } from "../events.ts"

const [file = "", synchronous = "normal"] = process.argv.slice(2)
const users = Array.from({ length: 4 }, (_, n) => UserId.make(`user-${n}`))
const say = (line: object) => Effect.sync(() => process.stdout.write(`${JSON.stringify(line)}\n`))

await Effect.runPromise(
  Effect.gen(function*() {
    const broker = yield* make(yield* decode({ file, synchronous, maxEvents: 100_000 }))
    if (broker.watch !== undefined) yield* broker.watch((signal) => Effect.runSync(say({ signal })))
    yield* Effect.forEach(users, (user) =>
      Effect.gen(function*() {
        const { epoch } = yield* broker.append(user, [
          envelope({ source: "of-r", sequence: 1, run: "r", type: "agent_started", data: { agentName: "a" } })
        ])
        for (let sequence = 1;; sequence++) {
          const event = envelope({ sequence, run: "r", data: { n: sequence, text: "x".repeat(500) } })
          const { offset } = yield* broker.append(user, [event]).pipe(
            Effect.tapError(({ blame, message }) => say({ failed: message, blame })),
            Effect.retry(Schedule.spaced("50 millis"))
          )
          yield* say({ user, epoch, offset, sequence })
        }
      }), { concurrency: "unbounded" })
  }).pipe(
    Effect.catchTag("SqliteOpenError", ({ message, reason }) => say({ refused: reason, message })),
    Effect.scoped
  )
)
