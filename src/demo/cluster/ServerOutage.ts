/**
 * Takes the demo's server away for real: it answers nobody for a while.
 */
import { Clock, Duration, Effect, Layer } from "effect"
import { spawn } from "node:child_process"
import { Outage } from "../trouble/Outage.ts"

/** Where the server is, and which process it is. */
export interface Server {
  readonly url: string
  readonly pid: number
}

const pauseRedis = ({ url }: Server, ms: number) =>
  Effect.acquireUseRelease(
    Effect.promise(async () => {
      const { createClient } = await import("redis")
      return createClient({ url, socket: { reconnectStrategy: false } }).on("error", () => {}).connect()
    }),
    (client) => Effect.promise(() => client.sendCommand(["CLIENT", "PAUSE", String(ms), "ALL"])),
    (client) => Effect.sync(() => client.destroy())
  )

// Each of its connections is a process. It is let go on by one that outlives whoever asked for it.
const standing = `
all="$1 $(cat /proc/$1/task/$1/children 2> /dev/null || ps -A -o pid= -o ppid= | awk -v of="$1" '$2 == of { print $1 }')"
kill -STOP $all
sleep "$2"
kill -CONT $all
`

const pausePostgres = ({ pid }: Server, ms: number) =>
  Effect.sync(() => {
    const shell = ["-c", standing, "sh", String(pid), String(ms / 1_000)]
    spawn("/bin/sh", shell, { detached: true, stdio: "ignore" }).unref()
  })

/** An outage of all processes that use this server. */
export const layer = (server: Server): Layer.Layer<Outage> =>
  Layer.sync(Outage, () => {
    const pause = server.url.startsWith("redis:") ? pauseRedis : pausePostgres
    let until = 0
    return {
      begin: (time) =>
        Effect.gen(function*() {
          const ms = Duration.toMillis(time)
          yield* pause(server, ms)
          until = (yield* Clock.currentTimeMillis) + ms
        }).pipe(
          Effect.timeoutOption("1 second"),
          Effect.catchCause((cause) => Effect.logWarning("The server cannot be told to pause", cause))
        ),
      isUnder: Effect.map(Clock.currentTimeMillis, (now) => now < until)
    }
  })
