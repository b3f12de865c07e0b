/** `doctor` against set-ups of which something is wrong: it finds what was planted, says what to do, and tells no secret. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { once } from "node:events"
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { createServer } from "node:http"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { findProgram } from "../support/program.ts"
import { type RedisServer, redisServer } from "../support/redis.ts"
import * as Rights from "../../src/cli/backend/redis/Rights.ts"
import * as SqliteSpoolStore from "../../src/emitter/fallback/SqliteSpoolStore.ts"
import type { Finding } from "../../src/cli/output/Finding.ts"
import { call, run } from "./cli.ts"

const redis = findProgram("redis-server")

const password = "c0rrect-h0rse"

/** A loaded machine takes its time, and that is not what is wrong. */
const patient = { REDIS_DEADLINE: "20 seconds", REDIS_SILENCE: "20 seconds", REDIS_LEASE: "1 minute" }

/** What has to be found of a fault. */
interface Expected {
  readonly fault: string
  readonly check: string
  readonly severity: "warning" | "fault"
  readonly message: RegExp
  readonly remedy: RegExp
}

interface Call {
  readonly environment: Record<string, string>
  readonly args?: ReadonlyArray<string>
}

/** A set-up with faults, several at once, since each call costs seconds on a loaded machine. */
interface SetUp {
  readonly name: string
  readonly plant: (server: RedisServer, directory: string) => Effect.Effect<Call>
  readonly expected: ReadonlyArray<Expected>
}

