/**
 * What an Effect program asks of runs.
 *
 * @since 0.2.0
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { Json } from "effect/Schema"
import type * as Command from "../../protocol/command/Command.ts"
import type { PayloadSchema } from "../../protocol/event/EventDefinition.ts"
import { CommandError, type RunCommands } from "./RunCommands.ts"

/**
 * How long a command is kept, 30 seconds unless told; interrupting the effect gives it
 * up, too. What is given up may have been done or not.
 *
 * @category models
 * @since 0.2.0
 */
export interface AskOptions {
  readonly timeout?: Duration.Input | undefined
}

/**
 * Commands to one run. Each gives what became of it: that it was accepted, or refused
 * and why. It is kept across reconnects until that is known, and done once however
 * often it was sent. What came of one that was accepted is an event. It fails when no
 * answer can be had.
 *
 * - `cancel` stops the run; the program may be told a `reason`, of 1,000 characters at
 *   most. In the store the run is `stopping` until it has ended or the command was
 *   refused or given up.
 * - `answer` answers a request of the run.
 * - `send` sends a command of the program's own.
 *
 * @category models
 * @since 0.2.0
 */
export interface RunCommandEffects {
  readonly cancel: (
    options?: AskOptions & { readonly reason?: string | undefined }
  ) => Effect.Effect<Command.Outcome, CommandError>
  readonly answer: (
    requestId: string,
    value: Json,
    options?: AskOptions
  ) => Effect.Effect<Command.Outcome, CommandError>
  readonly send: <Payload extends PayloadSchema>(
    definition: Command.Definition<string, Payload>,
    payload: Payload["Type"],
    options?: AskOptions
  ) => Effect.Effect<Command.Outcome, CommandError>
}

/**
 * The same commands as effects: their time goes through `Clock`.
 *
 * @category constructors
 * @since 0.2.0
 */
export const make = (commands: RunCommands): RunCommandEffects => ({
  cancel: ({ reason, ...options } = {}) => ask(options, (given) => commands.cancel({ reason, ...given })),
  answer: (requestId, value, options) => ask(options, (given) => commands.answer(requestId, value, given)),
  send: (definition, payload, options) => ask(options, (given) => commands.send(definition, payload, given))
})

const ask = (
  { timeout = "30 seconds" }: AskOptions = {},
  promise: (options: { readonly signal: AbortSignal }) => Promise<Command.Outcome>
): Effect.Effect<Command.Outcome, CommandError> =>
  Effect.promise((signal) => promise({ signal })).pipe(
    Effect.catchDefect((error) => error instanceof CommandError ? Effect.fail(error) : Effect.die(error)),
    Effect.timeoutOrElse({ duration: timeout, orElse: () => Effect.fail(new CommandError("timeout")) })
  )
