/**
 * Commands on their way to runs of this process, and what became of them.
 *
 * Each user has a line of its own, and what waits in it is decided one by one: a
 * receiver that takes long for one user delays nobody else. What was decided is
 * remembered for ten minutes. All of it is bounded, by user (see `CommandLimits`)
 * and in total.
 *
 * @since 0.2.0
 */
import type * as Clock from "effect/Clock"
import type * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Command from "../../protocol/command/Command.ts"
import * as RunEvents from "../../protocol/event/RunEvents.ts"
import type { RunId, UserId } from "../../protocol/values/Identity.ts"
import * as Monotonic from "../../protocol/values/Monotonic.ts"
import type { Envelope } from "../../protocol/wire/Envelope.ts"
import type { Commands, SentCommand } from "../Broker.ts"
import type { BrokerError } from "../BrokerError.ts"
import { dataBytes, digestOf } from "../commands/CommandDigest.ts"
import * as CommandLimits from "../commands/CommandLimits.ts"
import * as Receivers from "../commands/Receivers.ts"
import { undecided } from "../commands/Undecided.ts"

/**
 * What the log knows of a run.
 *
 * @category models
 * @since 0.2.0
 */
export type Standing = "unknown" | "active" | "ended"

/**
 * The commands of all users, besides what a broker offers of them:
 *
 * - `waitingRuns` are the runs that a batch ends of a user who has commands, and
 *   `settle` decides what waits for those that have ended.
 * - `sweep` forgets what was decided long ago.
 *
 * @category models
 * @since 0.2.0
 */
export interface MemoryCommands {
  readonly commands: Commands
  readonly waitingRuns: (user: UserId, batch: ReadonlyArray<Envelope>) => ReadonlyArray<RunId>
  readonly settle: (user: UserId, ended: ReadonlyArray<RunId>) => void
  readonly sweep: () => void
}

// `waiting` for its turn, `asked` of a receiver, `decided`, or `unsure`: a receiver did not finish.
type State =
  | { readonly _tag: "waiting" }
  | { readonly _tag: "asked" }
  | { readonly _tag: "decided"; readonly outcome: Command.Outcome; readonly at: number }
  | { readonly _tag: "unsure"; readonly error: BrokerError; readonly at: number }

interface Known {
  command: SentCommand
  readonly digest: string
  until: number
  readonly done: Deferred.Deferred<Command.Outcome, BrokerError>
  state: State
  bytes: number
}

interface Line {
  readonly known: Map<Command.CommandId, Known>
  // Those that wait, in order.
  waiting: Array<Known>
  open: number
  bytes: number
  isWorkedOn: boolean
}

const noRuns: ReadonlyArray<RunId> = []

// A line; and a command, with its id and its place in the line: as measured in V8.
const lineOverhead = 500
const commandOverhead = 900

// Where memory is short it is looked so often for what was decided long ago, of all users.
const sweepPauseMs = 10_000

const tooMany = (message: string): Command.Outcome => Command.refused("tooMany", { message })

/**
 * Makes an empty store. `standing` asks a user's log about a run, `count` adds to
 * what is held in all, of which commands may take `maxTotalBytes`. `taking` is done
 * once before anybody is asked about a command, who is not where it gives `false`.
 *
 * @category constructors
 * @since 0.2.0
 */
