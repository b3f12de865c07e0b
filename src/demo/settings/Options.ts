/**
 * What the demo's programs can be told on their command line.
 */
import { Effect, Runtime, Schema } from "effect"
import { parseArgs, type ParseArgsOptionsConfig } from "node:util"

/** An option is none that there is, or has a value that it cannot have. `script` is how npm calls the program. */
export class WrongOption extends Schema.TaggedError<WrongOption>()("WrongOption", {
  problem: Schema.String,
  script: Schema.String
}) {
  override readonly [Runtime.errorExitCode] = 2
  override get message() {
    return `${this.problem} (npm run ${this.script} -- --help tells the options)`
  }
}

const help = { help: { type: "boolean", short: "h", default: false } } as const

/** Reads the options of a program, which has `--help` besides its own. */
export const read = <const O extends ParseArgsOptionsConfig>(
  script: string,
  options: O
) =>
  Effect.try({
    try: () => parseArgs({ options: { ...options, ...help } }).values,
    catch: (error) => new WrongOption({ problem: error instanceof Error ? error.message : String(error), script })
  })
