import { afterAll } from "@effect/vitest"
import { Context, Effect, Exit, Layer, Scope } from "effect"
import { Broker } from "effect-emitter"
import { type BrokerService, brokerSuite, type Limits } from "../brokerSuite.ts"
import { onNewFile } from "./sqliteFile.ts"

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
