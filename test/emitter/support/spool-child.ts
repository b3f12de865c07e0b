/**
 * A process that spools events without end, and says of each which was kept, until somebody kills it.
 */
import { Effect } from "effect"
import { writeSync } from "node:fs"
import * as SqliteSpoolStore from "../../../src/emitter/SqliteSpoolStore.ts"
import { envelopes, userId } from "./envelopes.ts"

const [, , file = "", users = "1"] = process.argv

const spoolForEver = Effect.gen(function*() {
  const store = yield* SqliteSpoolStore.make({ file, maxEvents: 10_000_000, maxBytes: 10_000_000_000 })
  const spoolUser = Effect.fnUntraced(function*(name: string) {
    for (let sequence = 1;; sequence++) {
      yield* store.put(userId(name), envelopes(name, sequence))
      writeSync(1, `${name} ${sequence}\n`)
    }
  })
  yield* Effect.forEach(Array.from({ length: Number(users) }, (_, i) => `u${i}`), spoolUser, {
    concurrency: "unbounded"
  })
})

await Effect.runPromise(Effect.scoped(spoolForEver))
