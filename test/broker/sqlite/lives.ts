/** Lives of processes that have a file: one of this process's, and such that are killed. */
import { Context, Effect, Layer, Queue, type Scope } from "effect"
import { Broker } from "effect-emitter"
import { SqliteBroker } from "effect-emitter/sqlite"
import { spawn } from "node:child_process"
import { fileURLToPath } from "node:url"
import type { BrokerService } from "../brokerSuite.ts"

export type Options = Omit<Parameters<typeof SqliteBroker.layer>[0], "file">

/** One life of a process that has the file. */
export const life = <A, E>(
  file: string,
  body: (broker: BrokerService) => Effect.Effect<A, E, Scope.Scope>,
  options: Options = {}
) =>
  Effect.gen(function*() {
    const context = yield* Layer.build(Layer.fresh(SqliteBroker.layer({ ...options, file })))
    return yield* body(Context.get(context, Broker.Broker))
  }).pipe(Effect.scoped)

/** What an appending process says. */
export type Line =
  | { readonly user: string; readonly epoch: string; readonly offset: number; readonly sequence: number }
  | { readonly failed: string; readonly blame: string }
  | { readonly refused: string; readonly message: string }
  | { readonly signal: "down" | "up" }

export type Answered = Extract<Line, { readonly offset: number }>

/** `limit` is a command of the shell that is run before, `node` are options of node. */
export interface Started {
  readonly limit?: string
  readonly node?: ReadonlyArray<string>
  readonly environment?: Readonly<Record<string, string>>
}

// Less than a test may take: then it is told what did not come.
const withinMs = 100_000

/** Starts a program of this folder that says a line of JSON at a time, until the scope closes. */
export const speaking = <Said extends object>(
  script: string,
  args: ReadonlyArray<string>,
  { environment, limit = "true", node = [] }: Started = {}
) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => {
        const program = fileURLToPath(new URL(script, import.meta.url))
        const command = `${limit}; exec "$0" "$@"`
        const child = spawn("/bin/sh", ["-c", command, process.execPath, ...node, program, ...args], {
          env: { ...process.env, ...environment },
          stdio: ["ignore", "pipe", "inherit"]
        })
        const lines: Array<Said> = []
        const came = Effect.runSync(Queue.unbounded<void>())
        let rest = ""
        child.stdout.on("data", (data: Buffer) => {
          const [last = "", ...whole] = `${rest}${data.toString()}`.split("\n").toReversed()
          rest = last
          for (const line of whole.toReversed()) lines.push(JSON.parse(line))
          Queue.offerUnsafe(came, undefined)
        })
        const closed = new Promise<void>((resolve) => child.on("close", () => resolve()))
        return { child, closed, came, lines }
      }),
      ({ child, closed }) =>
        Effect.promise(() => {
          child.kill("SIGKILL")
          return closed
        })
    ),
    ({ came, child, closed, lines }) => ({
      lines: (): ReadonlyArray<Said> => lines.slice(),
      pid: child.pid ?? 0,
      tell: (signal: NodeJS.Signals) => Effect.sync(() => void child.kill(signal)),
      kill: Effect.promise(() => {
        child.kill("SIGKILL")
        return closed
      }),
      /** Waits until it has said what is looked for. */
      until: (is: () => boolean, what = "what it was to say"): Effect.Effect<void> => {
        const wait: Effect.Effect<void> = Effect.suspend(() =>
          is() ? Effect.void : Effect.andThen(Queue.take(came), wait)
        )
        return wait.pipe(Effect.timeoutOrElse({
          duration: withinMs,
          orElse: () => Effect.die(new Error(`${script} did not say ${what}: ${JSON.stringify(lines.slice(-5))}`))
        }))
      }
    })
  )

/** Appends in a process of its own. */
export const appending = (file: string, synchronous: "normal" | "full", limit = "true") =>
  Effect.map(speaking<Line>("append-child.ts", [file, synchronous], { limit }), (child) => ({
    ...child,
    answered: (): ReadonlyArray<Answered> => child.lines().filter((line) => "offset" in line)
  }))
