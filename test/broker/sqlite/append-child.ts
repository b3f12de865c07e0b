/** Appends to a file, and says which offsets were answered, until it is killed. Its arguments: the file, and `normal` or `full`. */
import { Effect } from "effect"
import { decode } from "../../../src/broker/sqlite/Options.ts"
import { make } from "../../../src/broker/sqlite/SqliteBroker.ts"
import { UserId } from "../../../src/protocol/values/Identity.ts"
import { envelope } from "../events.ts"

const [file = "", synchronous = "normal"] = process.argv.slice(2)
const users = Array.from({ length: 4 }, (_, n) => UserId.make(`user-${n}`))

await Effect.runPromise(
  Effect.gen(function*() {
    const broker = yield* make(yield* decode({ file, synchronous, maxEvents: 100_000 }))
    yield* Effect.forEach(users, (user) =>
      Effect.gen(function*() {
        const { epoch } = yield* broker.append(user, [
          envelope({ source: "of-r", sequence: 1, run: "r", type: "agent_started", data: { agentName: "a" } })
        ])
        for (let sequence = 1;; sequence++) {
          const { offset } = yield* broker.append(user, [envelope({ sequence, run: "r", data: { n: sequence } })])
          process.stdout.write(`${JSON.stringify({ user, epoch, offset, sequence })}\n`)
        }
      }), { concurrency: "unbounded" })
  }).pipe(Effect.scoped)
)
