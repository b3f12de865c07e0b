/**
 * How the command line ends: by itself, by a signal, or because nobody reads on.
 *
 * A signal interrupts what is at work, which then closes what it has open. A broker that is frozen may hold that up: so the
 * process is left after a while whatever is still at work, and at once by a second signal.
 *
 * @since 0.2.0
 */
import * as Effect from "effect/Effect"
import * as Runtime from "effect/Runtime"

/** For how long a process that was told to end may still close what it has open. */
export const grace = "3 seconds"

/** The exit code of a process that a signal ended. */
export const interrupted = 130

const leave = () => process.exit(interrupted)

/** Ends the process in time when it is told to end, or when nobody reads what it writes. */
export const inTime = (): void => {
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.once(signal, () => {
      Effect.runFork(Effect.andThen(Effect.sleep(grace), Effect.sync(leave)))
      process.once(signal, leave)
    })
  }
  // Nobody reads on, as behind a pipe into `head`. There is nobody to tell, and nothing more to do.
  process.stdout.on("error", ({ code }: NodeJS.ErrnoException) => {
    if (code === "EPIPE") leave()
  })
}

/** What was said is written out first; what a connection that was given up has left to wait for is not waited for. */
export const teardown: Runtime.Teardown = (exit, onExit) =>
  Runtime.defaultTeardown(exit, (code) => {
    onExit(code)
    process.stdout.write("", () => process.exit(code))
  })
