/** `doctor` and the commands over Postgres: it finds what was planted, says what to do, and leaves the database as it was. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { PostgresBroker } from "effect-emitter/postgres"
import * as Options from "../../src/broker/postgres/connection/Options.ts"
import { version } from "../../src/broker/postgres/schema/Migrations.ts"
import type * as Facts from "../../src/cli/backend/postgres/Facts.ts"
import * as PostgresChecks from "../../src/cli/backend/postgres/PostgresChecks.ts"
import type { Finding } from "../../src/cli/output/Finding.ts"
import { pgbouncer } from "../support/pgbouncer.ts"
import { type PostgresServer, postgresServer } from "../support/postgres.ts"
import { findProgram } from "../support/program.ts"
import { call } from "./cli.ts"

const program = findProgram("postgres")
const pooler = findProgram("pgbouncer")

const password = "c0rrect-h0rse"

/** A loaded machine takes its time, and that is not what is wrong. */
const patient = { POSTGRES_DEADLINE: "20 seconds", POSTGRES_SILENCE: "20 seconds", POSTGRES_LEASE: "1 minute" }

const doctor = (environment: Record<string, string>, ...args: ReadonlyArray<string>) =>
  Effect.map(call(["doctor", "--json", ...args], environment), (ended) => {
    assert.notInclude(ended.out + ended.err, password)
    const { findings }: { readonly findings: ReadonlyArray<Finding> } = JSON.parse(ended.out)
    return { ...ended, findings }
  })

const found = (findings: ReadonlyArray<Finding>, check: string, message: RegExp): Finding =>
  findings.find((one) => one.check === `postgres ${check}` && message.test(one.message))
    ?? assert.fail(`no ${check} ${message}: ${JSON.stringify(findings)}`)

/** What is wrong, and what to do about it. */
const isFound = (
  findings: ReadonlyArray<Finding>,
  severity: "warning" | "fault",
  check: string,
  message: RegExp,
  remedy: RegExp
) => {
  const one = found(findings, check, message)
  assert.strictEqual(one.severity, severity, one.message)
  assert.match(one.remedy ?? "", remedy)
}

const withServer = <A, E>(
  body: (server: PostgresServer) => Effect.Effect<A, E>,
  settings: Record<string, string> = {}
) => Effect.flatMap(postgresServer(program ?? "postgres", { durable: true, settings }), body).pipe(Effect.scoped)

const asUser = (url: string, user: string) => url.replace("postgres://postgres@", `postgres://${user}:${password}@`)

const good: Facts.Facts = {
  version: 150_018,
  versionName: "15.18",
  isStandby: false,
  isReadOnly: false,
  encoding: "UTF8",
  fsync: true,
  fullPageWrites: true,
  synchronousCommit: "on",
  autovacuum: true,
  idleSessionMs: 0,
  statementMs: 0,
  lockMs: 0,
  connections: 97,
  used: 10,
  databaseConnections: -1,
  roleConnections: -1,
  role: "app",
  clockMs: 0,
  hasSchema: true,
  mayUse: true,
  functions: 40,
  lacks: 0,
  held: 1_000,
  dead: 10
}

describe("doctor, what a Postgres told", () => {
  const judged = (facts: Partial<Facts.Facts>, measured: Partial<PostgresChecks.Measured> = {}) =>
    Effect.map(
      Options.decode({ url: "postgres://app@db/app" }),
      (options) =>
        PostgresChecks.judge(
          { ...good, ...facts },
          { found: version },
          { latencyMs: 1, skewMs: 0, ...measured },
          options
        )
          .filter(({ severity }) => severity === "fault" || severity === "warning")
          .map(({ check, remedy, severity }) => [severity, check, remedy !== undefined && remedy.length > 20] as const)
    )

  it.effect("is judged, each for itself, with a remedy", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* judged({}), [])
      const planted: ReadonlyArray<
        readonly [Partial<Facts.Facts>, Partial<PostgresChecks.Measured>, "fault" | "warning", string]
      > = [
        [{ version: 140_011, versionName: "14.11" }, {}, "fault", "version"],
        [{ isStandby: true }, {}, "fault", "role"],
        [{ isReadOnly: true }, {}, "fault", "role"],
        [{ encoding: "LATIN1" }, {}, "fault", "encoding"],
        [{ fsync: false }, {}, "fault", "durability"],
        [{ autovacuum: false }, {}, "fault", "tables"],
        [{ dead: 3_000_000 }, {}, "warning", "tables"],
        [{ connections: 10 }, {}, "fault", "connections"],
        [{ roleConnections: 5 }, {}, "fault", "connections"],
        [{ databaseConnections: 5 }, {}, "fault", "connections"],
        [{ used: 90 }, {}, "warning", "connections"],
        [{ idleSessionMs: 1_000 }, {}, "warning", "timeouts"],
        [{ statementMs: 500 }, {}, "warning", "timeouts"],
        [{ lockMs: 10 }, {}, "warning", "timeouts"],
        [{ mayUse: false }, {}, "fault", "rights"],
        [{ lacks: 3 }, {}, "fault", "rights"],
        [{ hasSchema: false }, {}, "fault", "schema"],
        [{}, { skewMs: -90_000 }, "warning", "clock"],
        [{}, { latencyMs: 40 }, "warning", "latency"],
        [{}, { latencyMs: 800 }, "fault", "latency"]
      ]
      for (const [facts, measured, severity, check] of planted) {
        assert.deepStrictEqual(yield* judged(facts, measured), [[severity, check, true]], JSON.stringify(facts))
      }
    }))
})

