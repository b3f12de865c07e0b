/**
 * A process that spools events without end, and says of each which was kept, until somebody kills it. With `letters` it
 * makes a dead letter of each, and says so. With `open` it only tries to open the file, and says what came of it.
 */
import * as Effect from "effect/Effect"
import { writeSync } from "node:fs"
import { DeadLetterStore } from "../../../src/emitter/fallback/DeadLetterStore.ts"
import * as SqliteSpoolStore from "../../../src/emitter/fallback/SqliteSpoolStore.ts"
import { envelopes, userId } from "./envelopes.ts"

const [, , file = "", users = "1", mode = "spool"] = process.argv

const say = (text: string) => Effect.sync(() => writeSync(1, `${text}\n`))

const spoolForEver = Effect.gen(function*() {
  const store = yield* SqliteSpoolStore.make({ file, maxEvents: 10_000_000, maxBytes: 10_000_000_000 })
  const letters = new DeadLetterStore()
  if (store.letters !== undefined) letters.attach(store.letters)
  const makeLetter = Effect.fnUntraced(function*(name: string) {
    const chunk = yield* store.peek(userId(name), { maxBatches: 1, maxEvents: 1, maxBytes: 1 })
    if (chunk === undefined) return yield* Effect.die(new Error("what was put is not there"))
    letters.add(userId(name), chunk.envelopes, "runLost", [], 0, true)
    yield* store.remove(userId(name), chunk)
  })
  const spoolUser = Effect.fnUntraced(function*(name: string) {
    for (let sequence = 1;; sequence++) {
      yield* store.put(userId(name), envelopes(name, sequence))
      if (mode === "letters") yield* makeLetter(name)
      yield* say(`${name} ${sequence}`)
    }
  })
  yield* Effect.forEach(Array.from({ length: Number(users) }, (_, i) => `u${i}`), spoolUser, {
    concurrency: "unbounded"
  })
})

const tryToOpen = SqliteSpoolStore.make({ file, lockTimeout: 0 }).pipe(
  Effect.match({ onFailure: ({ reason }) => reason, onSuccess: () => "opened" }),
  Effect.flatMap(say)
)

await Effect.runPromise(Effect.scoped(mode === "open" ? tryToOpen : spoolForEver))
