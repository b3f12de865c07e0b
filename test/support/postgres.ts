/**
 * A Postgres of the test's own, on a free port of 127.0.0.1, in a directory of its own.
 *
 * It refuses to run as root, so there it runs as the user `postgres`, or `nobody`.
 */
import { Effect, type Scope } from "effect"
import { type ChildProcess, execFile, execFileSync, spawn } from "node:child_process"
import { once } from "node:events"
import { appendFileSync, chownSync, existsSync, mkdtempSync, readFileSync, renameSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { promisify } from "node:util"
import { freePort } from "./freePort.ts"
import { keep } from "./kept.ts"

export interface PostgresServer {
  readonly port: number
  readonly directory: string
  /** As the superuser, in the database `postgres`. */
  readonly url: string
  /** Starts it, also after `kill`, and waits until it answers. */
  readonly start: Effect.Effect<void>
  /** As if the process had been killed: every process of it ends at once. */
  readonly kill: Effect.Effect<void>
  /** Stops it without a word, until `thaw`: connections stay, and nothing answers. */
  readonly freeze: Effect.Effect<void>
  readonly thaw: Effect.Effect<void>
  /** Runs SQL as the superuser, and gives the rows as text, fields apart by `|`. */
  readonly sql: (text: string) => Effect.Effect<string>
  /** A server that follows this one, and can be promoted. It stops with the scope. */
  readonly standby: Effect.Effect<PostgresServer & { readonly promote: Effect.Effect<void> }, never, Scope.Scope>
}

const run = promisify(execFile)

const startWithinMs = 60_000

const idOf = (user: string, kind: "-u" | "-g"): number | undefined => {
  try {
    return Number(execFileSync("id", [kind, user], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }))
  } catch {
    return undefined
  }
}

const findIdentity = (): { readonly uid?: number; readonly gid?: number } => {
  if (process.getuid?.() !== 0) return {}
  for (const user of ["postgres", "nobody"]) {
    const [uid, gid] = [idOf(user, "-u"), idOf(user, "-g")]
    if (uid !== undefined && gid !== undefined) return { uid, gid }
  }
  return {}
}

let known: ReturnType<typeof findIdentity> | undefined

/** Who runs it: whoever runs the test, unless that is root. */
export const identity = (): ReturnType<typeof findIdentity> => known ??= findIdentity()

const childrenOf = (pid: number): ReadonlyArray<number> => {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ").filter((text) => text !== "").map(
      Number
    )
  } catch {
    return []
  }
}

const send = (pid: number, signal: NodeJS.Signals): void => {
  try {
    process.kill(pid, signal)
  } catch {
    // It has ended meanwhile.
  }
}

export interface PostgresOptions {
  /** What is committed survives the loss of power, at the price of waiting for a disk. */
  readonly durable?: boolean
  /** Settings, as in `postgresql.conf`. */
  readonly settings?: Readonly<Record<string, string>>
}

const programs = (postgres: string) => {
  const bin = dirname(postgres)
  return {
    postgres,
    initdb: join(bin, "initdb"),
    psql: join(bin, "psql"),
    basebackup: join(bin, "pg_basebackup"),
    ctl: join(bin, "pg_ctl")
  }
}

