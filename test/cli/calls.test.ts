/**
 * What holds for every subcommand of the command line, whatever it does. Their names and arguments come from its own help, so
 * that a new one is held by this as well.
 */
import { assert, beforeAll, describe, it } from "@effect/vitest"
import { Duration, Effect } from "effect"
import { execFileSync } from "node:child_process"
import { createServer, type Socket } from "node:net"
import { fileURLToPath } from "node:url"
import * as Leave from "../../src/cli/leave.ts"
import { newFile } from "../broker/sqlite/sqliteFile.ts"
import { until } from "../client/devices.ts"
import { begin, call, type Ended, start, values } from "./cli.ts"

/** An argument that every command takes for one. */
const word = "ada1"

type Sections = Readonly<Record<string, ReadonlyArray<string>>>

const sectionsOf = (help: string): Sections => {
  const sections: Record<string, Array<string>> = {}
  let lines: Array<string> = []
  for (const line of help.split("\n")) {
    if (/^[A-Z][A-Z ]+$/u.test(line)) sections[line] = lines = []
    else if (line.startsWith("  ")) lines.push(line.trim())
  }
  return sections
}

interface Flag {
  readonly name: string
  readonly type: string | undefined
  readonly text: string
}

const flagOf = (line: string): Flag => {
  const [, name = "", type, text = ""] = /^--([\w-]+)(?:, --?[\w-]+)*(?: (\S+))? {2,}(.*)$/u.exec(line) ?? []
  return { name, type, text }
}

interface Subcommand {
  readonly name: string
  readonly help: Ended
  readonly sections: Sections
  readonly needed: ReadonlyArray<string>
  readonly optional: ReadonlyArray<string>
  readonly flags: ReadonlyArray<Flag>
  /** A call that says what it needs, and no more. */
  readonly args: ReadonlyArray<string>
}

const subcommand = (name: string) =>
  Effect.map(call([name, "--help"]), (help): Subcommand => {
    const sections = sectionsOf(help.out)
    const given = sections["ARGUMENTS"] ?? []
    const nameOf = (line: string) => line.split(" ")[0] ?? ""
    const needed = given.filter((line) => !line.endsWith("(optional)")).map(nameOf)
    const optional = given.filter((line) => line.endsWith("(optional)")).map(nameOf)
    const flags = [...sections["FLAGS"] ?? [], ...sections["INHERITED FLAGS"] ?? []].map(flagOf)
    return { name, help, sections, needed, optional, flags, args: [name, ...needed.map(() => word)] }
  })

/** One that goes on until it is told to end would hold up a test. */
const ending = ({ args, flags }: Subcommand): ReadonlyArray<string> =>
  flags.some(({ name }) => name === "live") ? [...args, "--no-live", "--from", "earliest"] : args

const refused = (ended: Ended, what: string, ...says: ReadonlyArray<string | RegExp>) => {
  assert.deepStrictEqual([ended.code, ended.out], [2, ""], `${what}: ${ended.err}`)
  assert.notInclude(ended.err, "\u001B", what)
  assert.notMatch(ended.err, /^ +at /mu, what)
  assert.isBelow(ended.err.split("\n").length, 5, ended.err)
  for (const said of says) {
    if (typeof said === "string") assert.include(ended.err, said, what)
    else assert.match(ended.err, said, what)
  }
}

const escape = "\u001B"

/** A server that takes connections and never says a word, as one that is frozen. */
const silentServer = Effect.acquireRelease(
  Effect.callback<{ readonly port: number; readonly came: () => number; readonly close: () => void }>((resume) => {
    const sockets: Array<Socket> = []
    const server = createServer((socket) => sockets.push(socket.on("error", () => {})))
    server.listen(0, "127.0.0.1", () => {
      const address = server.address()
      const close = () => {
        for (const socket of sockets) socket.destroy()
        server.close()
      }
      const port = typeof address === "object" && address !== null ? address.port : 0
      resume(Effect.succeed({ port, came: () => sockets.length, close }))
    })
  }),
  ({ close }) => Effect.sync(close)
)

