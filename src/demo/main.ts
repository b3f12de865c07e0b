/**
 * Runs the demo: `npm start`. It builds the page, serves it, and says where. Ctrl-C stops it.
 */
import { NodeRuntime, NodeServices } from "@effect/platform-node"
import { Cause, ConfigProvider, Console, Effect, Exit, Layer, Logger, Option, Schema } from "effect"
import { HttpServer } from "effect/http"
import { fileURLToPath } from "node:url"
import * as Library from "./agent/Library.ts"
import { bundlePage } from "./build.ts"
import * as DemoConfig from "./DemoConfig.ts"
import * as Server from "./server.ts"

/** The page cannot be built, most likely because the development dependencies are not installed. */
class PageNotBuilt extends Schema.TaggedError<PageNotBuilt>()("PageNotBuilt", { cause: Schema.Defect() }) {
  override get message() {
    return `The page cannot be built. Is everything installed? Try: npm ci\n${String(this.cause)}`
  }
}

/** How long stopping may take, with runs to end and devices to say goodbye to. */
const stopWithinMs = 8_000

let stopping = false
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, () => {
    stopping = true
    setTimeout(() => {
      process.stderr.write(`The demo did not stop within ${stopWithinMs / 1000} s and was ended.\n`)
      process.exit(1)
    }, stopWithinMs).unref()
  })
}

const ready = Layer.effectDiscard(
  Effect.flatMap(HttpServer.HttpServer, ({ address }) =>
    Console.log(
      `effect-emitter demo: http://127.0.0.1:${"port" in address ? address.port : ""}\nPress Ctrl-C to stop.`
    ))
)

const environment = Layer.mergeAll(
  NodeServices.layer,
  ConfigProvider.layer(ConfigProvider.constantCase(ConfigProvider.fromEnv())),
  Logger.layer([Logger.withConsoleError(Logger.formatLogFmt)])
)

const program = Effect.gen(function*() {
  const port = yield* DemoConfig.port
  const files = yield* Effect.tryPromise({ try: bundlePage, catch: (cause) => new PageNotBuilt({ cause }) })
  const documents = yield* Library.fromPackage(fileURLToPath(new URL("../..", import.meta.url)))
  return yield* Layer.launch(ready.pipe(Layer.provide(Server.layer({ port, files, documents }))))
}).pipe(
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

NodeRuntime.runMain(program, {
  disableErrorReporting: true,
  // Ctrl-C is how the demo is meant to end.
  teardown: (exit, onExit) => onExit(stopping || Exit.isSuccess(exit) ? 0 : 1)
})