const serve = (
  postgres: string,
  directory: string,
  options: PostgresOptions
): Effect.Effect<PostgresServer, never, Scope.Scope> =>
  Effect.gen(function*() {
    const { basebackup, ctl, psql } = programs(postgres)
    const port = yield* freePort
    const data = join(directory, "data")
    const url = `postgres://postgres@127.0.0.1:${port}/postgres`
    let child: ChildProcess | undefined
    // Each connection is a process, in a session of its own. While some of them end, the system's list of them may miss
    // others: so all are stopped first, and listed until no new one shows up.
    const signal = (name: "SIGKILL" | "SIGSTOP" | "SIGCONT") => {
      if (child?.pid === undefined || child.exitCode !== null || child.signalCode !== null) return
      const stopped = new Set<number>()
      while (true) {
        const running = [child.pid, ...childrenOf(child.pid)].filter((pid) => !stopped.has(pid))
        if (running.length === 0) break
        for (const pid of running) {
          send(pid, "SIGSTOP")
          stopped.add(pid)
        }
      }
      if (name !== "SIGSTOP") { for (const pid of stopped) send(pid, name) }
    }
    const ask = (text: string) =>
      run(psql, ["-XAtq", "-v", "ON_ERROR_STOP=1", "-c", text, url], { maxBuffer: 64 * 1024 * 1024 })
    const settings: Record<string, string> = {
      port: String(port),
      listen_addresses: "127.0.0.1",
      unix_socket_directories: directory,
      max_connections: "200",
      shared_buffers: "32MB",
      ...options.durable === true ? {} : { fsync: "off", full_page_writes: "off" },
      ...options.settings
    }
    const start = Effect.promise(async () => {
      const own = spawn(postgres, [
        "-D",
        data,
        ...Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`])
      ], { ...identity(), stdio: ["ignore", "ignore", "pipe"] })
      child = own
      keep(own, directory)
      let log = ""
      // It says so itself: to ask takes a process each time.
      await new Promise<void>((resolve, reject) => {
        const fail = () => {
          clearTimeout(timer)
          reject(new Error(`Postgres does not answer on port ${port}: ${log}`))
        }
        const timer = setTimeout(fail, startWithinMs)
        own.once("exit", fail)
        own.stderr.on("data", (text) => {
          log = `${log}${text}`.slice(-4_000)
          if (!log.includes("ready to accept")) return
          clearTimeout(timer)
          resolve()
        })
      })
    })
    const kill = Effect.promise(async () => {
      const running = child
      if (running === undefined || running.exitCode !== null || running.signalCode !== null) return
      const exit = once(running, "exit")
      signal("SIGKILL")
      await exit
      child = undefined
    })
    yield* Effect.addFinalizer(() =>
      Effect.andThen(kill, Effect.sync(() => rmSync(directory, { recursive: true, force: true, maxRetries: 5 })))
    )
    const standby: PostgresServer["standby"] = Effect.gen(function*() {
      const home = newDirectory()
      yield* Effect.promise(() =>
        run(
          basebackup,
          ["-D", join(home, "data"), "-R", "-X", "stream", "-c", "fast", "--no-sync", "-d", url],
          identity()
        )
      )
      const other = yield* serve(postgres, home, options)
      yield* other.start
      return {
        ...other,
        promote: Effect.promise(() => run(ctl, ["-D", join(home, "data"), "-w", "promote"], identity()))
      }
    })
    return {
      port,
      directory,
      url,
      start,
      kill,
      freeze: Effect.sync(() => signal("SIGSTOP")),
      thaw: Effect.sync(() => signal("SIGCONT")),
      sql: (text) => Effect.promise(async () => (await ask(text)).stdout.trim()),
      standby
    }
  })

const newDirectory = (): string => {
  const directory = mkdtempSync(join(tmpdir(), "effect-emitter-postgres-"))
  const { gid, uid } = identity()
  if (uid !== undefined && gid !== undefined) chownSync(directory, uid, gid)
  return directory
}

/**
 * What initdb makes, packed into a file that stays for later runs: to unpack it takes a sixth of the time. All servers made
 * of it have one `system_identifier`.
 */
const packHome = async (postgres: string): Promise<string> => {
  const { initdb } = programs(postgres)
  const version = (await run(initdb, ["--version"])).stdout.match(/\d[\d.]*/u)?.[0] ?? ""
  const file = join(tmpdir(), `effect-emitter-postgres-${version}-${identity().uid ?? process.getuid?.() ?? ""}.tar`)
  if (existsSync(file)) return file
  const directory = newDirectory()
  try {
    const [data, packed] = [join(directory, "data"), join(directory, "packed")]
    const settings = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "--no-instructions"]
    await run(initdb, ["-D", data, ...settings], identity())
    appendFileSync(join(data, "pg_hba.conf"), "host replication all 127.0.0.1/32 trust\n")
    await run("tar", ["-C", directory, "-cf", packed, "data"], identity())
    // Another process that packs one at the same time leaves as good a file.
    renameSync(packed, file)
    return file
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

let packed: Promise<string> | undefined

/** Ends with the scope. It waits for no disk unless it is `durable`. */
export const postgresServer = (
  postgres: string,
  options: PostgresOptions = {}
): Effect.Effect<PostgresServer, never, Scope.Scope> =>
  Effect.gen(function*() {
    const home = yield* Effect.promise(() => packed ??= packHome(postgres))
    const directory = newDirectory()
    yield* Effect.promise(() => run("tar", ["-C", directory, "-xf", home], identity()))
    const server = yield* serve(postgres, directory, options)
    yield* server.start
    return server
  })
