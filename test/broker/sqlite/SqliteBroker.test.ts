import { afterAll, assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Layer, Scope } from "effect"
import { Broker } from "effect-emitter"
import { readFileSync } from "node:fs"
import { type BrokerService, brokerSuite, type Limits } from "../brokerSuite.ts"
import { newUser, numbered } from "../events.ts"
import { life } from "./lives.ts"
import { commitsOf } from "./powerLoss.ts"
import { newFile, onNewFile } from "./sqliteFile.ts"

const scope = Effect.runSync(Scope.make())
afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)))

// Tests have users of their own, so those of the same bounds share a file and its thread.
const made = new Map<string, Promise<BrokerService>>()

const brokerOf = (limits: Limits): Promise<BrokerService> => {
  const key = JSON.stringify(limits)
  const broker = made.get(key) ?? Effect.runPromise(
    Effect.map(Layer.buildWithScope(onNewFile(limits), scope), (context) => Context.get(context, Broker.Broker))
  )
  made.set(key, broker)
  return broker
}

brokerSuite("SQLite", (limits) => Layer.effect(Broker.Broker, Effect.promise(() => brokerOf(limits))))

describe("SqliteBroker, its transactions", () => {
  for (const synchronous of ["normal", "full"] as const) {
    it.live(`share what is appended in one turn, and what comes while one is written (${synchronous})`, () =>
      Effect.gen(function*() {
        const file = yield* newFile
        yield* life(file, (broker) =>
          Effect.gen(function*() {
            const users = Array.from({ length: 64 }, () => newUser())
            const commits = () => commitsOf(readFileSync(`${file}-wal`))
            const appending = (concurrency: 1 | "unbounded", sequence: number) =>
              Effect.forEach(users, (user) => broker.append(user, numbered(sequence)), { concurrency, discard: true })
            yield* appending("unbounded", 1)
            const begun = commits()
            yield* appending("unbounded", 2)
            const together = commits() - begun
            yield* appending(1, 3)
            const alone = commits() - begun - together
            assert.isAtMost(together, 4)
            assert.isAtLeast(alone, users.length)
          }), { synchronous })
      }))
  }
})