const secret = "hunter2hunter2"

describe("every subcommand of effect-emitter", { timeout: 300_000 }, () => {
  let root: Sections = {}
  let subcommands: ReadonlyArray<Subcommand> = []
  beforeAll(() =>
    Effect.runPromise(Effect.gen(function*() {
      root = sectionsOf((yield* call(["--help"])).out)
      const names = (root["SUBCOMMANDS"] ?? []).map((line) => line.split(" ")[0] ?? "")
      subcommands = yield* Effect.forEach(names, subcommand)
    })), 120_000)

  it.live("is in the help of the program, which is told where it was not asked for by the standard error output", () =>
    Effect.gen(function*() {
      assert.includeMembers(subcommands.map(({ name }) => name), ["doctor", "tail"])
      for (const args of [[], ["--json"]]) {
        const none = yield* call(args)
        assert.deepStrictEqual([none.code, none.out], [2, ""])
        assert.match(none.err, /^SUBCOMMANDS$[^]*^EXIT CODES$/mu)
      }
    }))

  it("tells with --help its arguments, its flags and what holds without them, its exit codes, and an example", () => {
    for (const { flags, help, name, needed, optional, sections } of subcommands) {
      assert.deepStrictEqual([help.code, help.err], [0, ""], name)
      assert.isAbove((sections["DESCRIPTION"] ?? []).join(" ").length, 20, name)
      const usage = (sections["USAGE"] ?? []).join(" ")
      assert.match(usage, new RegExp(`^effect-emitter ${name}\\b`, "u"))
      for (const argument of needed) assert.include(usage, `<${argument}>`, name)
      for (const argument of optional) {
        assert.match(
          (sections["ARGUMENTS"] ?? []).find((line) => line.startsWith(`${argument} `)) ?? "",
          /default: /u,
          name
        )
      }
      assert.includeMembers(flags.map((flag) => flag.name), ["json"], name)
      for (const flag of flags) {
        assert.notStrictEqual(flag.name, "", name)
        assert.match(flag.text, /^[A-Z].*\(default: [^)]+\)(?: \(choices: [^)]+\))?$/u, `${name} --${flag.name}`)
      }
      const codes = (sections["EXIT CODES"] ?? []).map((line) => /^(\d+) +\S/u.exec(line)?.[1])
      assert.deepStrictEqual(codes, ["0", "1", "2", "3", "130"], name)
      assert.isTrue(
        (sections["EXAMPLES"] ?? []).some((line) =>
          new RegExp(`^([A-Z_]+=\\S+ )*effect-emitter ${name}\\b`, "u").test(line)
        ),
        name
      )
    }
  })

  it.live("refuses what it does not know, has too much of, or misses, in a line that tells how to get help", () =>
    Effect.gen(function*() {
      refused(
        yield* call(["nonsense"]),
        "nonsense",
        /Unknown subcommand "nonsense"[^\n]*\(effect-emitter --help [^\n]*\n$/u
      )
      refused(yield* call(["dokter"]), "dokter", "doctor")
      refused(yield* call(["--nonsense"]), "--nonsense", "--nonsense", "effect-emitter --help")
      for (const { args, flags, name, needed, optional } of subcommands) {
        const help = `(effect-emitter ${name} --help tells the options)`
        const unknown = yield* call([...args, "--nonsense"])
        refused(unknown, `${name} --nonsense`, "Unrecognized flag: --nonsense", help)
        assert.lengthOf(unknown.err.split("\n"), 2)
        for (const [index, argument] of needed.entries()) {
          refused(yield* call([name, ...needed.slice(0, index).map(() => word)]), name, argument, "Missing", help)
        }
        const tooMany = [...args, ...optional.map(() => "{}"), `${escape}[2J`]
        refused(yield* call(tooMany), `${name} with too much`, "Unexpected", help)
        for (const flag of flags.filter(({ type }) => type !== undefined)) {
          refused(yield* call([...args, `--${flag.name}`]), `${name} --${flag.name} without a value`, flag.name, help)
        }
      }
    }))

  it.live("refuses a wrong value with its name, the value, and what is needed", () =>
    Effect.gen(function*() {
      for (const { args, flags, name, needed } of subcommands) {
        for (const [index, argument] of needed.entries()) {
          const wrong = [name, ...needed.map((_, at) => at === index ? `a ${escape}b` : word)]
          refused(yield* call(wrong), `${name} <${argument}>`, `<${argument}>`, "a \\x1bb", "Expected")
        }
        for (const { name: flag, type } of flags) {
          const given = type === "choice" ? "nonsense" : type === "integer" ? "1.5" : undefined
          if (given === undefined) continue
          refused(yield* call([...args, `--${flag}`, given]), `${name} --${flag}`, `--${flag}`, given, "Expected")
        }
      }
      const tooLong = "x".repeat(1_001)
      for (
        const [args, ...says] of [
          [["tail", "ada", "--after=-1"], "--after", "\"-1\"", "greater than or equal to 0"],
          [["tail", "ada", "--after", "soon"], "--after", "\"soon\"", "number"],
          [["tail", "ada", "--count", "0"], "--count", "\"0\"", "greater than 0"],
          [["tail", "ada", "--from", "middle"], "--from", "middle", "earliest"],
          [["token", "ada", "--lifetime", "soon"], "--lifetime", "soon"],
          [["token", "ada", "--lifetime", "0 seconds"], "--lifetime", "from 1 second to 365 days"],
          [["token", "ada", "--lifetime", "Infinity"], "--lifetime", "from 1 second to 365 days"],
          [["publish", "ada", "ping", "--thread", "a b"], "--thread", "a b"],
          [["publish", "ada", "agent_started"], "built-in", "of your own"],
          [["publish", "ada", "ping", "[1]"], "no JSON object: [1]", "{\"total\": 12.5}"],
          [["cancel", "run-1", "--reason", tooLong], "--reason", "1000"],
          [["runs", "ada", "--json=maybe"], "--json", "maybe"],
          [["doctor", "--spool", "redis://127.0.0.1"], "--spool", "the path of a file"],
          [["why", "run-1", "--spool", "/nowhere/spool.db"], "/nowhere/spool.db", "no such file"]
        ] as const
      ) refused(yield* call(args), args.join(" ").slice(0, 60), ...says)
    }))

  it.live("writes values of JSON and nothing else with --json, and no colours where NO_COLOR is set", () =>
    Effect.gen(function*() {
      const file = yield* newFile
      const JWT_SECRET = `${secret} of at least 32 characters`
      const environment = { SQLITE_FILE: file, SQLITE_DEADLINE: "30 seconds", JWT_SECRET, FORCE_COLOR: "1" }
      yield* call(["publish", word, "order_placed", "{\"total\":12.5}"], environment)
      assert.include((yield* call(["doctor"], environment)).out, escape)
      const beyond = yield* call(["tail", word, "--after", "2", "--no-live"], environment)
      refused(beyond, "an offset that the log has not", "--after is 2, and the log ends at offset 1", "up to 1;")
      let written = 0
      for (const each of subcommands) {
        const args = ending(each)
        const json = yield* call([...args, "--json"], environment)
        assert.notStrictEqual(json.code, 2, `${args.join(" ")}: ${json.err}`)
        written += values(json).length
        assert.notInclude(json.out + json.err, escape, args.join(" "))
        const plain = yield* call(args, { ...environment, NO_COLOR: "1" })
        assert.notInclude(plain.out + plain.err, escape, args.join(" "))
        for (const { err, out } of [json, plain]) assert.notInclude(out + err, secret)
        assert.notStrictEqual(plain.out + plain.err, "", args.join(" "))
      }
      assert.isAbove(written, 4)
    }))

  it.live("prints nothing secret, whatever is wrong with it", () =>
    Effect.gen(function*() {
      const addresses = (protocol: string) => [
        `${protocol}://app:${secret}@127.0.0.1:1/0`,
        `${protocol}://app:${secret}@127.0.0.1:99999/0`,
        `app:${secret}@127.0.0.1`
      ]
      const environments: ReadonlyArray<Record<string, string>> = [
        ...addresses("redis").map((REDIS_URL) => ({ REDIS_URL })),
        ...addresses("postgres").map((POSTGRES_URL) => ({ POSTGRES_URL })),
        ...addresses("https").map((JWKS_URL) => ({ JWKS_URL })),
        { JWT_SECRET: secret },
        { REDIS_URLS_0: addresses("redis")[1] ?? "", REDIS_SECRET: secret }
      ]
      yield* Effect.forEach(
        environments.flatMap((environment) => subcommands.map((each) => ({ environment, args: ending(each) }))),
        ({ args, environment }) =>
          Effect.map(call(args, environment), ({ code, err, out }) => {
            assert.include([0, 1, 2, 3], code)
            assert.notInclude(out + err, secret, `${args.join(" ")} with ${Object.keys(environment).join(", ")}`)
          }),
        { concurrency: 8, discard: true }
      )
      const given = `redis://app:${secret}@127.0.0.1:6379/0`
      const token = `eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhZGEifQ.${secret}`
      for (const { args, name, needed } of subcommands) {
        for (const wrong of [given, `${given} x`, `${token} x`]) {
          const { err, out } = yield* call([name, ...needed.map(() => wrong), wrong])
          assert.notInclude(out + err, secret, `${name} ${wrong}`)
        }
        for (const flag of ["--user", "--spool", "--thread", "--lifetime", "--nonsense"]) {
          const { err, out } = yield* call([...args, `${flag}=${given} {}`])
          assert.notInclude(out + err, secret, `${name} ${flag}`)
        }
      }
    }))

  it.live("ends with 130 at Ctrl-C while a broker is frozen, and says how far it was", () =>
    Effect.gen(function*() {
      const server = yield* silentServer
      const at = `app:${secret}@127.0.0.1:${server.port}`
      let waited = 0
      for (const environment of [{ REDIS_URL: `redis://${at}` }, { POSTGRES_URL: `postgres://${at}/app` }]) {
        for (const { args } of subcommands) {
          const before = server.came()
          const begun = yield* begin(args, environment)
          yield* until(`${args.join(" ")} asks the broker`, () => server.came() > before || begun.isOver())
          if (begun.isOver()) continue
          waited++
          const { code, err } = yield* Effect.timeout(begun.interrupt, "60 seconds")
          assert.strictEqual(code, 130, args.join(" "))
          assert.match(err, /\S\n$/u, args.join(" "))
          assert.notMatch(err, /^ +at |Error:/mu)
          assert.notInclude(err, secret)
        }
      }
      assert.isAtLeast(waited, 2 * 7)

      const before = server.came()
      const doctor = yield* begin(["doctor", "--json"], { REDIS_URL: `redis://app:${secret}@127.0.0.1:${server.port}` })
      yield* until("doctor asks the broker", () => server.came() > before)
      const [value, ...others] = values(yield* doctor.interrupt)
      assert.deepStrictEqual([value?.["complete"], others], [false, []])
      assert.deepInclude(value?.["findings"], {
        check: "node",
        severity: "ok",
        message: `Node ${process.versions.node}`
      })
    }))

  it.live("waits for no pipe where a file is meant", () =>
    Effect.gen(function*() {
      const pipe = yield* newFile
      execFileSync("mkfifo", [pipe])
      for (const each of subcommands.filter(({ flags }) => flags.some(({ name }) => name === "spool"))) {
        const { code, err, out } = yield* call([...each.args, "--spool", pipe])
        assert.include([1, 2], code, each.name)
        assert.include(out + err, "no regular file", each.name)
      }
      const doctor = yield* call(["doctor"], { SQLITE_FILE: pipe })
      assert.match(doctor.out, /^fault +sqlite file +it is no file of effect-emitter's/mu)
      assert.strictEqual((yield* call(["why", "run-1"], { SQLITE_FILE: pipe })).code, 1)
    }))

  it.live("ends with 3 when a broker has said nothing for a while", () =>
    Effect.gen(function*() {
      const server = yield* silentServer
      const at = `app:${secret}@127.0.0.1:${server.port}`
      const soon = (prefix: string) => ({ [`${prefix}_DEADLINE`]: "300 millis", [`${prefix}_SILENCE`]: "500 millis" })
      const ended = yield* Effect.all([
        call(["runs", "ada"], { REDIS_URL: `redis://${at}`, ...soon("REDIS") }),
        call(["runs", "ada"], { POSTGRES_URL: `postgres://${at}/app`, ...soon("POSTGRES") })
      ], { concurrency: 2 })
      for (const { code, err, out } of ended) {
        assert.deepStrictEqual([code, out], [3, ""], err)
        assert.match(err, /→ effect-emitter doctor tells/u)
        assert.notInclude(err, secret)
      }
    }))
})

