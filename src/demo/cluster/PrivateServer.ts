/**
 * The server that the demo keeps its logs in, of its own: a Redis or a Postgres, on a free port of this machine, in a folder
 * that goes with it.
 */
import { Effect, FileSystem, Option, Path, Schedule, Schema, Stream } from "effect"
import { ChildProcess } from "effect/process"
import { once } from "node:events"
import { connect, createServer } from "node:net"
import type { Broker } from "./Options.ts"

const installing = {
  redis: "redis-server is not installed, and this demo starts one of its own. "
    + "Try: apt-get install redis-server (Debian, Ubuntu) or brew install redis (macOS)",
  postgres: "Postgres is not installed (15 or later), and this demo starts one of its own. "
    + "Try: apt-get install postgresql (Debian, Ubuntu) or brew install postgresql@17 (macOS)"
}

/** There is no such server on this machine. */
export class NotInstalled extends Schema.TaggedError<NotInstalled>()("NotInstalled", {
  broker: Schema.Literals(["redis", "postgres"])
}) {
  override get message() {
    return installing[this.broker]
  }
}

/** The server did not start, or did not stay. */
export class ServerFailed extends Schema.TaggedError<ServerFailed>()("ServerFailed", {
  name: Schema.String,
  detail: Schema.String
}) {
  override get message() {
    return `The demo's ${this.name} ${this.detail}`
  }
}

/** The server, while it runs, as process `pid`. `ended` fails when it ends by itself. */
export interface PrivateServer {
  readonly name: string
  readonly url: string
  readonly port: number
  readonly pid: number
  readonly folder: string
  readonly ended: Effect.Effect<never, ServerFailed>
}

// Whatever becomes of the process that started this, the end of its pipe ends the server and removes the folder. The server
// is this shell's child, so that its number is nobody else's until it was waited for. One that stands still is let go on first.
const keeper = `
trap '' INT TERM HUP
folder=$1; last=$2; shift 2
exec 3<&0
"$@" < /dev/null > /dev/null & server=$!
echo "server $server"
exec > /dev/null
(cat <&3 > /dev/null
children=$(cat /proc/$server/task/$server/children 2> /dev/null)
kill -CONT $server $children 2> /dev/null
kill -$last $server 2> /dev/null) &
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

// Either has an answer to its first message that says it is ready: a PONG, or what it wants to know of whoever connects.
const greetings = {
  redis: { asked: "PING\r\n", answered: /^\+PONG/u },
  postgres: { asked: startupMessage("postgres"), answered: /^R/u }
}

// See "Message Formats" in the documentation of Postgres.
function startupMessage(user: string): Uint8Array {
  const body = Buffer.from(`\0\u0003\0\0user\0${user}\0\0`, "latin1")
  const length = Buffer.alloc(4)
  length.writeInt32BE(body.length + 4)
  return Buffer.concat([length, body])
}

const answers = (broker: Broker, name: string, port: number) =>
  Effect.callback<void, ServerFailed>((resume) => {
    const { answered, asked } = greetings[broker]
    const fail = () => resume(Effect.fail(new ServerFailed({ name, detail: "did not start." })))
    const socket = connect(port, "127.0.0.1", () => socket.write(asked))
    socket.setTimeout(500, () => socket.destroy(new Error("no answer")))
    socket.on("data", (data) => answered.test(String(data)) ? resume(Effect.void) : fail())
    socket.on("error", fail)
    return Effect.sync(() => socket.destroy())
  })

const serve = Effect.fnUntraced(function*(options: {
  readonly broker: Broker
  readonly name: string
  readonly url: (port: number) => string
  readonly port: number
  readonly folder: string
  /** The signal that ends it at once. */
  readonly last: "KILL" | "QUIT"
  readonly command: ReadonlyArray<string>
}) {
  const { broker, command, folder, last, name, port, url } = options
  const process = yield* ChildProcess.make(
    "/bin/sh",
    ["-c", keeper, "sh", folder, last, ...command],
    { detached: true, killSignal: "SIGKILL", stdin: "pipe", stdout: "pipe", stderr: "ignore" }
  )
  const ended = Effect.exit(process.exitCode).pipe(
    Effect.andThen(Effect.fail(new ServerFailed({ name, detail: "has ended." })))
  )
  const said = yield* Stream.decodeText(process.stdout).pipe(
    Stream.splitLines,
    Stream.runHead,
    Effect.raceFirst(ended)
  )
  yield* answers(broker, name, port).pipe(
    Effect.retry({ schedule: Schedule.spaced("20 millis"), times: 250 }),
    Effect.raceFirst(ended)
  )
  const pid = Number(Option.getOrElse(said, () => "").split(" ")[1])
  const server: PrivateServer = { name, url: url(port), port, pid, folder, ended }
  return server
})

/** Starts it, and waits until it answers. It ends with the scope, or with this process, however that ends. */
export const make = (broker: Broker) => broker === "redis" ? makeRedis : makePostgres

const newFolder = Effect.flatMap(
  FileSystem.FileSystem,
  (files) => files.makeTempDirectoryScoped({ prefix: "effect-emitter-cluster-" })
)

const makeRedis = Effect.gen(function*() {
  const files = yield* FileSystem.FileSystem
  const paths = yield* Path.Path
  if ((yield* saidBy("command -v redis-server")) === "") return yield* new NotInstalled({ broker: "redis" })
  const folder = yield* newFolder
  const data = paths.join(folder, "redis")
  yield* files.makeDirectory(data)
  const port = yield* freePort
  const options = `--port ${port} --bind 127.0.0.1 --loglevel warning --appendonly no --dir`.split(" ")
  return yield* serve({
    broker: "redis",
    name: "Redis",
    url: (port) => `redis://127.0.0.1:${port}`,
    port,
    folder,
    last: "KILL",
    command: ["redis-server", ...options, data, "--save", ""]
  })
})

