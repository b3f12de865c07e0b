/**
 * What a page asks of runs: to stop, to take an answer, or whatever the program has a
 * command for.
 *
 * @since 0.2.0
 */
import type { Json } from "effect/Schema"
import type * as Command from "../../protocol/command/Command.ts"
import type { PayloadSchema } from "../../protocol/event/EventDefinition.ts"
import { maxDataBytes } from "../../protocol/values/WireLimits.ts"
import type { Input } from "../session/SessionIO.ts"
import type { RunStore } from "./RunStore.ts"

/**
 * How long a command is kept: `timeoutMs`, 30 seconds unless told, or until `signal`
 * aborts. What is given up may have been done or not.
 *
 * @category models
 * @since 0.2.0
 */
export interface AskOptions {
  readonly signal?: AbortSignal | undefined
  readonly timeoutMs?: number | undefined
}

/**
 * Commands to one run. Each gives what became of it: that it was accepted, or refused
 * and why. It is kept across reconnects until that is known, and done once however
 * often it was sent. What came of one that was accepted is an event.
 *
 * - `cancel` stops the run; the program may be told a `reason`, of 1,000 characters at
 *   most. In the store the run is `stopping` from this call on, until it has ended or
 *   the command was refused or given up.
 * - `answer` answers a request of the run.
 * - `send` sends a command of the program's own.
 *
 * The promise is rejected with a `CommandError` when no answer can be had, or with the
 * reason of the `signal`.
 *
 * @category models
 * @since 0.2.0
 */
export interface RunCommands {
  readonly cancel: (options?: AskOptions & { readonly reason?: string | undefined }) => Promise<Command.Outcome>
  readonly answer: (requestId: string, value: Json, options?: AskOptions) => Promise<Command.Outcome>
  readonly send: <Payload extends PayloadSchema>(
    definition: Command.Definition<string, Payload>,
    payload: Payload["Type"],
    options?: AskOptions
  ) => Promise<Command.Outcome>
}

/**
 * Why a command got no answer:
 *
 * - `unsupported`: this server takes no commands, so it was not sent;
 * - `invalid`: the payload does not fit its definition (`cause` says where), so it was
 *   not sent;
 * - `tooLarge`: its data are more than 8 KiB of JSON, so it was not sent;
 * - `tooMany`: 10 commands wait for an answer already, so it was not sent;
 * - `timeout`: no answer came in time; it may have been done or not;
 * - `stopped`: the client has stopped; it may have been done or not, if it was sent.
 *
 * @category models
 * @since 0.2.0
 */
export type NoAnswer = "unsupported" | "invalid" | "tooLarge" | "tooMany" | "timeout" | "stopped"

/**
 * No answer to a command can be had; `reason` says why.
 *
 * @category errors
 * @since 0.2.0
 */
export class CommandError extends Error {
  readonly _tag = "CommandError"
  override readonly name = "CommandError"
  readonly reason: NoAnswer

  constructor(reason: NoAnswer, cause?: unknown) {
    super(`no answer to the command: ${reason}`, { cause })
    this.reason = reason
  }
}

const encoded = <Payload>(write: (payload: Payload) => Json, payload: Payload): Json => {
  try {
    return write(payload)
  } catch (cause) {
    throw new CommandError("invalid", cause)
  }
}

/** How many commands may wait for an answer: a server takes as many at once. */
const maxOpen = 10

/**
 * What the commands of a client stand on.
 *
 * - `store` shows which runs are stopping; `report` is told what its subscribers throw.
 * - `tell` tells the session.
 * - `after` calls once after so many milliseconds, and returns what cancels it.
 * - `nextId` gives ids that nothing else has.
 *
 * @category models
 * @since 0.2.0
 */
export interface Ground {
  readonly store: RunStore
  readonly report: (error: unknown) => void
  readonly tell: (input: Input) => void
  readonly after: (ms: number, run: () => void) => () => void
  readonly nextId: () => string
}

/**
 * The commands that wait for an answer. Its own members have `#` names, which
 * minifiers shorten: a page loads this class.
 *
 * @category drivers
 * @since 0.2.0
 */
export class CommandDesk {
  readonly #ground: Ground
  readonly #open = new Map<string, (outcome: Command.Outcome | undefined, none: unknown) => void>()
  #stopped = false

  constructor(ground: Ground) {
    this.#ground = ground
  }

  /** Commands to one run. */
  of(run: string): RunCommands {
    return {
      cancel: async ({ reason, ...options } = {}) => {
        const { report, store } = this.#ground
        const settle = store.stopping(run, report)
        let isAccepted = false
        try {
          const outcome = await this.#ask(run, "cancel", reason === undefined ? reason : { reason }, options)
          isAccepted = outcome.outcome === "accepted"
          return outcome
        } finally {
          settle(isAccepted)
        }
      },
      answer: (requestId, answer, options) => this.#ask(run, "answer", { requestId, answer }, options),
      send: async ({ name, write }, payload, options) => this.#ask(run, name, encoded(write, payload), options)
    }
  }

  /** The session says what became of one; nothing where the server takes none. */
  answered(id: string, outcome: Command.Outcome | undefined): void {
    this.#open.get(id)?.(outcome, new CommandError("unsupported"))
  }

  /** No more answers come. */
  stop(): void {
    this.#stopped = true
    for (const settle of this.#open.values()) settle(undefined, new CommandError("stopped"))
  }

  #ask(run: string, name: string, data: Json | undefined, { signal, timeoutMs = 30_000 }: AskOptions = {}) {
    const { after, nextId, tell } = this.#ground
    return new Promise<Command.Outcome>((resolve, reject) => {
      signal?.throwIfAborted()
      const bytes = new TextEncoder().encode(JSON.stringify(data)).length
      if (this.#stopped) throw new CommandError("stopped")
      if (this.#open.size >= maxOpen) throw new CommandError("tooMany")
      if (bytes > maxDataBytes) throw new CommandError("tooLarge")
      const id = nextId()
      const settle = (outcome: Command.Outcome | undefined, none: unknown): void => {
        this.#open.delete(id)
        signal?.removeEventListener("abort", abort)
        cancel()
        if (outcome !== undefined) return resolve(outcome)
        tell({ _tag: "forget", id })
        reject(none)
      }
      const abort = (): void => settle(undefined, signal?.reason)
      const cancel = after(timeoutMs, () => settle(undefined, new CommandError("timeout")))
      signal?.addEventListener("abort", abort)
      this.#open.set(id, settle)
      tell({ _tag: "ask", command: { type: "command", id, run, name, ...(data === undefined ? {} : { data }) } })
    })
  }
}
