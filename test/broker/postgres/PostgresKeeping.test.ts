/** Where runs stand, over all that a process and its server go through. */
import { assert, describe, it } from "@effect/vitest"
import { Array as Arr, Effect } from "effect"
import type { Broker } from "effect-emitter"
import { execFileSync } from "node:child_process"
import { dirname, join } from "node:path"
import { maxEndedRuns } from "../../../src/broker/postgres/schema/LogSql.ts"
import type { PostgresServer } from "../../support/postgres.ts"
import { eventually, idOf, newUser, numbered, plenty, start } from "../events.ts"
import { endOf, startOf } from "../suite/commanding.ts"
import { program, startNode, withNode, withServer } from "./postgresNode.ts"

const patient = { deadline: "5 seconds", silence: "7 seconds", lease: "1 minute", poll: "1 hour" } as const

describe.skipIf(program === undefined)("PostgresBroker, the runs of a process", () => {
  it.live(
    "a run that ended does not begin anew, though its process was never answered that and it is forgotten since",
    () =>
      withServer({}, (server) =>
        Effect.gen(function*() {
          const [holder, other] = [yield* startNode(server.url, patient), yield* startNode(server.url, patient)]
          const user = newUser()
          yield* start(holder, user)
          yield* holder.append(user, [startOf("r")])
          // As if its own answer had been lost.
          yield* other.append(user, [endOf("r")])
          const names = Arr.makeBy(5 * maxEndedRuns, (n) => `other-${n}`)
          yield* other.append(user, [
            startOf("first"),
            endOf("first"),
            ...names.flatMap((name) => [startOf(name), endOf(name)])
          ])
          yield* eventually(
            server.sql("select count(*) from emitter.standings where run = 'r'"),
            (count) => count === "0",
            "the run to be forgotten"
          )
          const touched = server.sql("select touched from emitter.users")
          const before = yield* touched
          let isDown = false
          yield* (holder.watch ?? assert.fail("it tells nothing of its server"))((signal) => {
            isDown = isDown || signal === "down"
          })
          yield* server.kill
          yield* eventually(Effect.sync(() => isDown), (is) => is, "it to find its server gone")
          yield* server.start
          yield* eventually(touched, (now) => now !== before, "its process to look how its runs stand")
          assert.strictEqual(yield* server.sql("select count(*) from emitter.standings where state = 'a'"), "0")
        }), 90),
    180_000
  )
})

const bin = dirname(program ?? "")

/** The schema as SQL, and what is in it. */
const dump = (server: PostgresServer) =>
  Effect.sync(() =>
    execFileSync(join(bin, "pg_dump"), ["--inserts", "--no-comments", "-n", "emitter", server.url], {
      encoding: "utf8",
      timeout: 60_000
    }).split("\n").filter((line) => !line.startsWith("\\")).join("\n")
  )

describe.skipIf(program === undefined)("PostgresBroker, an older copy that was put back", () => {
  for (
    const [where, sql] of [
      ["by the README's line, where the cluster is the same", "update emitter.meta set generation = generation + 1"],
      ["of itself, where the cluster is another", "update emitter.meta set cluster = 'another'"]
    ] as const
  ) {
    it.live(
      `goes on under new epochs ${where}, so that no offset means two events`,
      () =>
        withServer({}, (server) =>
          Effect.gen(function*() {
            const user = newUser()
            const { copy, seen } = yield* Effect.gen(function*() {
              const node = yield* startNode(server.url, patient)
              yield* node.append(user, numbered(1, 2))
              const copy = yield* dump(server)
              return { copy, seen: yield* node.append(user, numbered(3, 4)) }
            }).pipe(Effect.scoped)
            yield* server.sql("drop schema emitter cascade")
            yield* server.sql(copy)
            yield* server.sql(sql)
            const node = yield* startNode(server.url, { ...patient, migrate: false })
            const head = yield* node.append(user, numbered(5))
            assert.notStrictEqual(head.epoch, seen.epoch)
            const { entries, gap } = yield* node.pull(user, seen, plenty)
            assert.strictEqual(gap?.reason, "epoch")
            assert.deepStrictEqual(entries.map(idOf), ["s.1", "s.2", "s.5"])
          }), 90),
      180_000
    )
  }
})

