/**
 * A process of a cluster under test, and what a test does to it.
 */
import { Effect, type Scope } from "effect"
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { fileURLToPath } from "node:url"
import { compileCache } from "../support/compileCache.ts"

/** How a process ended. */
export interface Ending {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

/**
 * - `ready` is what it said after `ready ` when it came up.
 * - `kill` is SIGKILL, `stop` SIGTERM and the wait for its end; `freeze` and `thaw` are SIGSTOP and SIGCONT.
 * - `rest` is SIGUSR2, which tells an emitter to start nothing more, `flood` SIGHUP, which lets one of its users flood.
 * - `stepClock` is SIGWINCH, at which its wall clock steps (see `stepWallClock`).
 * - `complaints` is what it wrote to stderr.
 */
export interface Child {
  readonly pid: number
  readonly ready: string
  readonly ended: Effect.Effect<Ending>
  readonly kill: Effect.Effect<Ending>
  readonly stop: Effect.Effect<Ending>
  readonly freeze: Effect.Effect<void>
  readonly thaw: Effect.Effect<void>
  readonly rest: Effect.Effect<void>
  readonly flood: Effect.Effect<void>
  readonly stepClock: Effect.Effect<void>
  readonly complaints: () => string
}

const readyWithin = "150 seconds"

/** Starts `script` of this folder, and waits until it is ready. It is killed when the scope closes. */
export const start = (
  script: string,
  environment: Record<string, string>
): Effect.Effect<Child, never, Scope.Scope> =>
  Effect.gen(function*() {
    let complaints = ""
    const child: ChildProcess = yield* Effect.acquireRelease(
      Effect.sync(() =>
        spawn(process.execPath, [
          "--disable-warning=ExperimentalWarning",
          fileURLToPath(new URL(script, import.meta.url))
        ], {
          env: { ...process.env, NODE_COMPILE_CACHE: compileCache, ...environment },
          stdio: ["pipe", "pipe", "pipe"]
        })
      ),
      (child) => Effect.sync(() => void child.kill("SIGKILL"))
    )
    child.stderr?.on("data", (data) => complaints = (complaints + data).slice(-20_000))
    const end = once(child, "exit").then(([code, signal]): Ending => ({ code, signal }))
    const ready = yield* Effect.callback<string>((resume) => {
      let said = ""
      child.stdout?.on("data", (data) => {
        said += data
        const found = /^ready (.*)$/mu.exec(said)?.[1]
        if (found !== undefined) resume(Effect.succeed(found))
      })
      void end.then(({ code, signal }) =>
        resume(Effect.die(new Error(`${script} ended with ${code ?? signal} before it was ready: ${complaints}`)))
      )
    }).pipe(Effect.timeoutOrElse({
      duration: readyWithin,
      orElse: () => Effect.die(new Error(`${script} was not ready within ${readyWithin}: ${complaints}`))
    }))
    const ended = Effect.promise(() => end)
    const signal = (name: NodeJS.Signals) => Effect.sync(() => void child.kill(name))
    return {
      pid: child.pid ?? 0,
      ready,
      ended,
      kill: Effect.andThen(signal("SIGKILL"), ended),
      stop: Effect.andThen(signal("SIGTERM"), ended),
      freeze: signal("SIGSTOP"),
      thaw: signal("SIGCONT"),
      rest: signal("SIGUSR2"),
      flood: signal("SIGHUP"),
      stepClock: signal("SIGWINCH"),
      complaints: () => complaints
    }
  })