describe("the process of effect-emitter", { timeout: 300_000 }, () => {
  it.live("ends with 130 and without a stack trace at Ctrl-C, while its broker is frozen", () =>
    Effect.gen(function*() {
      const server = yield* silentServer
      const tail = start(["tail", "ada"], { REDIS_URL: `redis://app:${secret}@127.0.0.1:${server.port}` })
      yield* until("it asks the broker", () => server.came() > 0)
      tail.interrupt()
      const { code, err, out } = yield* Effect.promise(() => tail.ended)
      assert.deepStrictEqual([code, out], [130, ""], err)
      assert.match(err, /^interrupted[^\n]*\n$/u)
    }))

  it.live("ends once nobody reads what it writes, as behind a pipe into head", () =>
    Effect.gen(function*() {
      const file = yield* newFile
      const environment = { SQLITE_FILE: file, SQLITE_DEADLINE: "30 seconds" }
      yield* call(["publish", "ada", "ping"], environment)
      const tail = start(["tail", "ada", "--from", "earliest"], environment)
      tail.closeOutput()
      const { code, err } = yield* Effect.promise(() => tail.ended)
      assert.strictEqual(code, 130, err)
      assert.notMatch(err, /EPIPE|^ +at /mu)
    }))

  /** A process that was interrupted, and does not get done with closing. */
  const closing = Effect.gen(function*() {
    const stuck = start([], {}, fileURLToPath(new URL("stuck.ts", import.meta.url)))
    yield* Effect.promise(() => stuck.wrote("at work"))
    const at = performance.now()
    stuck.interrupt()
    yield* Effect.promise(() => stuck.wrote("closing"))
    return { ...stuck, ms: () => performance.now() - at }
  })

  it.live("is left after its grace where what is open does not close, and says what it said", () =>
    Effect.gen(function*() {
      const stuck = yield* closing
      const { code, err, out } = yield* Effect.promise(() => stuck.ended)
      assert.deepStrictEqual([code, out, err], [130, "at work\nclosing\n", ""])
      assert.isAtLeast(stuck.ms(), Duration.toMillis(Leave.grace) - 50)
    }))

  it.live("is left at once by a second Ctrl-C", () =>
    Effect.gen(function*() {
      const stuck = yield* closing
      const before = stuck.ms()
      stuck.interrupt()
      const { code } = yield* Effect.promise(() => stuck.ended)
      assert.strictEqual(code, 130)
      // On a machine that has no time for it the grace may be over by then.
      if (before < 1_000) assert.isBelow(stuck.ms(), Duration.toMillis(Leave.grace))
    }))
})
