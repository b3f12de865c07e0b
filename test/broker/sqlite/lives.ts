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
  | { readonly signal: "down" | "up" }

export type Answered = Extract<Line, { readonly offset: number }>

/** Appends in a process of its own, until the scope closes; `limit` is a command of the shell that is run before. */
export const appending = (file: string, synchronous: "normal" | "full", limit = "true") =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => {
        const program = fileURLToPath(new URL("append-child.ts", import.meta.url))
        const command = `${limit}; exec "$0" "$@"`
        const child = spawn("/bin/sh", ["-c", command, process.execPath, program, file, synchronous], {
          stdio: ["ignore", "pipe", "inherit"]
        })
        const lines: Array<Line> = []
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
      lines: (): ReadonlyArray<Line> => lines.slice(),
      answered: (): ReadonlyArray<Answered> => lines.filter((line) => "offset" in line),
      pid: child.pid ?? 0,
      kill: Effect.promise(() => {
        child.kill("SIGKILL")
        return closed
      }),
      /** Waits until it has said what is looked for. */
      until: (is: () => boolean): Effect.Effect<void> => {
        const wait: Effect.Effect<void> = Effect.suspend(() =>
          is() ? Effect.void : Effect.andThen(Queue.take(came), wait)
        )
        return wait
      }
    })
  )