describe.skipIf(program === undefined)("effect-emitter doctor, Postgres", { timeout: 400_000 }, () => {
  it.live("finds no fault where there is none, and writes nothing that stays", () =>
    withServer((server) =>
      Effect.gen(function*() {
        yield* server.sql(PostgresBroker.migrationSql())
        yield* server.sql(
          `create role app login password '${password}'; grant usage on schema emitter to app; grant execute on all functions in schema emitter to app`
        )
        const held = server.sql(
          "select (select count(*) from emitter.late), (select count(*) from emitter.users), (select generation from emitter.meta)"
        )
        const before = yield* held
        const { code, err, findings, out } = yield* doctor({ POSTGRES_URL: asUser(server.url, "app"), ...patient })
        assert.deepStrictEqual(
          findings.filter(({ check, severity }) =>
            (severity === "fault" || severity === "warning") && check !== "postgres latency"
          ),
          []
        )
        assert.strictEqual(code, 0, err)
        found(findings, "schema", new RegExp(`"emitter" has version ${version}`, "u"))
        found(findings, "listening", /what is told is heard/u)
        found(findings, "rights", /may do what is needed/u)
        assert.include(out, "POSTGRES_…: 4 set")
        assert.strictEqual(yield* held, before)
      })
    ))

  it.live("finds a missing schema, rights, a limit of connections, timeouts, and that nothing is durable", () =>
    withServer((server) =>
      Effect.gen(function*() {
        yield* server.sql(`create role app login password '${password}' connection limit 4;
          alter role app set idle_session_timeout = '60s'; alter role app set lock_timeout = '50ms'`)
        const environment = { POSTGRES_URL: asUser(server.url, "app"), ...patient }
        const missing = yield* doctor(environment)
        assert.strictEqual(missing.code, 1)
        isFound(missing.findings, "fault", "schema", /has no schema "emitter"/u, /migrationSql/u)
        isFound(
          missing.findings,
          "fault",
          "connections",
          /its user may have 4, and a process takes 11/u,
          /CONNECTION LIMIT/u
        )
        isFound(missing.findings, "warning", "timeouts", /idle_session_timeout is 60000 ms/u, /ALTER ROLE app SET/u)
        isFound(missing.findings, "warning", "timeouts", /lock_timeout is 50 ms/u, /lock_timeout = 0/u)
        isFound(missing.findings, "fault", "durability", /full_page_writes is off/u, /full_page_writes = on/u)
        isFound(missing.findings, "fault", "tables", /autovacuum is off/u, /set both on/u)

        yield* server.sql(PostgresBroker.migrationSql())
        const closed = yield* doctor(environment)
        isFound(closed.findings, "fault", "rights", /may not use the schema/u, /GRANT USAGE ON SCHEMA emitter TO app/u)
        yield* server.sql("grant usage on schema emitter to app; grant execute on function emitter.greet to app")
        isFound(
          (yield* doctor(environment)).findings,
          "fault",
          "rights",
          /may not run \d+ of its \d+ functions/u,
          /GRANT EXECUTE/u
        )

        yield* server.sql("update emitter.meta set version = 99")
        isFound(
          (yield* doctor(environment)).findings,
          "fault",
          "schema",
          /has version 99 of the schema/u,
          /update this one/u
        )
        yield* server.sql(`update emitter.meta set version = ${version}, cluster = 'another'`)
        const moved = yield* doctor(environment)
        assert.strictEqual(found(moved.findings, "schema", /from another cluster/u).severity, "note")
        assert.strictEqual(yield* server.sql("select cluster from emitter.meta"), "another")
      }), { full_page_writes: "off", autovacuum: "off" }))

  it.live.skipIf(pooler === undefined)(
    "finds a pooler that carries no LISTEN, and that it is led past",
    () =>
      withServer((server) =>
        Effect.gen(function*() {
          yield* server.sql(PostgresBroker.migrationSql())
          const url = yield* pgbouncer(pooler ?? "pgbouncer", server.port)
          const environment = {
            POSTGRES_URL: url,
            POSTGRES_PREPARE: "false",
            ...patient,
            POSTGRES_SILENCE: "5 seconds"
          }
          isFound(
            (yield* doctor(environment)).findings,
            "warning",
            "listening",
            /not heard|cannot be listened to/u,
            /LISTEN_URL/u
          )
          found((yield* doctor({ ...environment, POSTGRES_LISTEN_URL: server.url })).findings, "listening", /is heard/u)
        }).pipe(Effect.scoped)
      )
  )

  it.live("finds a standby, a database that is not there, one that is away, and one that is frozen", () =>
    withServer((server) =>
      Effect.gen(function*() {
        yield* server.sql(PostgresBroker.migrationSql())
        const standby = yield* server.standby
        const ofStandby = yield* doctor({ POSTGRES_URL: standby.url, ...patient })
        isFound(ofStandby.findings, "fault", "role", /it is a standby/u, /address of the primary/u)
        const none = yield* doctor({ POSTGRES_URL: server.url.replace(/\/postgres$/u, "/none"), ...patient })
        isFound(none.findings, "fault", "connection", /3D000/u, /create the database/u)
        yield* standby.kill
        const away = yield* doctor({ POSTGRES_URL: standby.url, ...patient })
        isFound(away.findings, "fault", "connection", /cannot be used/u, /start it, or correct POSTGRES_URL/u)
        yield* server.freeze
        const frozen = yield* doctor({
          POSTGRES_URL: server.url,
          POSTGRES_SILENCE: "400 millis",
          POSTGRES_DEADLINE: "100 millis"
        })
        isFound(frozen.findings, "fault", "connection", /cannot be used/u, /start it/u)
      }).pipe(Effect.scoped), { wal_level: "replica" }))
})
