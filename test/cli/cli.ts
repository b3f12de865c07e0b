/**
 * The command line, with nothing in its environment but what a test sets: as a person starts it, a process of its own; or
 * in the test's process, which costs a fraction, where the process itself is not the matter.
 */
import { ConfigProvider, Console, Effect, Fiber, Runtime } from "effect"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { fileURLToPath } from "node:url"
import { format } from "node:util"
import { run as runProgram } from "../../src/cli/program.ts"
import { compileCache } from "../support/compileCache.ts"

const main = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url))

export interface Ended {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

export interface Started {
  /** Waits until it has written this to its standard output. */
  readonly wrote: (text: string) => Promise<void>
  readonly interrupt: () => void
  /** Whoever read what it writes is gone. */
  readonly closeOutput: () => void
  readonly ended: Promise<Ended>
}

export const start = (
  args: ReadonlyArray<string>,
  environment: Record<string, string> = {},
  program = main
): Started => {
  const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", program, ...args], {
    env: { PATH: process.env["PATH"] ?? "", NODE_COMPILE_CACHE: compileCache, ...environment },
    stdio: ["ignore", "pipe", "pipe"],
    timeout: 110_000,
    killSignal: "SIGKILL"
  })
  let out = ""
  let err = ""
  child.stdout.on("data", (data) => out += data)
  child.stderr.on("data", (data) => err += data)
  const ended = once(child, "close").then(([code]) => ({ code, out, err }))
  return {
    ended,
    interrupt: () => void child.kill("SIGINT"),
    closeOutput: () => void child.stdout.destroy(),
    wrote: async (text) => {
      while (!out.includes(text)) {
        const end = await Promise.race([once(child.stdout, "data"), ended])
        if (!Array.isArray(end) && !out.includes(text)) throw new Error(`it ended without "${text}": ${out}${err}`)
      }
    }
  }
}

export const run = (args: ReadonlyArray<string>, environment: Record<string, string> = {}): Promise<Ended> =>
  start(args, environment).ended

/** A call that was begun in this process. */
export interface Begun {
  /** What it wrote to its standard output until now. */
  readonly out: () => string
  readonly isOver: () => boolean
  readonly ended: Effect.Effect<Ended>
  /** As Ctrl-C does. */
  readonly interrupt: Effect.Effect<Ended>
}

/** The same in this process, without starting anything. */
export const begin = (args: ReadonlyArray<string>, environment: Record<string, string> = {}): Effect.Effect<Begun> =>
  Effect.suspend(() => {
    let out = ""
    let err = ""
    const heard: Console.Console = Object.assign(Object.create(globalThis.console), {
      log: (...said: ReadonlyArray<unknown>) => void (out += `${format(...said)}\n`),
      error: (...said: ReadonlyArray<unknown>) => void (err += `${format(...said)}\n`)
    })
    return runProgram(args, "0.0.0").pipe(
      Effect.provideService(Console.Console, heard),
      Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromEnv({ env: environment })),
      Effect.forkChild,
      Effect.map((fiber) => {
        const ended = Effect.map(Fiber.await(fiber), (exit): Ended => {
          let code: number | null = null
          Runtime.defaultTeardown(exit, (given) => void (code = given))
          return { code, out, err }
        })
        return {
          out: () => out,
          isOver: () => fiber.pollUnsafe() !== undefined,
          ended,
          interrupt: Effect.andThen(Fiber.interrupt(fiber), ended)
        }
      })
    )
  })

/** What a call in this process writes, and what it ends with. */
export const call = (args: ReadonlyArray<string>, environment: Record<string, string> = {}): Effect.Effect<Ended> =>
  Effect.flatMap(begin(args, environment), ({ ended }) => ended)

/** The values that it wrote with `--json`, one a line. */
export const values = ({ out }: Ended): ReadonlyArray<Record<string, unknown>> =>
  out.split("\n").filter((line) => line !== "").map((line) => JSON.parse(line))
