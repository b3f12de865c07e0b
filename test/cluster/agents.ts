/**
 * What an emitting process under test does: it runs agents for users until SIGUSR2 tells it to start no more of them, and
 * writes down what was accepted. At SIGHUP one more agent emits as fast as it can. What an agent does is drawn from `SEED`.
 *
 * An agent's events carry its run and a number that rises by one, so that any that is missing, repeated or out of order can
 * be told.
 */
import { Clock, Config, Effect, Exit, Fiber, Option, Queue, Schedule, Schema, Stream } from "effect"
import { openSync, writeSync } from "node:fs"
import {
  AgentEvents,
  DeadLetters,
  Emitter,
  EmitterLayer,
  Emitters,
  Event,
  FallbackChannel,
  Identity,
  Spool
} from "../../src/index.ts"
import { seeded } from "../support/random.ts"
import { stricken } from "./Cluster.ts"
import { Steer } from "./Commander.ts"
import type { Line } from "./Record.ts"

const more = Config.all({
  record: Config.String("RECORD"),
  spool: Config.String("SPOOL"),
  life: Config.String("LIFE"),
  seed: Config.Int("SEED"),
  users: Config.String("USERS"),
  agents: Config.Int("AGENTS"),
  pauseMs: Config.Int("PAUSE_MS")
})

const floodEvents = 3_000

/** An agent's work that fails, as it should now and then. */
class AgentFailed extends Schema.TaggedError<AgentFailed>()("AgentFailed", {}) {}

