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
import { Failed } from "./output/Failed.ts"

const command = Command.withSubcommands(root, [doctor, tail, runs, why, publish, cancel, revoke, token])

// A wrong call is told in a line for each mistake; the whole help would hide it.
const presenter: CliOutput.Presenter = {
  present: (event) =>
    event._tag === "InvalidInvocation"
      ? Console.error(
        event.errors.map(({ message }) => message.replaceAll(/\s*\n\s*/gu, " ")).join("\n") +
          ` (${event.commandPath.join(" ")} --help tells the options)`
      )
      : CliOutput.defaultPresenter.present(event)
}

const services = Layer.mergeAll(
  CliOutput.layerPresenter(presenter),
  CliConfig.layer({ builtIns: [GlobalFlag.Help, GlobalFlag.Version, GlobalFlag.Completions] }),
  TerminalCapabilities.layer,
  // What a command has to say it says itself.
  Logger.layer([])
).pipe(Layer.provideMerge(NodeServices.layer))

const report = ({ message, remedy }: Pick<Failed, "message" | "remedy">) =>
  message === "" ? Effect.void : Console.error(remedy === undefined ? message : `${message}\n  → ${remedy}`)

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
      // Help that was asked for is no failure, and what else there is was told already.
      const isHelp = error._tag === "ShowHelp" && error.errors.length === 0
      return isHelp ? undefined : new Failed({ exit: "usage", message: "" })
    }),
    Effect.tapError((error) => error === undefined ? Effect.void : report(error)),
    Effect.catch((error) => error === undefined ? Effect.void : Effect.fail(error)),
    Effect.tapDefect((defect) => Console.error("effect-emitter has a fault of its own:", defect)),
    Effect.provide(services)
  )
