/** A gateway as a process of its own: `standalone.ts`, and what a test asks of it. */
import { Effect } from "effect"
import { spawn } from "node:child_process"
import { fileURLToPath } from "node:url"
import { secret } from "./server.ts"

const standalone = fileURLToPath(new URL("standalone.ts", import.meta.url))

export interface Options {
  readonly env?: Readonly<Record<string, string>>
  /** How many files and sockets it may open. */
  readonly descriptors?: number
}

/** Starts one, which ends with the scope. */
export const startProcess = Effect.fnUntraced(function*({ descriptors = 20_000, env = {} }: Options = {}) {
  const child = yield* Effect.acquireRelease(
    Effect.sync(() =>
      spawn("sh", ["-c", `ulimit -n ${descriptors}; exec "$0" --expose-gc "$1"`, process.execPath, standalone], {
        env: { ...process.env, SECRET: secret, ...env },
        stdio: ["ignore", "pipe", "inherit"]
      })
    ),
    (child) => Effect.sync(() => child.kill("SIGKILL"))
  )
  let printed = ""
  let looking: Array<() => void> = []
  child.stdout.on("data", (data) => {
    printed += String(data)
    const all = looking
    looking = []
    for (const look of all) look()
  })
  /** Waits for a number that is printed between these words, past the place. */
  const number = (pattern: RegExp, from = 0) =>
    Effect.callback<number>((resume) => {
      const look = () => {
        const found = pattern.exec(printed.slice(from))?.[1]
        if (found === undefined) looking.push(look)
        else resume(Effect.succeed(Number(found)))
      }
      look()
    })
  const exited = new Promise<number | null>((resolve) => child.once("exit", (code) => resolve(code)))
  const port = yield* number(/port (\d+)\n/u)
  const http = `http://127.0.0.1:${port}`
  return {
    port,
    http,
    url: `ws://127.0.0.1:${port}/events`,
    /** The status of `/healthz`, or 0 where there is no answer. */
    alive: Effect.promise(() =>
      fetch(`${http}/healthz`, { headers: { connection: "close" } }).then(({ status }) => status, () => 0)
    ),
    /** Whether `/readyz` says that it can serve. */
    ready: Effect.promise(() => fetch(`${http}/readyz`).then(({ status }) => status === 200, () => false)),
    /** What it holds in memory once garbage is collected, in bytes. */
    held: Effect.suspend(() => {
      const from = printed.length
      child.kill("SIGUSR2")
      return number(/holds (\d+) bytes\n/u, from)
    }),
    /** Asks it to stop. */
    terminate: Effect.sync(() => child.kill("SIGTERM")),
    /** Its exit code, and how long it was stopping, as if it had its machine for itself, in milliseconds. */
    stopped: Effect.gen(function*() {
      const code = yield* Effect.promise(() => exited)
      return { code, ownMs: yield* number(/stopped in (\d+) ms\n/u) }
    })
  }
})