/** Runs agents over a broker until it is interrupted; `onReady` is called when the first start. */
export const agents = (onReady: () => void) =>
  Effect.gen(function*() {
    const name = yield* Config.String("NODE_NAME")
    const { agents: perUser, life, pauseMs, record, seed, spool, users } = yield* more
    const file = openSync(record, "a")
    const write = (line: Line) => void writeSync(file, `${JSON.stringify(line)}\n`)
    const draw = seeded(seed)
    const names = users.split(",")
    let runs = 0
    const rest = { isAskedFor: false }
    process.on("SIGUSR2", () => {
      rest.isAskedFor = true
    })
    let confirmed = 0
    let unconfirmed = 0

    const emitOne = Effect.fnUntraced(function*(run: string, n: number) {
      const emitter = yield* Emitter.Emitter
      const tag = { run, n }
      const chance = draw.next()
      const event = chance < 0.45
        ? AgentEvents.Custom.make({ name: "n", data: tag })
        : chance < 0.75
        ? AgentEvents.TextDelta.make({ messageId: run, delta: `${n} ` })
        : Event.critical(AgentEvents.Custom.make({ name: "critical", data: tag }))
      if (chance > 0.97) {
        // Perhaps nobody is there to confirm it: then all that is known is that it was not refused.
        const exit = yield* Effect.exit(emitter.emitConfirmed(event, { within: "2 seconds" }))
        if (Exit.isSuccess(exit)) confirmed++
        else unconfirmed++
        const position = Exit.isSuccess(exit) ? exit.value : {}
        return void write({ _tag: "Accepted", ...tag, critical: false, receipt: "Deferred", ...position })
      }
      const critical = event.delivery === "critical"
      const exit = yield* Effect.exit(emitter.emit(event))
      if (Exit.isFailure(exit)) {
        const error = Option.getOrUndefined(Exit.findErrorOption(exit))
        write({ _tag: "Refused", ...tag, reason: error?.reason._tag ?? "interrupted" })
        return void (yield* exit)
      }
      const receipt = exit.value
      const position = receipt._tag === "Appended" ? receipt.position : {}
      write({ _tag: "Accepted", ...tag, critical, receipt: receipt._tag, ...position })
    })

    const runOne = Effect.fnUntraced(function*(user: string, events: number, pauseMs: number, fails: boolean) {
      const emitters = yield* Emitters
      const run = `${life}-${++runs}`
      // Beside its work it reads what it is sent, and some ask something.
      const asks = draw.chance(0.4)
      const took = (name: "answer" | "steer", n: number) => write({ _tag: "Took", run, name, n })
      const listen = Effect.gen(function*() {
        const reading = Stream.runForEach(Emitter.commands(Steer), ({ n }) => Effect.sync(() => took("steer", n)))
        yield* Effect.forkChild(Effect.ignore(reading))
        if (!asks) return
        const asking = Emitter.ask({ kind: "text", title: "Which?", timeout: "20 seconds" })
        yield* Effect.forkChild(Effect.ignore(Effect.map(asking, (answer) => took("answer", Number(answer)))))
      })
      const work = Effect.gen(function*() {
        yield* listen
        for (let n = 1; n <= events; n++) {
          yield* emitOne(run, n)
          if (pauseMs > 0) yield* Effect.sleep(draw.below(2 * pauseMs))
        }
        if (fails) return yield* new AgentFailed()
      })
      write({ _tag: "Started", run, user, at: yield* Clock.currentTimeMillis })
      yield* emitters.forUser({ userId: user, runId: run }).pipe(
        Effect.flatMap((emitter) =>
          Effect.provideService(
            Emitter.run({ agentName: name, commands: [Steer] })(work),
            Emitter.Emitter,
            emitter
          )
        ),
        Effect.scoped,
        Effect.exit
      )
      write({ _tag: "Ended", run, at: yield* Clock.currentTimeMillis })
    })

    const agent = Effect.fnUntraced(function*(user: string) {
      while (!rest.isAskedFor) {
        yield* runOne(user, 1 + draw.below(30), pauseMs, draw.chance(0.15))
        yield* Effect.sleep(draw.below(4 * pauseMs))
      }
    })

    const floods = yield* Queue.unbounded<void>()
    process.on("SIGHUP", () => Queue.offerUnsafe(floods, undefined))
    const flood = Effect.gen(function*() {
      yield* Queue.take(floods)
      if (!rest.isAskedFor) yield* runOne(draw.pick(names), floodEvents, 0, false)
    })

    const count = Effect.gen(function*() {
      const { accepted, deadLettered, delivery, dropped } = yield* (yield* Emitters).stats
      const letters = yield* (yield* DeadLetters.DeadLetters).list({ user: Identity.UserId.make(stricken) })
      const sum = (counts: Readonly<Record<string, number>>) => Object.values(counts).reduce((all, one) => all + one, 0)
      write({
        _tag: "Counts",
        accepted: sum(accepted),
        deadLettered,
        setAside: delivery.deadLettered.runLost + letters.filter(({ trigger }) => trigger !== "runLost").length,
        spooled: delivery.spool?.events ?? 0,
        dropped: sum(dropped),
        confirmed,
        unconfirmed
      })
    })

    write({ _tag: "Began", at: yield* Clock.currentTimeMillis })
    yield* Effect.addFinalizer(() => Effect.sync(() => write({ _tag: "Closed" })))
    return yield* Effect.gen(function*() {
      yield* Effect.addFinalizer(() => Effect.orDie(count))
      yield* Effect.forkScoped(Effect.repeat(count, Schedule.spaced("250 millis")))
      onReady()
      const flooding = yield* Effect.forkScoped(Effect.forever(flood))
      yield* Effect.forEach(names.flatMap((user) => Array.from({ length: perUser }, () => user)), agent, {
        concurrency: "unbounded",
        discard: true
      })
      yield* Fiber.interrupt(flooding)
      write({ _tag: "Rested" })
      return yield* Effect.never
    }).pipe(
      Effect.scoped,
      Effect.provide(
        EmitterLayer({ profile: "lowLatency", closeTimeout: "4 seconds" }).pipe(
          FallbackChannel.provide(Spool.sqlite({ file: spool }))
        )
      )
    )
  }).pipe(Effect.scoped)
