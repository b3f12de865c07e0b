/**
 * The command line, from its arguments to its exit code.
 *
 * @since 0.2.0
 */
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as CliConfig from "effect/cli/CliConfig"
import * as CliOutput from "effect/cli/CliOutput"
import * as Command from "effect/cli/Command"
import * as GlobalFlag from "effect/cli/GlobalFlag"
import * as TerminalCapabilities from "effect/cli/TerminalCapabilities"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import { ConfigError } from "../protocol/settings/ConfigError.ts"
import { cancel } from "./command/Cancel.ts"
import { doctor } from "./command/Doctor.ts"
import { publish } from "./command/Publish.ts"
import { revoke } from "./command/Revoke.ts"
import { runs } from "./command/Runs.ts"
import { root } from "./command/Shared.ts"
import { tail } from "./command/Tail.ts"
import { token } from "./command/Token.ts"
import { why } from "./command/Why.ts"
import { exitCodesHelp, Failed } from "./output/Failed.ts"
import { masked, plain } from "./output/Out.ts"

const command = Command.withSubcommands(root, [doctor, tail, runs, why, publish, cancel, revoke, token])

const oneLine = (text: string): string =>
  plain(masked(text.replaceAll(/\s*\n\s*/gu, " "))).replace(/Schema validation failed: (?:Expected )?/u, "")

// A wrong call is told in a line for each mistake; the whole help would hide it. Help that was not asked for is no answer,
// and does not go where the answer would.
const presenter: CliOutput.Presenter = {
  present: Effect.fnUntraced(function*(event) {
    switch (event._tag) {
      case "InvalidInvocation":
        return yield* Console.error(
          `${event.errors.map(({ message }) => oneLine(message)).join("\n")} (${
            event.commandPath.join(" ")
          } --help tells the options)`
        )
      case "Help": {
        const { canColor } = yield* TerminalCapabilities.TerminalCapabilities
        const help = CliOutput.defaultFormatter({ colors: canColor }).formatHelpDoc(event.helpDoc)
        const tell = event.reason === "Requested" ? Console.log : Console.error
        return yield* tell(`${help}\n\n${exitCodesHelp}`)
      }
      case "Version":
        return yield* CliOutput.defaultPresenter.present(event)
    }
  })
}

const services = Layer.mergeAll(
  CliOutput.layerPresenter(presenter),
  CliConfig.layer({ builtIns: [GlobalFlag.Help, GlobalFlag.Version, GlobalFlag.Completions] }),
  TerminalCapabilities.layer,
  // What a command has to say it says itself.
  Logger.layer([])
).pipe(Layer.provideMerge(NodeServices.layer))

const report = ({ message, remedy }: Pick<Failed, "message" | "remedy">) =>
  message === ""
    ? Effect.void
    : Console.error([message, ...(remedy === undefined ? [] : [`  → ${remedy}`])].map(readable).join("\n"))

// What is wrong with settings has a line for each.
const readable = (text: string): string => text.split("\n").map((line) => plain(masked(line))).join("\n")

/**
 * Runs the command line with these arguments. It fails with what the exit code is made
 * of; all that is to be said was said.
 *
 * @category operations
 * @since 0.2.0
 */
export const run = (args: ReadonlyArray<string>, version: string) =>
  Command.runWith(command, { version })(args).pipe(
    Effect.mapError((error) => {
      if (error instanceof ConfigError) return new Failed({ exit: "usage", message: error.message })
      if (error instanceof Failed) return error
      // What was wrong with the call was told already.
      return new Failed({ exit: "usage", message: "" })
    }),
    Effect.tapError(report),
    Effect.tapDefect((defect) => Console.error("effect-emitter has a fault of its own:", defect)),
    Effect.provide(services)
  )
