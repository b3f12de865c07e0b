/**
 * A PgBouncer of the test's own in front of a Postgres, in transaction mode: each transaction may be on another connection.
 */
import { Effect, type Scope } from "effect"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { chownSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { connect } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { freePort } from "./freePort.ts"
import { keep } from "./kept.ts"
import { patience } from "./patience.ts"
import { identity } from "./postgres.ts"

const listens = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => {
      socket.destroy()
      resolve(true)
    })
    socket.once("error", () => resolve(false))
  })

/** Starts one whose program is given, over the Postgres on a port, and gives its URL. It ends with the scope. */
export const pgbouncer = (program: string, postgresPort: number): Effect.Effect<string, never, Scope.Scope> =>
  Effect.gen(function*() {
    const port = yield* freePort
    const directory = mkdtempSync(join(tmpdir(), "effect-emitter-pgbouncer-"))
    const settings = join(directory, "pgbouncer.ini")
    const users = join(directory, "users.txt")
    writeFileSync(users, "\"postgres\" \"\"\n")
    writeFileSync(
      settings,
      `[databases]
postgres = host=127.0.0.1 port=${postgresPort} dbname=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = trust
auth_file = ${users}
pool_mode = transaction
default_pool_size = 4
`
    )
    const { gid, uid } = identity()
    if (uid !== undefined && gid !== undefined) {
      for (const path of [directory, settings, users]) chownSync(path, uid, gid)
    }
    yield* Effect.acquireRelease(
      Effect.sync(() => {
        const child = spawn(program, ["-q", settings], { ...identity(), stdio: "ignore" })
        keep(child, directory)
        return child
      }),
      (child) =>
        Effect.promise(async () => {
          const exit = child.exitCode === null && child.signalCode === null ? once(child, "exit") : undefined
          child.kill("SIGKILL")
          await exit
          rmSync(directory, { recursive: true, force: true })
        })
    )
    yield* Effect.promise(async () => {
      for (const end = performance.now() + 5_000 * patience; !(await listens(port));) {
        if (performance.now() > end) throw new Error(`PgBouncer does not listen on port ${port}`)
        await new Promise((resolve) => setTimeout(resolve, 25))
      }
    })
    return `postgres://postgres@127.0.0.1:${port}/postgres`
  })