const setUps: ReadonlyArray<SetUp> = [
  {
    name: "a server that was set up for something else, and a spool that is none",
    plant: (server, directory) =>
      Effect.gen(function*() {
        const file = join(directory, "spool.db")
        writeFileSync(file, "this is no database, and was none ".repeat(200), { mode: 0o600 })
        yield* server.send("SET", "emitter:{leases}:layout", "4")
        yield* server.send("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
        yield* server.send("CONFIG", "SET", "maxmemory", "1mb")
        const rights = ["~emitter:*", "&emitter:*", "+@all", "-hlen", "-xtrim"]
        yield* server.send("ACL", "SETUSER", "emitter", "on", `>${password}`, ...rights)
        const environment = { REDIS_URL: `redis://emitter:${password}@127.0.0.1:${server.port}`, ...patient }
        return { environment, args: ["--spool", file] }
      }),
    expected: [
      {
        fault: "a right is missing",
        check: "redis rights",
        severity: "fault",
        message: /lacks 2 of the rights/,
        remedy: /ACL SETUSER <user> \+hlen \+xtrim,/
      },
      {
        fault: "it throws keys away when it is full",
        check: "redis eviction",
        severity: "fault",
        message: /allkeys-lru/,
        remedy: /noeviction/
      },
      { fault: "it is full", check: "redis memory", severity: "fault", message: /it is full/, remedy: /maxmemory/ },
      {
        fault: "a restart loses everything",
        check: "redis persistence",
        severity: "warning",
        message: /no append-only file/,
        remedy: /appendonly yes/
      },
      {
        fault: "the spool is damaged",
        check: "spool",
        severity: "fault",
        message: /not a database/,
        remedy: /move the file and those beside it/
      }
    ]
  },
  {
    name: "a replica with keys of another version, and a spool that others may read",
    plant: (server, directory) =>
      Effect.gen(function*() {
        const file = join(directory, "spool.db")
        yield* Effect.orDie(Effect.scoped(SqliteSpoolStore.make({ file })))
        chmodSync(file, 0o644)
        yield* server.send("SET", "emitter:{leases}:layout", "4")
        yield* server.send("REPLICAOF", "127.0.0.1", "1")
        return { environment: { REDIS_URL: server.url, ...patient }, args: ["--spool", file] }
      }),
    expected: [
      {
        fault: "another version wrote the keys",
        check: "redis layout",
        severity: "fault",
        message: /layout 4 under the prefix "emitter", and this version needs 5/,
        remedy: /REDIS_PREFIX/
      },
      {
        fault: "it is a replica",
        check: "redis role",
        severity: "fault",
        message: /it is a slave/,
        remedy: /address of the primary/
      },
      {
        fault: "others may read the spool",
        check: "spool",
        severity: "warning",
        message: /others may read/,
        remedy: /chmod 600/
      }
    ]
  },
  {
    name: "a server that is away, and settings that are wrong",
    plant: (server, directory) =>
      Effect.as(server.kill, {
        environment: {
          REDIS_URL: `redis://:${password}@127.0.0.1:${server.port}`,
          EMITTER_PROFIL: "throughput",
          EMITTER_BATCHING_MAX_SIZE: "0",
          JWT_SECRET: password,
          JWKS_URL: `http://127.0.0.1:1/keys?secret=${password}`
        },
        args: ["--spool", join(directory, "none", "spool.db")]
      }),
    expected: [
      {
        fault: "Redis does not run",
        check: "redis connection",
        severity: "fault",
        message: /nothing listens there.*ECONNREFUSED/,
        remedy: /start it/
      },
      {
        fault: "a setting is misspelt",
        check: "settings",
        severity: "warning",
        message: /EMITTER_PROFIL is set, and nothing reads it/,
        remedy: /write EMITTER_PROFILE/
      },
      {
        fault: "a setting is out of its range",
        check: "settings",
        severity: "fault",
        message: /EMITTER_BATCHING_MAX_SIZE/,
        remedy: /EMITTER_BATCHING_MAX_SIZE/
      },
      {
        fault: "the secret of tokens is too short",
        check: "settings",
        severity: "fault",
        message: /JWT_SECRET: a secret of 32 bytes or more is needed, this one has 13/,
        remedy: /JWT_SECRET/
      },
      {
        fault: "the key set cannot be fetched",
        check: "key set",
        severity: "fault",
        message: /key set at http:\/\/127\.0\.0\.1:1\/keys/,
        remedy: /JWKS_URL/
      },
      {
        fault: "the spool has no directory",
        check: "spool",
        severity: "fault",
        message: /there is no directory/,
        remedy: /mkdir -p/
      }
    ]
  },
  {
    name: "a password that is wrong",
    plant: (server) =>
      Effect.as(server.send("ACL", "SETUSER", "emitter", "on", ">another"), {
        environment: { REDIS_URL: `redis://emitter:${password}@127.0.0.1:${server.port}`, ...patient }
      }),
    expected: [{
      fault: "the password is wrong",
      check: "redis connection",
      severity: "fault",
      message: /WRONGPASS/,
      remedy: /user and password/
    }]
  },
  {
    name: "settings that contradict each other",
    plant: () => Effect.succeed({ environment: { REDIS_URL: "redis://127.0.0.1:1", REDIS_LEASE: "2 seconds" } }),
    expected: [{
      fault: "settings contradict each other",
      check: "settings",
      severity: "fault",
      message: /REDIS_LEASE: lease \(2000 ms\) must be at least/,
      remedy: /REDIS_LEASE/
    }]
  },
  {
    name: "a server that is frozen",
    plant: (server) =>
      Effect.as(server.freeze, {
        environment: { REDIS_URL: server.url, REDIS_SILENCE: "300 millis", REDIS_DEADLINE: "100 millis" }
      }),
    expected: [{
      fault: "Redis is frozen",
      check: "redis connection",
      severity: "fault",
      message: /said nothing for 600 ms|there was no answer/,
      remedy: /start it/
    }]
  }
]

// Each starts several processes, which takes seconds each where the machine is loaded.
describe.skipIf(redis === undefined)("effect-emitter doctor", { timeout: 400_000 }, () => {
  for (const { expected, name, plant } of setUps) {
    it.live(`finds what is wrong with ${name}, and says what to do`, () =>
      Effect.gen(function*() {
        const server = yield* redisServer(redis ?? "")
        const directory = yield* Effect.acquireRelease(
          Effect.sync(() => mkdtempSync(join(tmpdir(), "effect-emitter-doctor-"))),
          (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
        )
        const { args = [], environment } = yield* plant(server, directory)
        const ended = yield* call(["doctor", "--json", ...args], environment)
        assert.strictEqual(ended.code, 1, ended.err)
        assert.notInclude(ended.out + ended.err, password)
        const { findings }: { readonly findings: ReadonlyArray<Finding> } = JSON.parse(ended.out)
        for (const { check, fault, message, remedy, severity } of expected) {
          const found = findings.find((finding) =>
            finding.check === check && finding.severity === severity && message.test(finding.message)
          )
          assert.isDefined(found, `${fault}: ${ended.out}`)
          assert.match(found?.remedy ?? "", remedy, fault)
        }
      }).pipe(Effect.scoped))
  }

  it.live("finds no fault where there is none, and ends with 0, with --strict too", () =>
    Effect.gen(function*() {
      const server = yield* redisServer(redis ?? "", { durable: true, args: ["--maxmemory", "100mb"] })
      const keys = createServer((_, response) => void response.end("{\"keys\":[]}")).listen(0, "127.0.0.1")
      yield* Effect.promise(() => once(keys, "listening"))
      const address = keys.address()
      const port = typeof address === "object" ? address?.port : undefined
      const environment = {
        REDIS_URL: server.url,
        ...patient,
        EMITTER_PROFILE: "throughput",
        JWKS_URL: `http://127.0.0.1:${port}/keys`,
        JWKS_TIMEOUT: "30 seconds"
      }
      const { code, out } = yield* Effect.promise(() => run(["doctor", "--strict"], environment))
      keys.close()
      assert.match(out, /^ok +key set/mu)
      // A machine that is loaded answers late, and that is told.
      const warnings = out.split("\n").filter((line) => /^(warning|fault) /u.test(line))
      const others = warnings.filter((line) => !line.startsWith("warning  redis latency"))
      assert.deepStrictEqual(others, [])
      assert.include(out, `0 faults, ${warnings.length} warnings\n`)
      assert.strictEqual(code, warnings.length === 0 ? 0 : 1, out)
    }).pipe(Effect.scoped))

  it("looks for just the rights that the operators' guide lists", () => {
    const guide = readFileSync(new URL("../../src/broker/redis/README.md", import.meta.url), "utf8")
    const listed = /^user emitter on (.*)$/mu.exec(guide)?.[1]?.match(/(?<=\+)\S+/gu) ?? []
    // Who is connected has these two already.
    assert.sameMembers([...Rights.needed, "auth", "select"], [...listed])
  })
})

describe("effect-emitter doctor of compression", () => {
  const found = (environment: Record<string, string>) =>
    Effect.map(call(["doctor", "--json"], environment), ({ out }) => {
      const { findings }: { readonly findings: ReadonlyArray<Finding> } = JSON.parse(out)
      return findings.filter(({ check }) => check === "compression")
    })

  it.live("says how frames are compressed, that it was meant to be and is not, and nothing where nothing is set", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* found({}), [])
      assert.deepStrictEqual(yield* found({ GATEWAY_PATH: "/events" }), [])
      // What is wrong with the settings is found of them.
      assert.deepStrictEqual(yield* found({ GATEWAY_COMPRESSION_ENABLED: "perhaps" }), [])
      const [off] = yield* found({ GATEWAY_COMPRESSION_LEVEL: "6" })
      assert.strictEqual(off?.severity, "warning")
      assert.match(off?.remedy ?? "", /GATEWAY_COMPRESSION_ENABLED=true/u)
      const [alone] = yield* found({ GATEWAY_COMPRESSION_ENABLED: "true" })
      assert.strictEqual(alone?.severity, "note")
      assert.match(alone?.message ?? "", /^frames of 1024 bytes or more are compressed, each by itself, within 64 MiB/u)
      const context = { GATEWAY_COMPRESSION_ENABLED: "true", GATEWAY_COMPRESSION_CONTEXT_TAKEOVER: "true" }
      const [together] = yield* found(context)
      assert.match(together?.message ?? "", /^frames of 64 bytes or more .* each may refer to those before it/u)
    }))
})
