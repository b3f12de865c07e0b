/** Processes that run agents, and can be killed, stopped and woken. */
import { Effect, Option, Schema } from "effect"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { createInterface } from "node:readline"
import { bundled } from "../../support/bundled.ts"
import { eventually } from "../events.ts"

const Line = Schema.fromJsonString(Schema.Record(Schema.String, Schema.Json))
const decodeLine = Schema.decodeUnknownOption(Line)

/** Starts one, as `run-child.ts` tells, or another script; it is killed with the scope at the latest. */
export const runProcess = Effect.fnUntraced(function*(options: {
  readonly url: string
  readonly user: string
  readonly run: string
  readonly file?: string
  readonly script?: URL
}) {
  const script = yield* Effect.promise(() => bundled(options.script ?? new URL("run-child.ts", import.meta.url)))
  const args = ["--disable-warning=ExperimentalWarning", script, options.url, options.user, options.run]
  const child = spawn(process.execPath, [...args, ...options.file === undefined ? [] : [options.file]], {
    stdio: ["pipe", "pipe", "pipe"]
  })
  const lines: Array<typeof Line.Type> = []
  let complaint = ""
  // Between its lines stands what is logged there, such as that a lease was not renewed in time.
  createInterface({ input: child.stdout }).on("line", (line) => lines.push(...Option.toArray(decodeLine(line))))
  child.stderr.on("data", (chunk) => complaint += chunk)
  const exited = once(child, "exit")
  const signal = (name: NodeJS.Signals) => Effect.sync(() => void child.kill(name))
  yield* Effect.addFinalizer(() => signal("SIGKILL"))

  const said = (field: string) => lines.flatMap((line) => line[field] === undefined ? [] : [line[field]])
  return {
    said,
    until: (field: string, is: (values: ReadonlyArray<Schema.Json>) => boolean) =>
      eventually(
        Effect.sync(() => said(field)),
        (values) => {
          if (complaint !== "") throw new Error(complaint)
          return is(values)
        },
        `${field} of the process`,
        15
      ),
    tell: (command: "end" | "again" | "go") => Effect.sync(() => void child.stdin.write(`${command}\n`)),
    kill: Effect.andThen(signal("SIGKILL"), Effect.promise(() => exited)),
    stop: Effect.andThen(signal("SIGTERM"), Effect.promise(() => exited)),
    freeze: signal("SIGSTOP"),
    thaw: signal("SIGCONT")
  }
})
