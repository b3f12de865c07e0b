/**
 * How the demo's processes run: what is wrong is said in one line, and a signal stops them within a bounded time.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Cause, ConfigProvider, Console, Effect, Layer, Logger, Option, Runtime } from "effect"

/** What every process of the demo has around it: files and processes, settings from the environment, a log on stderr. */
const environment = Layer.mergeAll(
  NodeServices.layer,
  ConfigProvider.layer(ConfigProvider.constantCase(ConfigProvider.fromEnv())),
  Logger.layer([Logger.withConsoleError(Logger.formatLogFmt)])
)

/**
 * Runs a program of the demo to its end. SIGINT and SIGTERM end it with 0: that is how it is meant to end. Wrong
 * options end it with 2, whatever else keeps it from running with 1. If it takes longer than `stopWithinMs` to stop, it is
 * ended with 1, after `abandon`.
 */
export const runProgram = <E extends { readonly message: string }>(
  program: Effect.Effect<unknown, E, Layer.Success<typeof environment>>,
  options: { readonly stopWithinMs: number; readonly abandon?: () => void }
): void => {
  let stopping = false
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.once(signal, () => {
      stopping = true
      setTimeout(() => {
        process.stderr.write(`The demo did not stop within ${options.stopWithinMs / 1000} s and was ended.\n`)
        options.abandon?.()
        process.exit(1)
      }, options.stopWithinMs).unref()
    })
  }
  const told = program.pipe(
    Effect.provide(environment),
    // What a user can mend is said in one line; what only a programmer can, in full. Ctrl-C reaches the page's builder as
    // well, which then fails: that is no failure of the demo.
    Effect.tapCause((cause) =>
      stopping || Cause.hasInterruptsOnly(cause)
        ? Effect.void
        : Console.error(Option.match(Cause.findErrorOption(cause), {
          onNone: () => Cause.pretty(cause),
          onSome: (error) => error.message.replace(/\s*\n\s*/gu, " ")
        }))
    )
  )
  NodeRuntime.runMain(told, {
    disableErrorReporting: true,
    teardown: (exit, onExit) => stopping ? onExit(0) : Runtime.defaultTeardown(exit, onExit)
  })
}
