/** The commands of the command line over a real Redis, beside a program that has a run. */
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Layer, Scope } from "effect"
import { AgentEvents, Emitter, EmitterLayer } from "effect-emitter"
import { RedisBroker } from "effect-emitter/redis"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import { UserId } from "../../src/protocol/values/Identity.ts"
import * as SqliteLetters from "../../src/emitter/fallback/SqliteLetters.ts"
import * as SqliteSpoolStore from "../../src/emitter/fallback/SqliteSpoolStore.ts"
import { until } from "../client/devices.ts"
import { toEnvelope } from "../support/envelopes.ts"
import { findProgram } from "../support/program.ts"
import { redisServer } from "../support/redis.ts"
import { begin, call, run, start, values } from "./cli.ts"

const redis = findProgram("redis-server")

/** Options of a broker on a machine that is loaded. */
const patient = { deadline: "20 seconds", silence: "20 seconds", lease: "1 minute" } as const

// Each starts several processes, which takes seconds each where the machine is loaded.
describe.skipIf(redis === undefined)("effect-emitter", { timeout: 400_000 }, () => {
  const scope = Scope.makeUnsafe()
  let environment: Record<string, string> = {}
  let directory = ""
  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), "effect-emitter-cli-"))
    const server = await Effect.runPromise(Scope.provide(redisServer(redis ?? ""), scope))
    environment = {
      REDIS_URL: server.url,
      REDIS_DEADLINE: "20 seconds",
      REDIS_SILENCE: "20 seconds",
      REDIS_LEASE: "1 minute"
    }
  })
  afterAll(async () => {
    await Effect.runPromise(Scope.close(scope, Exit.void))
    rmSync(directory, { recursive: true, force: true })
  })
  const cli = (...args: ReadonlyArray<string>) => Effect.suspend(() => call(args, environment))
  /** A process of its own. */
  const started = (...args: ReadonlyArray<string>) => Effect.promise(() => run(args, environment))

  const emitters = Layer.unwrap(
    Effect.sync(() =>
      EmitterLayer({ profile: "lowLatency" }).pipe(
        Layer.provide(RedisBroker.layer({ ...patient, url: environment["REDIS_URL"] ?? "" }))
      )
    )
  )

  it.live("publishes an event, shows it in the log, and tells where it is", () =>
    Effect.gen(function*() {
      const published = yield* started("publish", "ada", "order_placed", "{\"total\":12.5}", "--thread", "t1", "--json")
      assert.deepStrictEqual([published.code, published.err], [0, ""])
      assert.deepInclude(values(published)[0], { user: "ada", type: "order_placed", offset: 1 })

      const [lines, json] = yield* Effect.all([
        cli("tail", "ada", "--from", "earliest", "--no-live"),
        cli("tail", "ada", "--from", "earliest", "--no-live", "--json")
      ], { concurrency: 2 })
      assert.match(lines.out, /^ +1 +\d\d:\d\d:\d\d\.\d{3} +order_placed +- +thread t1 +\{"total":12\.5\}\n$/u)
      assert.match(lines.err, /^1 events; read up to offset 1 of epoch \S+\n$/u)
      const [event] = values(json)
      assert.deepInclude(event, { offset: 1, type: "order_placed", thread: "t1", data: { total: 12.5 } })

      const id = String(event?.["id"])
      const [found, never, unknown] = yield* Effect.all([
        cli("why", id),
        cli("why", id.replace(/\d+$/u, "7"), "--json"),
        cli("why", "somethingelse-7", "--user", "ada", "--json")
      ], { concurrency: 3 })
      assert.strictEqual(found.code, 0, found.err)
      assert.match(
        found.out,
        /^log: it is in the log of ada at offset 1, of 1 to 1; devices that asked for other threads than t1/u
      )
      assert.deepStrictEqual([never.code, values(never)[0]?.["where"]], [1, "neverAccepted"])
      assert.deepStrictEqual([unknown.code, values(unknown)[0]?.["where"]], [1, "unknown"])
    }))

  it.live("says that it read as far as it showed, also where it was to show less than there is", () =>
    Effect.gen(function*() {
      for (let n = 0; n < 3; n++) yield* cli("publish", "fay", "ping")
      const first = yield* cli("tail", "fay", "--from", "earliest", "--count", "2", "--json")
      assert.deepStrictEqual(values(first).map(({ offset }) => offset), [1, 2])
      assert.match(first.err, /^2 events; read up to offset 2 of epoch \S+\n$/u)
      const rest = yield* cli("tail", "fay", "--after", "2", "--no-live", "--json")
      assert.deepStrictEqual(values(rest).map(({ offset }) => offset), [3])
      assert.match(rest.err, /^1 events; read up to offset 3 of epoch \S+\n$/u)
    }))

  it.live("tells of an event that the log held and let go, and of a run whose events are gone", () =>
    Effect.gen(function*() {
      const small = { ...environment, REDIS_MAX_EVENTS: "1" }
      const publish = call(["publish", "bob", "ping", "--json"], small)
      yield* publish
      const id = values(yield* cli("tail", "bob", "--from", "earliest", "--no-live", "--json"))[0]?.["id"]
      // An entry of the log goes once another is whole.
      for (let n = 0; n < 3; n++) yield* publish
      const [lost] = values(yield* call(["why", String(id), "--json", "-u", "bob"], small))
      assert.strictEqual(lost?.["where"], "trimmed")
      assert.match(String(lost?.["remedy"]), /REDIS_MAX_EVENTS/u)
    }))

  it.live("follows a run, shows it folded, cancels it where it runs, and tells at Ctrl-C how far it read", () =>
    Effect.gen(function*() {
      const began = yield* Deferred.make<void>()
      const program = Effect.gen(function*() {
        const emitter = yield* Emitter.Emitter
        yield* emitter.emit(AgentEvents.AgentThinking.make({ text: "looking" }))
        yield* Deferred.succeed(began, undefined)
        return yield* Effect.never
      }).pipe(
        Emitter.run({ agentName: "researcher" }),
        Effect.provide(Emitter.layerUser({ userId: "cleo", runId: "run-1" }).pipe(Layer.provide(emitters)))
      )
      const tail = start(["tail", "cleo", "--from", "earliest", "--runs"], environment)
      const running = yield* Effect.forkChild(program)
      yield* Deferred.await(began)
      yield* Effect.promise(() => tail.wrote("agent_thinking"))

      const active = yield* cli("runs", "cleo", "--json")
      assert.deepInclude(values(active)[0], { run: "run-1" })
      assert.match(active.err, /^1 runs, 1 active; the log is at offset 2/u)

      const other = yield* begin(["tail", "cleo", "--from", "earliest", "--runs", "--json"], environment)
      yield* until("its events, for a program", () => other.out().includes("agent_thinking"))
      const told = values(yield* other.interrupt)
      assert.deepInclude(told.at(-1), { run: "run-1" })
      assert.deepInclude(told.at(-1)?.["state"], { status: "active" })

      // Whose run it is, is found out.
      const cancelled = yield* cli("cancel", "run-1", "--reason", "maintenance")
      assert.deepStrictEqual([cancelled.code, cancelled.out], [0, "run run-1 of cleo is told to stop\n"], cancelled.err)
      yield* Fiber.await(running)
      yield* Effect.promise(() => tail.wrote("cancelled  run-1  researcher"))
      tail.interrupt()
      const ended = yield* Effect.promise(() => tail.ended)
      assert.strictEqual(ended.code, 130)
      assert.match(ended.err, /^3 events; read up to offset 3 of epoch \S+\n$/u)

      const [again, none, whose] = yield* Effect.all([
        cli("cancel", "run-1", "--user", "cleo", "--json"),
        cli("cancel", "run-2"),
        cli("why", "run-1")
      ], { concurrency: 3 })
      assert.deepStrictEqual([again.code, values(again)[0]?.["reason"]], [1, "ended"])
      assert.deepStrictEqual([none.code, none.err.split("\n")[0]], [1, "No user has a run run-2"])
      assert.match(whose.out, /^log: it is a run of cleo: 3 of its events are kept, at 1 to 3/u)
    }))

  it.live("tells at Ctrl-C how far it read, and ends, although its broker froze in the middle", () =>
    Effect.gen(function*() {
      const server = yield* redisServer(redis ?? "")
      const own = { ...environment, REDIS_URL: server.url }
      yield* call(["publish", "eve", "ping"], own)
      const tail = start(["tail", "eve", "--from", "earliest", "--runs"], own)
      yield* Effect.promise(() => tail.wrote("ping"))
      yield* server.freeze
      tail.interrupt()
      const { code, err } = yield* Effect.promise(() => tail.ended)
      assert.strictEqual(code, 130, err)
      assert.match(err, /^1 events; read up to offset 1 of epoch \S+\n$/u)
    }))

  it.live("finds what waits in a spool and what became a dead letter there, while a process holds the file", () =>
    Effect.gen(function*() {
      const file = join(directory, "spool.db")
      const user = UserId.make("dan")
      const envelope = (sequence: number) =>
        toEnvelope({ id: `src-${sequence}`, source: "src-", sequence, at: 1_000, run: "run-9" })
      yield* Effect.scoped(SqliteSpoolStore.make({ file }))
      const database = new DatabaseSync(file)
      SqliteLetters.make(database).put([{
        user,
        event: envelope(1),
        trigger: "refused",
        reasons: [{ outlet: "broker", why: "too long" }],
        at: 1_000
      }])
      database.close()
      const [waits, letter, ofRun, doctor] = yield* Effect.gen(function*() {
        const store = yield* SqliteSpoolStore.make({ file })
        yield* store.put(user, [envelope(2)])
        return yield* Effect.all([
          started("why", "src-2", "--spool", file, "--json"),
          started("why", "src-1", "--spool", file),
          started("why", "run-9", "--spool", file, "--json"),
          started("doctor", "--spool", file)
        ], { concurrency: 4 })
      }).pipe(Effect.scoped)
      assert.deepStrictEqual(values(waits).map((value) => value["where"]), ["spool"])
      assert.match(letter.out, /^deadLetter: it is a dead letter: refused \(broker: too long\)\n {2}→ mend the cause/u)
      assert.deepStrictEqual(values(ofRun).map((value) => value["where"]), ["spool", "deadLetter"])
      assert.match(doctor.out, /1 events of 1 users wait there/u)
      assert.match(doctor.out, /1 dead letters are kept there/u)
      assert.deepStrictEqual([waits.code, letter.code, ofRun.code], [0, 0, 0])
    }))

  it.live("makes tokens for development alone, and revokes a user's access", () =>
    Effect.gen(function*() {
      const JWT_SECRET = "a secret that is long enough to sign"
      const make = (more: Record<string, string>, ...args: ReadonlyArray<string>) =>
        call(["token", "ada", ...args], { JWT_SECRET, JWT_AUDIENCE: "events", ...more })
      const [token, refused, revoked] = yield* Effect.all([
        make({}, "--lifetime", "10 minutes"),
        make({ NODE_ENV: "production" }),
        cli("revoke", "ada", "--json")
      ], { concurrency: 3 })
      const claims = JSON.parse(Buffer.from(token.out.split(".")[1] ?? "", "base64url").toString())
      assert.deepInclude(claims, { sub: "ada", aud: "events" })
      assert.strictEqual(claims.exp - claims.iat, 600)
      assert.deepStrictEqual([refused.code, refused.out], [2, ""])
      assert.deepStrictEqual(values(revoked), [{ user: "ada", revoked: true }])
      assert.notInclude(token.out + token.err + refused.err, JWT_SECRET)
    }))

  it.live("says in one line what was wrong with a call, and ends with 2; with 3 while the broker is away", () =>
    Effect.gen(function*() {
      const [flag, user, broker, away, data] = yield* Effect.all([
        cli("doctor", "--nonsense"),
        cli("runs", "a user"),
        call(["runs", "ada"]),
        call(["runs", "ada"], { REDIS_URL: "redis://:s3cret@127.0.0.1:1" }),
        cli("publish", "ada", "ping", "[1]")
      ], { concurrency: 5 })
      assert.deepStrictEqual([flag.code, flag.out], [2, ""])
      assert.match(flag.err, /^Unrecognized flag: --nonsense [^\n]*--help[^\n]*\n$/u)
      assert.deepStrictEqual([user.code, user.out, user.err.split("\n").length], [2, "", 2], user.err)
      assert.deepStrictEqual([broker.code, broker.err.split("\n")[0]], [2, "No broker is set"])
      assert.strictEqual(away.code, 3, away.err)
      assert.notInclude(away.err, "s3cret")
      assert.deepStrictEqual([data.code, data.err.split("\n")[0]], [2, "DATA is no JSON object: [1]"])
    }))

  it.live("has colours where they are wanted, and none where NO_COLOR is set, and tells what it can do", () =>
    Effect.gen(function*() {
      const [coloured, plain, help, helpOfOne] = yield* Effect.all([
        Effect.promise(() => run(["doctor"], { FORCE_COLOR: "1" })),
        call(["doctor"], { FORCE_COLOR: "1", NO_COLOR: "1" }),
        cli("--help"),
        cli("tail", "--help")
      ], { concurrency: 2 })
      assert.include(coloured.out, "\u001B[32mok")
      assert.notInclude(plain.out, "\u001B[")
      assert.match(plain.out, /^note +settings +no broker is set/mu)
      assert.deepStrictEqual([help.code, help.err, helpOfOne.code, helpOfOne.err], [0, "", 0, ""])
      for (const name of ["doctor", "tail", "runs", "why", "publish", "cancel", "revoke", "token"]) {
        assert.match(help.out, new RegExp(`^ +${name} +[A-Z]`, "mu"))
      }
      assert.match(helpOfOne.out, /effect-emitter tail [^]*EXAMPLES\n/u)
    }))
})