export const make = Effect.fnUntraced(function*(parts: {
  readonly clock: Clock.Clock
  readonly maxTotalBytes: number
  readonly standing: (user: UserId, run: RunId) => Standing
  readonly count: (bytes: number) => void
  readonly taking?: (user: UserId, command: SentCommand) => Effect.Effect<boolean>
}): Effect.fn.Return<MemoryCommands, never, Scope.Scope> {
  const { clock, count, maxTotalBytes, standing, taking } = parts
  const scope = yield* Effect.scope
  const context = yield* Effect.context<never>()
  const receivers = yield* Receivers.make
  const lines = new Map<UserId, Line>()
  let totalBytes = 0
  let sweptAt = Number.NEGATIVE_INFINITY
  let isClosed = false

  const now = (): number => Monotonic.millisUnsafe(clock)

  const hold = (line: Line, bytes: number): void => {
    line.bytes += bytes
    totalBytes += bytes
    count(bytes)
  }

  const lineOf = (user: UserId): Line => {
    const found = lines.get(user)
    if (found !== undefined) return found
    const line: Line = { known: new Map(), waiting: [], open: 0, bytes: 0, isWorkedOn: false }
    lines.set(user, line)
    hold(line, lineOverhead)
    return line
  }

  const forget = (line: Line, id: Command.CommandId, { bytes }: Known): void => {
    line.known.delete(id)
    hold(line, -bytes)
  }

  // In the order in which they were decided, but for those that are open.
  const expire = (user: UserId, line: Line): void => {
    const oldest = now() - Command.outcomeMemoryMs
    for (const [id, one] of line.known) {
      if (one.state._tag === "waiting" || one.state._tag === "asked") continue
      if (one.state.at > oldest) break
      forget(line, id, one)
    }
    if (line.known.size > 0) return
    lines.delete(user)
    hold(line, -lineOverhead)
  }

  const sweep = (): void => {
    sweptAt = now()
    for (const [user, line] of lines) expire(user, line)
  }

  // Of this user, or of all where there is no room for so many bytes.
  const expireFor = (user: UserId, bytes: number): void => {
    if (totalBytes + bytes > maxTotalBytes && now() - sweptAt >= sweepPauseMs) return sweep()
    const line = lines.get(user)
    if (line !== undefined) expire(user, line)
  }

  const close = (line: Line, one: Known, state: Exclude<State, { readonly _tag: "waiting" | "asked" }>): void => {
    if (one.state._tag === "decided") return
    if (one.state._tag !== "unsure") line.open--
    one.state = state
    const { id, name, run } = one.command
    one.command = { id, name, run }
    const bytes = commandOverhead + (state._tag === "decided" ? JSON.stringify(state.outcome).length : 0)
    hold(line, bytes - one.bytes)
    one.bytes = bytes
    line.known.delete(id)
    line.known.set(id, one)
  }

  const decide = (line: Line, one: Known, outcome: Command.Outcome): void => {
    close(line, one, { _tag: "decided", outcome, at: now() })
    Deferred.doneUnsafe(one.done, Effect.succeed(outcome))
  }

  const leaveUnsure = (line: Line, one: Known, why: Error): void => {
    const error = undecided(one.command, 0, why)
    close(line, one, { _tag: "unsure", error, at: now() })
    Deferred.doneUnsafe(one.done, Effect.fail(error))
  }

  const byLog = (user: UserId, run: RunId): Command.Outcome => {
    switch (standing(user, run)) {
      case "ended":
        return Command.refused("ended")
      case "unknown":
        return Command.refused("unknownRun")
      case "active":
        return Command.refused("notAllowed", { message: "nobody takes commands for this run" })
    }
  }

  const askFor = (user: UserId, line: Line, one: Known): Effect.Effect<void> => {
    const { run } = one.command
    if (standing(user, run) === "ended") return Effect.sync(() => decide(line, one, Command.refused("ended")))
    one.state = { _tag: "asked" }
    const settleBy = (answer: Receivers.Answer): void => {
      switch (answer._tag) {
        case "Decided":
          return decide(line, one, answer.outcome)
        case "Nobody":
          return decide(line, one, byLog(user, run))
        case "Unknown":
          return standing(user, run) === "ended"
            ? decide(line, one, Command.refused("ended"))
            : leaveUnsure(line, one, new Error("who was to decide did not finish", { cause: answer.cause }))
      }
    }
    const asked = receivers.ask(user, one.command, (answer) => Effect.sync(() => settleBy(answer)))
    if (taking === undefined) return asked
    return Effect.flatMap(
      taking(user, one.command),
      (isTaken) => isTaken ? asked : Effect.sync(() => decide(line, one, Command.refused("unavailable")))
    )
  }

  // One by one, until nothing waits.
  const work = (user: UserId, line: Line): Effect.Effect<void> =>
    Effect.suspend(() => {
      const one = line.waiting.shift()
      if (one === undefined) {
        line.isWorkedOn = false
        return Effect.void
      }
      if (one.until > now()) return Effect.andThen(askFor(user, line, one), work(user, line))
      decide(line, one, Command.refused("unavailable"))
      return work(user, line)
    })

  const withdraw = (line: Line, one: Known): Effect.Effect<Command.Outcome, BrokerError> =>
    Effect.suspend(() => {
      if (one.state._tag === "waiting") {
        line.waiting = line.waiting.filter((other) => other !== one)
        decide(line, one, Command.refused("unavailable"))
      }
      return one.state._tag === "asked"
        ? Effect.fail(undecided(one.command, 0, new Error("who has the run was asked, and did not answer in time")))
        : Deferred.await(one.done)
    })

  const outcomeOf = (
    line: Line,
    one: Known,
    within: Duration.Duration
  ): Effect.Effect<Command.Outcome, BrokerError> => {
    if (one.state._tag === "decided") return Effect.succeed(one.state.outcome)
    one.until = Math.max(one.until, now() + Duration.toMillis(within))
    return Effect.timeoutOrElse(Deferred.await(one.done), { duration: within, orElse: () => withdraw(line, one) })
  }

  const boundOf = (line: Line, bytes: number): string | undefined => {
    if (line.open >= CommandLimits.maxOpen) return `${line.open} commands of this user wait to be decided`
    if (line.known.size >= CommandLimits.maxKnown || line.bytes + bytes > CommandLimits.maxBytes) {
      return `this user sent ${line.known.size} commands within ten minutes`
    }
    return totalBytes + bytes > maxTotalBytes ? "the commands of all users take all the memory they may" : undefined
  }

  const send: Commands["send"] = (user, command, within) =>
    Effect.suspend(() => {
      if (isClosed) return Effect.succeed(Command.refused("unavailable"))
      const size = dataBytes(command)
      const refusal = CommandLimits.refusalOfData(size)
      if (refusal !== undefined) return Effect.succeed(refusal)
      const bytes = commandOverhead + 2 * size
      expireFor(user, lineOverhead + bytes)
      const line = lineOf(user)
      const digest = digestOf(command)
      const known = line.known.get(command.id)
      if (known !== undefined) {
        return known.digest === digest ? outcomeOf(line, known, within) : Effect.succeed(Command.refused("conflict"))
      }
      const bound = boundOf(line, bytes)
      if (bound !== undefined) {
        expire(user, line)
        return Effect.succeed(tooMany(bound))
      }
      const one: Known = {
        command,
        digest,
        until: Number.NEGATIVE_INFINITY,
        done: Deferred.makeUnsafe(),
        state: { _tag: "waiting" },
        bytes
      }
      line.known.set(command.id, one)
      line.waiting.push(one)
      line.open++
      hold(line, bytes)
      const outcome = outcomeOf(line, one, within)
      if (line.isWorkedOn) return outcome
      line.isWorkedOn = true
      return work(user, line).pipe(
        Effect.updateContext((_: Context.Context<never>) => context),
        Effect.forkIn(scope, { startImmediately: true }),
        Effect.andThen(outcome)
      )
    })

  const waitingRuns: MemoryCommands["waitingRuns"] = (user, batch) => {
    const line = lines.size === 0 ? undefined : lines.get(user)
    if (line === undefined || line.known.size === 0) return noRuns
    const runs = new Set<RunId>()
    for (const { run, type } of batch) if (run !== undefined && RunEvents.isTerminal(type)) runs.add(run)
    return [...runs]
  }

  const settle: MemoryCommands["settle"] = (user, ended) => {
    const line = lines.get(user)
    if (line === undefined) return
    const runs = new Set(ended)
    for (const one of Array.from(line.known.values())) {
      if (!runs.has(one.command.run) || (one.state._tag !== "waiting" && one.state._tag !== "unsure")) continue
      decide(line, one, Command.refused("ended"))
    }
    line.waiting = line.waiting.filter(({ state }) => state._tag === "waiting")
  }

  // What nobody decided is not done any more.
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      isClosed = true
      for (const line of lines.values()) {
        for (const one of line.waiting.splice(0)) decide(line, one, Command.refused("unavailable"))
        for (const one of Array.from(line.known.values())) {
          if (one.state._tag === "asked") leaveUnsure(line, one, new Error("the broker was closed"))
        }
      }
    })
  )

  return {
    commands: { send, receive: receivers.add },
    waitingRuns,
    settle,
    sweep
  }
})
