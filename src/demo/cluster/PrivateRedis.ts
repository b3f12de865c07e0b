/**
 * A Redis of the demo's own: on a free port of this machine, in a folder that goes with it.
 */
import { Effect, FileSystem, Path, Schedule, Schema, Stream } from "effect"
import { ChildProcess } from "effect/process"
import { once } from "node:events"
import { connect, createServer } from "node:net"

/** There is no `redis-server` on this machine. */
export class NoRedis extends Schema.TaggedError<NoRedis>()("NoRedis", {}) {
  override get message() {
    return "redis-server is not installed, and this demo starts one of its own. "
      + "Try: apt-get install redis-server (Debian, Ubuntu) or brew install redis (macOS)"
  }
}

/** The server did not start, or did not stay. */
export class RedisFailed extends Schema.TaggedError<RedisFailed>()("RedisFailed", { detail: Schema.String }) {
  override get message() {
    return `The demo's Redis ${this.detail}`
  }
}

/** The server, while it runs. `ended` fails when it ends by itself. */
export interface PrivateRedis {
  readonly url: string
  readonly port: number
  readonly folder: string
  readonly ended: Effect.Effect<never, RedisFailed>
}

// Whatever becomes of the process that started this, the end of its pipe ends the server and removes the folder.
const keeper = `
trap '' INT TERM HUP
folder=$1; shift
exec 3<&0
"$@" < /dev/null > /dev/null & server=$!
(cat <&3 > /dev/null; kill -9 $server 2> /dev/null) &
wait $server
rm -rf "$folder"
`

const freePort = Effect.promise(async () => {
  const server = createServer().listen(0, "127.0.0.1")
  await once(server, "listening")
  const address = server.address()
  server.close()
  await once(server, "close")
  return typeof address === "object" && address !== null ? address.port : 0
})

const answers = (port: number) =>
  Effect.callback<void, RedisFailed>((resume) => {
    const fail = () => resume(Effect.fail(new RedisFailed({ detail: "did not start." })))
    const socket = connect(port, "127.0.0.1", () => socket.write("PING\r\n"))
    socket.setTimeout(500, () => socket.destroy(new Error("no answer")))
    socket.on("data", (data) => String(data).startsWith("+PONG") ? resume(Effect.void) : fail())
    socket.on("error", fail)
    return Effect.sync(() => socket.destroy())
  })

/** Starts it, and waits until it answers. It ends with the scope, or with this process, however that ends. */
export const make = Effect.gen(function*() {
  const files = yield* FileSystem.FileSystem
  const paths = yield* Path.Path
  if (!(yield* isInstalled)) return yield* new NoRedis()
  const folder = yield* files.makeTempDirectoryScoped({ prefix: "effect-emitter-cluster-" })
  const data = paths.join(folder, "redis")
  yield* files.makeDirectory(data)
  const port = yield* freePort
  const options = `--port ${port} --bind 127.0.0.1 --loglevel warning --appendonly no --dir`.split(" ")
  const process = yield* ChildProcess.make(
    "/bin/sh",
    ["-c", keeper, "sh", folder, "redis-server", ...options, data, "--save", ""],
    { detached: true, killSignal: "SIGKILL", stdin: "pipe", stdout: "ignore", stderr: "ignore" }
  )
  const ended = Effect.exit(process.exitCode).pipe(
    Effect.andThen(Effect.fail(new RedisFailed({ detail: "has ended." })))
  )
  yield* answers(port).pipe(
    Effect.retry({ schedule: Schedule.spaced("20 millis"), times: 250 }),
    Effect.raceFirst(ended)
  )
  const redis: PrivateRedis = { url: `redis://127.0.0.1:${port}`, port, folder, ended }
  return redis
})

const isInstalled = Effect.gen(function*() {
  const found = yield* ChildProcess.make("/bin/sh", ["-c", "command -v redis-server"], { stdin: "ignore" })
  yield* Stream.runDrain(found.stdout)
  return (yield* found.exitCode) === 0
}).pipe(Effect.scoped)