describe.skipIf(program === undefined)("PostgresBroker, the disk", () => {
  it.live(
    "is waited for by appends, and not by acknowledgements",
    () =>
      // The server writes what waits for nobody every ten seconds then.
      withServer({ durable: true, settings: { wal_writer_delay: "10s" } }, (server) =>
        Effect.gen(function*() {
          const node = yield* startNode(server.url, patient)
          const user = newUser()
          /** Whether what a call wrote is on the disk once it has its answer. */
          const isWrittenBy = (call: Effect.Effect<unknown, Broker.BrokerError>) =>
            Effect.gen(function*() {
              const before = yield* server.sql("select pg_current_wal_insert_lsn()")
              yield* call
              return (yield* server.sql(`select pg_current_wal_flush_lsn() > '${before}'`)) === "t"
            })
          const count = 4
          const counted = { appended: 0, acknowledged: 0 }
          for (let n = 1; n <= count; n++) {
            if (yield* isWrittenBy(node.append(user, numbered(n)))) counted.appended++
            const { epoch, offset } = yield* node.head(user)
            if (yield* isWrittenBy(node.acknowledge(user, { epoch, offset }))) counted.acknowledged++
          }
          assert.strictEqual(counted.appended, count)
          // Now and then the server itself writes something.
          assert.isBelow(counted.acknowledged, count)
        }), 90),
    180_000
  )
})

describe.skipIf(program === undefined)("PostgresBroker, its sweep", () => {
  it.live(
    "does what is due, and locks nobody else",
    () =>
      withNode({}, { ...patient, sweep: "1 hour" }, ({ broker, server }) =>
        Effect.gen(function*() {
          const idle = newUser()
          yield* broker.append(idle, numbered(1, 3))
          /** How far a log is dropped, folded and deleted, and who locked it last. */
          const row = (user: string) =>
            server.sql(`select floor, folded, trimmed, xmax from emitter.users where name = '${user}'`)
          const sweep = Effect.map(
            server.sql(`select emitter.sweep('{"after": 0, "users": 100, "maxAge": 3600000, "ttl": 3600000}')`),
            (text): unknown => JSON.parse(text)
          )
          const before = yield* row(idle)
          assert.match(before, /^0\|3\|0\|/u)
          assert.deepStrictEqual(yield* sweep, [0, []])
          assert.strictEqual(yield* row(idle), before)

          /** A user with three events and a change to the tables, after a sweep. */
          const swept = Effect.fnUntraced(function*(change: string, run?: string) {
            const user = newUser()
            yield* broker.append(user, numbered(1, 3, run === undefined ? {} : { run }))
            yield* server.sql(`with u as (select * from emitter.users where name = '${user}') ${change}`)
            const [, due] = yield* Effect.map(sweep, (answer) => Array.isArray(answer) ? answer : [])
            const result = { row: (yield* row(user)).replace(/\|\d+$/u, ""), isDue: `${due}`.includes(user) }
            yield* server.sql(`delete from emitter.users where name = '${user}'`)
            return result
          })
          assert.deepStrictEqual(
            yield* swept("update emitter.entries x set took = 0 from u where x.log = u.id and x.off < 3"),
            { row: "2|3|2", isDue: false },
            "what is too old goes"
          )
          assert.deepStrictEqual(
            yield* swept("update emitter.users x set floor = 2 from u where x.id = u.id"),
            { row: "2|3|2", isDue: false },
            "what was dropped is deleted"
          )
          assert.deepStrictEqual(
            yield* swept("update emitter.users x set floor = 2 from u where x.id = u.id", "r"),
            { row: "2|0|0", isDue: true },
            "what was dropped is folded before"
          )
          assert.deepStrictEqual(
            yield* swept("update emitter.users x set floor = 3, trimmed = 3, touched = 0 from u where x.id = u.id"),
            { row: "", isDue: false },
            "who has nothing any more is forgotten"
          )
          assert.strictEqual(yield* row(idle), before)
        })),
    120_000
  )
})
