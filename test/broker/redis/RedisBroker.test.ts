import { afterAll, beforeAll, describe } from "@effect/vitest"
import { Context, Effect, Exit, Layer, Scope } from "effect"
import { Broker } from "effect-emitter"
import { RedisBroker } from "effect-emitter/redis"
import { AppendScript } from "../../../src/broker/redis/operations/Appender.ts"
import { appendInFull } from "../../../src/broker/redis/scripts/AppendLua.ts"
import { type RedisServer, redisServer } from "../../support/redis.ts"
import { brokerSuite, type Limits } from "../brokerSuite.ts"
import { commandsOf } from "../suite/commanding.ts"
import { connected, program } from "./redisNode.ts"

describe.skipIf(program === undefined)("RedisBroker", () => {
  let scope: Scope.Closeable | undefined
  let server: RedisServer | undefined
  beforeAll(async () => {
    const opened = Effect.runSync(Scope.make())
    scope = opened
    server = await Effect.runPromise(Scope.provide(redisServer(program ?? ""), opened))
  })
  afterAll(async () => {
    if (scope !== undefined) await Effect.runPromise(Scope.close(scope, Exit.void))
  })

  const url = () => server?.url ?? "redis://no-server"
  const node = (limits: Limits) =>
    connected(RedisBroker.layer({ url: url(), deadline: "5 seconds", silence: "7 seconds", ...limits }))

  brokerSuite("Redis", (limits) => Layer.suspend(() => node(limits)), { isShared: true })

  brokerSuite(
    "Redis, each append in full",
    (limits) => Layer.suspend(() => Layer.provide(node(limits), Layer.succeed(AppendScript, appendInFull))),
    { isShared: true }
  )

  /** Emitters on one node, devices on another. */
  const apart = Effect.fnUntraced(function*(limits: Limits) {
    const [here, there] = [
      Context.get(yield* Layer.build(node(limits)), Broker.Broker),
      Context.get(yield* Layer.build(Layer.fresh(node(limits))), Broker.Broker)
    ]
    const { append, acknowledged, readers, head, letGo, takeOver } = here
    const commands = { ...commandsOf(there), receive: commandsOf(here).receive }
    let asked = 0
    const claim: Broker.Broker["Service"]["claim"] = (user, run) =>
      Effect.suspend(() => (++asked % 2 === 0 ? here : there).claim(user, run))
    return { ...there, append, acknowledged, readers, head, letGo, takeOver, claim, commands }
  })

  brokerSuite(
    "Redis, appended on one node and read on another",
    (limits) => Layer.effect(Broker.Broker, apart(limits)),
    { isShared: true }
  )
})
