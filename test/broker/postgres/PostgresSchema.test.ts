/** The schema, whose rights it needs, and what comes of a database without it. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Layer } from "effect"
import { ConnectionError, SqlError } from "effect/sql/SqlError"
import { Broker } from "effect-emitter"
import { PostgresBroker } from "effect-emitter/postgres"
import { RunId } from "../../../src/protocol/values/Identity.ts"
import * as Failure from "../../../src/broker/postgres/connection/Failure.ts"
import { envelope, idOf, newUser, numbered, plenty, start } from "../events.ts"
import { migrations, version } from "../../../src/broker/postgres/schema/Migrations.ts"
import { program, startNode, withServer } from "./postgresNode.ts"

describe("PostgresBroker, whose trouble a failure is", () => {
  it("is told from the SQLSTATE that Postgres answers with", () => {
    const codes: Record<Broker.Blame, ReadonlyArray<string>> = {
      user: ["22001", "22P02", "22P05", "23505", "54000", "P0001"],
      broker: ["08006", "53100", "53200", "53300", "57P01", "57P03", "25006", "42501", "42P01", "3F000", "28P01"],
      undecided: ["40001", "40P01", "55P03", "XX000"]
    }
    for (const [blame, some] of Object.entries(codes)) {
      for (const code of some) assert.strictEqual(Failure.blameOf(code), blame, code)
    }
  })

  it("is the broker's where the connection broke, whatever the operating system calls that", () => {
    for (const code of ["EPIPE", "ECONNRESET", "ETIMEDOUT"]) {
      const cause = Object.assign(new Error(`write ${code}`), { code })
      const error = new SqlError({ reason: new ConnectionError({ cause, operation: "query" }) })
      assert.isTrue(Failure.isLoss(error), code)
      assert.isUndefined(Failure.codeOf(error), code)
      assert.strictEqual(Failure.toBrokerError("append", 1, error).blame, "broker", code)
    }
  })
})

describe.skipIf(program === undefined)("PostgresBroker, its schema", () => {
  it.live(
    "says what to do where it is missing, and works for a user who may run its functions and nothing else",
    () =>
      withServer({}, (server) =>
        Effect.gen(function*() {
          const missing = yield* Effect.exit(Effect.scoped(Layer.build(PostgresBroker.layer({ url: server.url }))))
          assert.isTrue(Exit.isFailure(missing))
          assert.match(String(missing), /has no schema "emitter".*migrationSql.*migrate: true/u)

          yield* server.sql(PostgresBroker.migrationSql("mine"))
          yield* server.sql(
            "create role app login; grant usage on schema mine to app; grant execute on all functions in schema mine to app"
          )
          const url = server.url.replace("postgres://postgres@", "postgres://app@")
          const [a, b] = [
            yield* startNode(url, { schema: "mine", migrate: false }),
            yield* startNode(url, { schema: "mine", migrate: false })
          ]
          const user = newUser()
          const from = yield* start(a, user)
          let woken = 0
          yield* b.subscribe(user, () => void woken++)
          yield* a.append(user, numbered(1, 3))
          yield* a.append(user, [envelope({ sequence: 4, run: "r", type: "agent_started", data: { agentName: "a" } })])
          assert.deepStrictEqual((yield* b.pull(user, from, plenty)).entries.map(idOf), ["s.1", "s.2", "s.3", "s.4"])
          assert.strictEqual(yield* b.endLost(user, [RunId.make("r")]), 1)
          yield* b.revoke(user)
          assert.isDefined(a.canary)
          if (a.canary !== undefined) yield* a.canary(user)
          assert.strictEqual(yield* a.readers(user), 1)
          assert.strictEqual(
            yield* server.sql("select has_table_privilege('app', 'mine.entries', 'select')"),
            "f"
          )
        })),
    120_000
  )

  it.live(
    "is made once where several processes migrate at the same time",
    () =>
      withServer({}, (server) =>
        Effect.gen(function*() {
          const nodes = yield* Effect.all([1, 2, 3, 4].map(() => startNode(server.url)), { concurrency: "unbounded" })
          const user = newUser()
          for (const [n, node] of nodes.entries()) yield* node.append(user, numbered(n + 1))
          assert.strictEqual(yield* server.sql("select version from emitter.meta"), String(version))
        })),
    120_000
  )

  it.live(
    "of a version before is told, and brought up to date where it is asked for; rights and logs stay",
    () =>
      withServer({}, (server) =>
        Effect.gen(function*() {
          const [first] = migrations("emitter")
          yield* server.sql(first?.sql ?? assert.fail())
          // What the version before had in their place.
          for (const name of ["keep", "sweep"]) {
            yield* server.sql(`create function emitter.${name}(p jsonb) returns jsonb language sql as 'select p'`)
          }
          yield* server.sql(
            "create or replace function emitter.lineage() returns text language sql as $$ select 'planned for each call' $$"
          )
          yield* server.sql(
            "create role app login; grant usage on schema emitter to app; grant execute on all functions in schema emitter to app"
          )
          const before = yield* Effect.exit(Effect.scoped(Layer.build(PostgresBroker.layer({ url: server.url }))))
          assert.match(String(before), /has version 1 of the schema "emitter".*migrate: true/u)
          const user = newUser()
          yield* (yield* startNode(server.url)).append(user, numbered(1, 2))
          assert.strictEqual(yield* server.sql("select version from emitter.meta"), String(version))
          const url = server.url.replace("postgres://postgres@", "postgres://app@")
          const node = yield* startNode(url, { migrate: false })
          yield* node.append(user, [
            envelope({ sequence: 3, run: "r", type: "agent_started", data: { agentName: "a" } })
          ])
          assert.strictEqual((yield* node.head(user)).offset, 3)
          assert.strictEqual(
            yield* server.sql(
              `select proname, prosecdef, has_function_privilege('app', oid, 'execute') from pg_proc
                where proname in ('keep', 'sweep', 'claim_run', 'unclaim_run') order by proname`
            ),
            "claim_run|t|t\nkeep|t|t\nsweep|t|t\nunclaim_run|t|t"
          )
          assert.strictEqual(
            yield* server.sql(
              `select lanname from pg_proc p join pg_language l on l.oid = p.prolang where p.oid = 'emitter.lineage()'::regprocedure`
            ),
            "plpgsql"
          )
        })),
    120_000
  )
})
