/**
 * Answers one question in a process of its own, so that no question meets the heap or the compiled code of another,
 * and one that fails does not take the rest with it.
 */
import * as Schema from "effect/Schema"
import { fork } from "node:child_process"
import { once } from "node:events"
import { fileURLToPath } from "node:url"
import { Answer } from "./question.ts"

/**
 * Either the answer, or why there is none.
 */
export interface Outcome {
  readonly name: string
  readonly seconds: number
  readonly answer?: Answer
  readonly problem?: string
}

/**
 * How long an answer may take, and what ends it before.
 */
export interface Bounds {
  readonly limitSeconds: number
  readonly signal: AbortSignal
}

/**
 * What the answering process tells.
 */
export const Told = Schema.Union([
  Schema.Struct({ kind: Schema.Literal("progress"), text: Schema.String }),
  Schema.Struct({ kind: Schema.Literal("answer"), answer: Answer }),
  Schema.Struct({ kind: Schema.Literal("problem"), text: Schema.String })
])

export type Told = typeof Told.Type

export const answerInProcess = async (
  name: string,
  quick: boolean,
  progress: (text: string) => void,
  { limitSeconds, signal }: Bounds
): Promise<Outcome> => {
  const started = performance.now()
  const child = fork(fileURLToPath(new URL("answer.ts", import.meta.url)), [name, ...(quick ? ["--quick"] : [])], {
    execArgv: ["--expose-gc", ...process.execArgv.filter((arg) => arg.startsWith("--cpu-prof"))],
    stdio: ["ignore", "ignore", "inherit", "ipc"]
  })
  const stop = () => child.kill()
  process.once("exit", stop)
  let ended: string | undefined
  // Whoever is too busy to hear is ended all the same, and its helpers end with it.
  const end = (why: string) => {
    ended ??= why
    stop()
    setTimeout(() => child.kill("SIGKILL"), 5_000).unref()
  }
  const interrupt = () => end("it was interrupted")
  const late = setTimeout(end, limitSeconds * 1_000, `it took longer than ${Number(limitSeconds.toFixed(1))} s`)
  signal.addEventListener("abort", interrupt)
  let told: Exclude<Told, { readonly kind: "progress" }> | undefined
  child.on("message", (message) => {
    const decoded = Schema.decodeUnknownSync(Told)(message)
    if (decoded.kind === "progress") progress(decoded.text)
    else told = decoded
  })
  const [code, killedBy] = await once(child, "exit")
  process.off("exit", stop)
  signal.removeEventListener("abort", interrupt)
  clearTimeout(late)
  const seconds = (performance.now() - started) / 1000
  if (told?.kind === "answer") return { name, seconds, answer: told.answer }
  return { name, seconds, problem: ended ?? told?.text ?? `the process ended with ${String(code ?? killedBy)}` }
}
