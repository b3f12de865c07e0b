import { afterAll, beforeAll, describe } from "@effect/vitest"
import { Context, Effect, Exit, Layer, Scope } from "effect"
import { Broker } from "effect-emitter"
import { PostgresBroker } from "effect-emitter/postgres"
import { type PostgresServer, postgresServer } from "../../support/postgres.ts"
import { brokerSuite, type Limits } from "../brokerSuite.ts"
import { commandsOf } from "../suite/commanding.ts"
import { program } from "./postgresNode.ts"

describe.skipIf(program === undefined)("PostgresBroker", () => {
  let scope: Scope.Closeable | undefined
  let server: PostgresServer | undefined
  beforeAll(async () => {
    const opened = Effect.runSync(Scope.make())
    scope = opened
    server = await Effect.runPromise(Scope.provide(postgresServer(program ?? ""), opened))
  }, 60_000)
  afterAll(async () => {
    if (scope !== undefined) await Effect.runPromise(Scope.close(scope, Exit.void))
  })

  const url = () => server?.url ?? "postgres://no-server"
  const node = (limits: Limits) =>
    PostgresBroker.layer({ url: url(), migrate: true, deadline: "5 seconds", silence: "7 seconds", ...limits })

  brokerSuite("Postgres", (limits) => Layer.suspend(() => node(limits)), { isShared: true })

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
    "Postgres, appended on one node and read on another",
    (limits) => Layer.effect(Broker.Broker, apart(limits)),
    { isShared: true }
  )
})
