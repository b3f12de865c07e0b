/**
 * A process of the demo that is started anew when it dies.
 */
import { Console, Deferred, Effect, Fiber, Option, Schema, Stream } from "effect"
import { ChildProcess } from "effect/process"
import { fileURLToPath } from "node:url"
import type { Backend } from "./Balancer.ts"

/** A process did not come up. */
export class NodeFailed extends Schema.TaggedError<NodeFailed>()("NodeFailed", {
  node: Schema.String,
  detail: Schema.String
}) {
  override get message() {
    return `The process ${this.node} did not start: ${this.detail}`
  }
}

/** How long a process may take to come up. */
const startWithin = "30 seconds"

/** How long a dead process stays away, so that it can be seen what the others do without it. */
const startedAnewAfter = "3 seconds"

/** How long a process may take to stop before it is killed. */
const stopWithin = "6 seconds"

const script = fileURLToPath(new URL("node.ts", import.meta.url))

const start = Effect.fnUntraced(function*(backend: Backend, environment: Record<string, string>) {
  const child = yield* ChildProcess.make(process.execPath, [script], {
    env: { ...environment, DEMO_NAME: backend.name, DEMO_ROLE: backend.role },
    extendEnv: true,
    // Ctrl-C reaches this process alone, which stops the others in order. They stop as well when this pipe ends.
    detached: true,
    stdin: "pipe",
    killSignal: "SIGTERM",
    forceKillAfter: stopWithin
  })
  yield* Stream.decodeText(child.stderr).pipe(
    Stream.splitLines,
    Stream.runForEach((line) => Console.error(`${backend.name}: ${line}`)),
    Effect.ignore,
    Effect.forkScoped
  )
  const ended = yield* Effect.forkScoped(Effect.exit(child.exitCode))
  const port = yield* Stream.decodeText(child.stdout).pipe(
    Stream.splitLines,
    Stream.map((line) => Number(/^listening on (\d+)$/u.exec(line)?.[1])),
    Stream.filter(Number.isInteger),
    Stream.runHead,
    Effect.timeoutOption(startWithin),
    Effect.map(Option.flatten),
    Effect.orElseSucceed(() => Option.none<number>())
  )
  if (Option.isNone(port)) {
    return yield* new NodeFailed({ node: backend.name, detail: "it did not say where it listens." })
  }
  return { port: port.value, process: Number(child.pid), ended }
}, (starting, backend) =>
  Effect.catchTag(
    starting,
    "PlatformError",
    (error) => Effect.fail(new NodeFailed({ node: backend.name, detail: error.message }))
  ))

/**
 * Keeps a process running until it is interrupted, and tells `backend` where it listens. `up` is told of its first start;
 * a process that never came up is not tried again.
 */
export const supervise = (
  backend: Backend,
  environment: Record<string, string>,
  up: Deferred.Deferred<number, NodeFailed>
) => {
  let lives = 0
  const life = Effect.gen(function*() {
    const started = yield* start(backend, environment)
    backend.port = started.port
    yield* Deferred.succeed(up, started.process)
    if (lives++ > 0) yield* Console.log(`${backend.name} is back, as process ${started.process}`)
    const exit = yield* Fiber.join(started.ended)
    backend.port = undefined
    const how = exit._tag === "Success" ? `ended with ${exit.value}` : "was killed"
    yield* Console.log(`${backend.name} ${how}, and is started anew in ${startedAnewAfter}`)
  }).pipe(
    Effect.ensuring(Effect.sync(() => {
      backend.port = undefined
    })),
    Effect.scoped
  )
  return life.pipe(
    Effect.catchTags({
      NodeFailed: (error) =>
        Effect.flatMap(
          Deferred.fail(up, error),
          (isFirst) => isFirst ? Effect.fail(error) : Console.error(error.message)
        )
    }),
    Effect.andThen(Effect.sleep(startedAnewAfter)),
    Effect.forever
  )
}