// Debian keeps it in no path, since several versions of it may be installed. The newest is taken.
const findPostgres = `
for bin in $(ls -d /usr/lib/postgresql/*/bin 2> /dev/null | sort -t / -k 5 -n -r) ''; do
  postgres=$bin/postgres
  if [ "$bin" = '' ]; then postgres=$(command -v postgres); fi
  case $("$postgres" --version 2> /dev/null) in
    "postgres (PostgreSQL) "[0-9].* | "postgres (PostgreSQL) 1"[0-4].*) ;;
    "postgres (PostgreSQL) "*) dirname "$postgres"; exit ;;
  esac
done
`

const makePostgres = Effect.gen(function*() {
  const files = yield* FileSystem.FileSystem
  const paths = yield* Path.Path
  const bin = yield* saidBy(findPostgres)
  if (bin === "") return yield* new NotInstalled({ broker: "postgres" })
  const folder = yield* newFolder
  const data = paths.join(folder, "postgres")
  yield* files.makeDirectory(data)
  // It refuses to run as root.
  const isRoot = (yield* saidBy("id -u")) === "0"
  const user = isRoot ? yield* saidBy("id -un postgres 2> /dev/null || echo nobody") : ""
  const group = isRoot ? yield* saidBy(`id -gn ${user}`) : ""
  const as = isRoot ? ["setpriv", `--reuid=${user}`, `--regid=${group}`, "--clear-groups"] : []
  if (isRoot) yield* saidBy(`chmod 755 '${folder}' && chown ${user} '${data}'`)
  const port = yield* freePort
  const initdb = [...as, paths.join(bin, "initdb"), "-D", data, "-U", "postgres", "-A", "trust", "--no-sync"]
  const made = yield* ChildProcess.make("/bin/sh", ["-c", "cd / && exec \"$@\" > /dev/null 2>&1", "sh", ...initdb], {
    stdin: "ignore"
  })
  if ((yield* made.exitCode) !== 0) {
    return yield* new ServerFailed({ name: "Postgres", detail: "could not be set up: initdb failed." })
  }
  const settings = {
    port,
    listen_addresses: "127.0.0.1",
    unix_socket_directories: data,
    fsync: "off",
    full_page_writes: "off",
    shared_buffers: "32MB"
  }
  return yield* serve({
    broker: "postgres",
    name: "Postgres",
    url: (port) => `postgres://postgres@127.0.0.1:${port}/postgres`,
    port,
    folder,
    // It ends its processes, and gives back the memory that they share.
    last: "QUIT",
    command: [
      ...as,
      paths.join(bin, "postgres"),
      "-D",
      data,
      ...Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`])
    ]
  })
})

const saidBy = (script: string) =>
  Effect.gen(function*() {
    const shell = yield* ChildProcess.make("/bin/sh", ["-c", script], { stdin: "ignore", stderr: "ignore" })
    return (yield* Stream.mkString(Stream.decodeText(shell.stdout))).trim()
  }).pipe(Effect.scoped)
