/**
 * A `redis-server` of the test's own, on a free port of 127.0.0.1.
 */
import { Effect, type Scope } from "effect"
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, rmSync } from "node:fs"
import { connect, createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { keep } from "./kept.ts"

export interface RedisServer {
  readonly port: number
  readonly url: string
  /** Starts it, also after `kill`, and waits until it answers. */
  readonly start: Effect.Effect<void>
  /** As if the machine had lost its power. What was written to its append-only file stays, if it has one. */
  readonly kill: Effect.Effect<void>
  /** Stops it without a word, until `thaw`: connections stay, and nothing answers. */
  readonly freeze: Effect.Effect<void>
  readonly thaw: Effect.Effect<void>
  /** Sends one command on a connection of its own, and gives the raw answer. */
  readonly send: (...command: ReadonlyArray<string>) => Effect.Effect<string>
}

const freePort = async (): Promise<number> => {
  const server = createServer().listen(0, "127.0.0.1")
  await once(server, "listening")
  const address = server.address()
  server.close()
  await once(server, "close")
  if (address === null || typeof address === "string") throw new Error("no port")
  return address.port
}

const ask = (port: number, command: ReadonlyArray<string>): Promise<string> =>
  new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1")
    socket.setTimeout(2000, () => socket.destroy(new Error("no answer")))
    socket.once("error", reject)
    socket.once("data", (data) => {
      socket.destroy()
      resolve(String(data))
    })
    socket.write(
      `*${command.length}\r\n${command.map((part) => `$${Buffer.byteLength(part)}\r\n${part}\r\n`).join("")}`
    )
  })

const answers = async (port: number): Promise<void> => {
  for (let attempt = 0; attempt < 400; attempt++) {
    const answer = await ask(port, ["PING"]).catch(() => "")
    if (answer.startsWith("+PONG") || answer.startsWith("-NOAUTH")) return
    await new Promise((resolve) => setTimeout(resolve, 15))
  }
  throw new Error(`redis-server does not answer on port ${port}`)
}

/** Ends with the scope. With `durable` it keeps every write on disk, and has it again when restarted. */
export const redisServer = (
  program: string,
  options: { readonly durable?: boolean; readonly started?: boolean; readonly args?: ReadonlyArray<string> } = {}
): Effect.Effect<RedisServer, never, Scope.Scope> =>
  Effect.gen(function*() {
    const directory = mkdtempSync(join(tmpdir(), "effect-emitter-redis-"))
    const port = yield* Effect.promise(freePort)
    let child: ChildProcess | undefined

    const start = Effect.promise(async () => {
      const durable = options.durable === true ? ["--appendonly", "yes", "--appendfsync", "always"] : []
      child = spawn(program, [
        "--port",
        String(port),
        ..."--bind 127.0.0.1 --loglevel warning --dir".split(" "),
        directory,
        "--save",
        "",
        ...durable,
        ...options.args ?? []
      ], { stdio: "ignore" })
      keep(child, directory)
      await answers(port)
    })
    const kill = Effect.promise(async () => {
      const running = child
      child = undefined
      if (running === undefined || running.exitCode !== null || running.signalCode !== null) return
      const exit = once(running, "exit")
      running.kill("SIGKILL")
      await exit
    })
    yield* Effect.addFinalizer(() =>
      Effect.andThen(kill, Effect.sync(() => rmSync(directory, { recursive: true, force: true })))
    )
    if (options.started !== false) yield* start

    return {
      port,
      url: `redis://127.0.0.1:${port}`,
      start,
      kill,
      freeze: Effect.sync(() => void child?.kill("SIGSTOP")),
      thaw: Effect.sync(() => void child?.kill("SIGCONT")),
      send: (...command) => Effect.promise(() => ask(port, command))
    }
  })
