/**
 * What devices asked of runs, what they were told, and what reached the runs: P10, commanded.
 *
 * It knows nothing of how commands travel. It sees outcomes, what programs were given, and what they began.
 */
import { Duration, Effect, Exit, Schema, Stream } from "effect"
import { type Broker, Command, Emitter, Identity } from "../../src/index.ts"
import { broken } from "./Facts.ts"
import type { CommandName } from "./Schedule.ts"

/** A command of the program's own. */
export const Steer = Command.make("steer", { payload: { tag: Schema.Finite } })

interface Begun {
  readonly user: Identity.UserId
  readonly run: string
  readonly isProtected: boolean
}

interface Asked {
  readonly user: Identity.UserId
  readonly begun: Begun
  readonly name: CommandName
  readonly command: Broker.SentCommand
  /** The answer, or the number of the command, by which a program's gift is known. */
  readonly tag: number
  readonly outcomes: Array<Command.Outcome>
}

const same = (one: Command.Outcome, other: Command.Outcome): boolean => JSON.stringify(one) === JSON.stringify(other)

const isAccepted = ({ outcomes }: Asked): boolean => outcomes.some(({ outcome }) => outcome === "accepted")

/** How long a device waits to be told, in this world. */
const within = Duration.millis(400)

export class Commanded {
  private readonly begun: Array<Begun> = []
  private readonly asked: Array<Asked> = []
  /** Runs of which a cancel was accepted. */
  private readonly cancelled = new Set<string>()
  /** What runs were given: how often each. */
  private readonly given = new Map<number, number>()
  /** Runs that read commands. */
  private readonly reading = new Set<string>()
  /** Runs whose request has expired. */
  private readonly expired = new Set<string>()

  /** A run began, and can be asked. */
  begin(run: Begun): void {
    this.begun.push(run)
  }

  /** A device asks; `commands` takes it there. */
  ask(
    commands: Broker.Commands,
    step: { readonly user: Identity.UserId; readonly back: number; readonly name: CommandName; readonly again: boolean }
  ): Effect.Effect<void> {
    return Effect.suspend(() => {
      const begun = this.begun.at(-1 - step.back)
      if (begun === undefined) return Effect.void
      const before = this.asked.filter(({ user }) => user === step.user).at(-1)
      const asked = step.again && before !== undefined ? before : this.make(step.user, begun, step.name)
      return Effect.exit(commands.send(asked.user, asked.command, within)).pipe(
        Effect.map((exit) => {
          if (Exit.isSuccess(exit)) this.told(asked, exit.value)
        })
      )
    })
  }

  private make(user: Identity.UserId, begun: Begun, name: CommandName): Asked {
    const tag = this.asked.length + 1
    const base = { id: Command.CommandId.make(`c${tag}`), run: Identity.RunId.make(begun.run), client: "tab" }
    // Each run of the world has one request, its first.
    const data = name === "answer" ? { requestId: "request-1", answer: String(tag) } : { tag }
    const command: Broker.SentCommand = name === "cancel"
      ? { ...base, name }
      : name === "wrong"
      ? { ...base, name: "steer", data: { tag: "none" } }
      : { ...base, name, data }
    const asked: Asked = { user, begun, name, command, tag, outcomes: [] }
    this.asked.push(asked)
    return asked
  }

  private told(asked: Asked, outcome: Command.Outcome): void {
    const { begun, command: { id }, name, outcomes, user } = asked
    const [first] = outcomes
    outcomes.push(outcome)
    if (first !== undefined && !same(first, outcome)) {
      broken("P10", `${name} ${id} was told ${JSON.stringify(first)}, and then ${JSON.stringify(outcome)}`)
    }
    if (outcome.outcome === "refused") return
    if (user !== begun.user) broken("P1", `${name} ${id} of ${user} was accepted for run ${begun.run} of ${begun.user}`)
    if (name === "wrong") broken("P10", `${id} fits nothing, and was accepted`)
    if (name === "cancel" && begun.isProtected) broken("P10", `run ${begun.run} may not be cancelled, and was`)
    if (name === "cancel") this.cancelled.add(begun.run)
    if (name === "answer") {
      const others = this.asked.filter((other) => other !== asked && other.name === name && other.begun === begun)
      if (others.some(isAccepted)) broken("P10", `two answers to the request of run ${begun.run} were accepted`)
    }
  }

  /** A tool of the run begins. */
  beginsTool(run: string): void {
    if (this.cancelled.has(run)) broken("P10", `a tool of run ${run} begins, though its cancel was accepted`)
  }

  /** What a run that takes commands does beside its work: it asks, and reads what it is sent, until it ends. */
  within(run: string): Effect.Effect<void, never, Emitter.Emitter> {
    return Effect.gen({ self: this }, function*() {
      const asking = Emitter.ask({ kind: "text", title: "Which?", timeout: "150 millis" })
      yield* Effect.forkChild(Effect.matchEffect(asking, {
        onFailure: (error) =>
          Effect.sync(() => {
            if (error._tag === "AskError" && error.reason === "expired") this.expired.add(run)
          }),
        onSuccess: (answer) => Effect.sync(() => this.takes(run, Number(answer), "answer"))
      }))
      this.reading.add(run)
      const reading = Stream.runForEach(
        Emitter.commands(Steer),
        ({ tag }) => Effect.sync(() => this.takes(run, tag, "steer"))
      )
      yield* Effect.forkChild(Effect.onExit(Effect.ignore(reading), () => Effect.sync(() => this.reading.delete(run))))
    })
  }

  private takes(run: string, tag: number, name: CommandName): void {
    const asked = this.asked[tag - 1] ?? broken("P10", `run ${run} was given ${name} ${tag}, which nobody sent`)
    if (asked.begun.run !== run || asked.name !== name || asked.user !== asked.begun.user) {
      broken("P10", `run ${run} was given ${name} ${tag}, which is not its`)
    }
    const times = (this.given.get(tag) ?? 0) + 1
    this.given.set(tag, times)
    if (times > 1) broken("P10", `run ${run} was given ${name} ${tag} ${times} times`)
  }

  /** Holds after every step: what was accepted has reached its run, where it waits for such; what was refused has not. */
  check(
    isUnderWay: (run: string) => boolean,
    isFree: (user: Identity.UserId) => boolean
  ): void {
    for (const { run, user } of this.begun) {
      if (this.cancelled.has(run) && isUnderWay(run) && isFree(user)) {
        broken("P10", `run ${run} goes on, though its cancel was accepted and nothing is in its way`)
      }
    }
    for (const asked of this.asked) {
      const { begun: { run }, name, outcomes, tag } = asked
      const isGiven = this.given.has(tag)
      if (outcomes.length > 0 && !isAccepted(asked) && isGiven) {
        broken("P10", `${name} ${tag} was refused, and reached run ${run} all the same`)
      }
      // An answer may have to wait until its request is in the log.
      const isDue = name === "steer" ? this.reading.has(run) : name === "answer" && this.expired.has(run)
      if (isDue && !isGiven && isAccepted(asked) && isUnderWay(run)) {
        broken("P10", `${name} ${tag} was accepted, and has not reached run ${run}`)
      }
    }
  }
}
