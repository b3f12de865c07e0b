/** The commands of the command line over Postgres and over a file, as `commands.test.ts` shows them over Redis. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer } from "effect"
import { AgentEvents, type Broker, Emitter, EmitterLayer } from "effect-emitter"
import { PostgresBroker } from "effect-emitter/postgres"
import { SqliteBroker } from "effect-emitter/sqlite"
import { newFile } from "../broker/sqlite/sqliteFile.ts"
import { postgresServer } from "../support/postgres.ts"
import { findProgram } from "../support/program.ts"
import { call, values } from "./cli.ts"

const postgres = findProgram("postgres")

/** Options of a broker on a machine that is loaded. */
const patient = { deadline: "20 seconds", silence: "20 seconds", lease: "1 minute" } as const

/** Emits an event in a run, says that it has begun, and waits to be told to stop. */
const running = <E>(broker: Layer.Layer<Broker.Broker, E>, user: string, began: Deferred.Deferred<void>) =>
  Effect.gen(function*() {
    const emitter = yield* Emitter.Emitter
    yield* emitter.emit(AgentEvents.AgentThinking.make({ text: "looking" }))
    yield* Deferred.succeed(began, undefined)
    return yield* Effect.never
  }).pipe(
    Emitter.run({ agentName: "researcher" }),
    Effect.provide(
      Emitter.layerUser({ userId: user, runId: "run-1" }).pipe(
        Layer.provide(EmitterLayer({ profile: "lowLatency" }).pipe(Layer.provide(broker)))
      )
    )
  )

/** What any broker's log is asked, while nobody else needs it. */
const asks = (environment: Record<string, string>, setting: string) =>
  Effect.gen(function*() {
    const cli = (...args: ReadonlyArray<string>) => call(args, environment)
    const published = yield* cli("publish", "ada", "order_placed", "{\"total\":12.5}", "--thread", "t1", "--json")
    assert.deepStrictEqual([published.code, published.err], [0, ""])
    assert.deepInclude(values(published)[0], { user: "ada", type: "order_placed", offset: 1 })
    const tailed = yield* cli("tail", "ada", "--from", "earliest", "--no-live", "--json")
    const [event] = values(tailed)
    assert.deepInclude(event, { offset: 1, type: "order_placed", thread: "t1", data: { total: 12.5 } })

    const id = String(event?.["id"])
    // Whose it is, is found out.
    const found = yield* cli("why", id)
    assert.match(found.out, /^log: it is in the log of ada at offset 1, of 1 to 1/u, found.err)
    const never = yield* cli("why", id.replace(/\d+$/u, "7"), "--json")
    assert.deepStrictEqual([never.code, values(never)[0]?.["where"]], [1, "neverAccepted"])
    const unknown = yield* cli("why", "somethingelse-7", "--user", "ada", "--json")
    assert.deepStrictEqual([unknown.code, values(unknown)[0]?.["where"]], [1, "unknown"])

    const small = { ...environment, [setting]: "1" }
    for (let n = 0; n < 3; n++) yield* call(["publish", "ada", "ping", "--json"], small)
    const [lost] = values(yield* call(["why", id, "--json"], small))
    assert.strictEqual(lost?.["where"], "trimmed", JSON.stringify(lost))
    assert.include(String(lost?.["remedy"]), setting)

    const revoked = yield* cli("revoke", "ada", "--json")
    assert.deepStrictEqual(values(revoked), [{ user: "ada", revoked: true }], revoked.err)
  })

describe.skipIf(postgres === undefined)("effect-emitter over Postgres", { timeout: 400_000 }, () => {
  it.live("publishes, tails, explains, revokes, and cancels a run where it runs", () =>
    Effect.gen(function*() {
      const server = yield* postgresServer(postgres ?? "")
      const environment: Record<string, string> = {
        POSTGRES_URL: server.url,
        POSTGRES_DEADLINE: patient.deadline,
        POSTGRES_SILENCE: patient.silence,
        POSTGRES_LEASE: patient.lease
      }
      const without = yield* call(["runs", "ada"], environment)
      assert.deepStrictEqual([without.code, without.out], [1, ""])
      assert.match(without.err, /has no schema "emitter".*migrationSql/u)

      yield* server.sql(PostgresBroker.migrationSql())
      yield* asks(environment, "POSTGRES_MAX_EVENTS")

      const began = yield* Deferred.make<void>()
      const program = yield* Effect.forkChild(
        running(PostgresBroker.layer({ ...patient, url: server.url }), "cleo", began)
      )
      yield* Deferred.await(began)
      const active = yield* call(["runs", "cleo", "--json"], environment)
      assert.deepInclude(values(active)[0], { run: "run-1" }, active.err)
      const cancelled = yield* call(["cancel", "run-1", "--reason", "maintenance"], environment)
      assert.deepStrictEqual([cancelled.code, cancelled.out], [0, "run run-1 of cleo is told to stop\n"], cancelled.err)
      yield* Fiber.await(program)
      const again = yield* call(["cancel", "run-1", "--user", "cleo", "--json"], environment)
      assert.deepStrictEqual([again.code, values(again)[0]?.["reason"]], [1, "ended"])
      const whose = yield* call(["why", "run-1"], environment)
      assert.match(whose.out, /^log: it is a run of cleo: 3 of its events are kept, at 1 to 3/u, whose.err)

      // The service's own user may read no table.
      yield* server.sql(
        "create role app login; grant usage on schema emitter to app; grant execute on all functions in schema emitter to app"
      )
      const least = { ...environment, POSTGRES_URL: server.url.replace("postgres://postgres@", "postgres://app@") }
      const may = yield* call(["runs", "cleo", "--json"], least)
      assert.deepInclude(values(may)[0], { run: "run-1" }, may.err)
      const mayNot = yield* call(["why", "run-1"], least)
      assert.deepStrictEqual([mayNot.code, mayNot.out], [2, ""])
      assert.match(mayNot.err, /may not read the tables[^]*as whoever made the schema/u)
    }).pipe(Effect.scoped))
})

describe("effect-emitter over a file", { timeout: 400_000 }, () => {
  it.live("publishes, tails, explains and revokes while the service is stopped, and says so while it is not", () =>
    Effect.gen(function*() {
      const file = yield* newFile
      const environment = { SQLITE_FILE: file, SQLITE_LOCK_TIMEOUT: "200 millis", SQLITE_DEADLINE: "30 seconds" }
      yield* asks(environment, "SQLITE_MAX_EVENTS")

      const began = yield* Deferred.make<void>()
      const program = yield* Effect.forkChild(running(SqliteBroker.layer({ file }), "cleo", began))
      yield* Deferred.await(began)
      for (const args of [["runs", "cleo"], ["publish", "cleo", "ping"], ["cancel", "run-1"], ["revoke", "cleo"]]) {
        const held = yield* call(args, environment)
        assert.deepStrictEqual([held.code, held.out], [1, ""], args.join(" "))
        assert.match(held.err, /locked/u)
      }
      yield* Fiber.interrupt(program)
      const ended = yield* call(["runs", "cleo", "--json"], environment)
      assert.deepInclude(values(ended)[0], { run: "run-1" }, ended.err)
      const cancelled = yield* call(["cancel", "run-1", "--json"], environment)
      assert.deepStrictEqual([cancelled.code, values(cancelled)[0]?.["reason"]], [1, "ended"], cancelled.err)
      const whose = yield* call(["why", "run-1"], environment)
      assert.match(whose.out, /^log: it is a run of cleo: 3 of its events are kept/u, whose.err)
    }).pipe(Effect.scoped))
})
