/**
 * Starts the runs that requests ask for: each once, on a fiber that outlives the
 * request.
 *
 * - A run that is known, here or by its user's log, is not started: whoever asks for it
 *   reads it. That holds for requests that come together, too, in one process or in
 *   several: one of them claims the run, and starts it; the others read it as it comes.
 * - Where the claim is given up before the run began, since its process died or its
 *   program ended without it, whoever still waits for it starts it.
 * - The run goes on when the client leaves. It ends with the layer, as all runs do.
 *
 * @since 0.2.0
 */
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberSet from "effect/FiberSet"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type { Broker } from "../../broker/Broker.ts"
import type { BrokerError } from "../../broker/BrokerError.ts"
import type { Emitter, Emitters } from "../../emitter/Emitter.ts"
import { type EmissionContext, type RunId, ThreadId, type UserId } from "../../protocol/values/Identity.ts"
import type { Position } from "../../protocol/values/Position.ts"
import type { Given } from "../../protocol/values/Present.ts"
import { Quota } from "./Quota.ts"
import type { From } from "./RunLog.ts"

/**
 * The user has as many runs in progress here as one may have.
 *
 * @category errors
 * @since 0.2.0
 */
export class TooManyRuns extends Schema.TaggedError<TooManyRuns>()("TooManyRuns", { limit: Schema.Int }) {
  override get message() {
    return `A user may have ${this.limit} runs in progress here: wait for one of them, or cancel it`
  }
}

/**
 * The run belongs to another thread than the request says.
 *
 * @category errors
 * @since 0.2.0
 */
export class OtherThread extends Schema.TaggedError<OtherThread>()("OtherThread", { thread: ThreadId }) {
  override get message() {
    return `The run is one of another thread than ${this.thread}: give each run an id of its own`
  }
}

/**
 * This process is ending, and starts nothing more.
 *
 * @category errors
 * @since 0.2.0
 */
export class Closing extends Schema.TaggedError<Closing>()("Closing", {}) {
  override get message() {
    return "this process is ending"
  }
}

/**
 * Why a run is neither started nor read.
 *
 * @category errors
 * @since 0.2.0
 */
export type StartError = TooManyRuns | OtherThread | Closing | BrokerError

/**
 * Which run is asked for, and what its emitter is bound to besides.
 *
 * @category models
 * @since 0.2.0
 */
export interface RunContext extends Omit<Given<typeof EmissionContext.Encoded>, "userId" | "runId" | "threadId"> {
  readonly userId: UserId
  readonly runId: RunId
  readonly threadId: ThreadId
}

/**
 * A run that was asked for: from where its reader begins, and an effect that waits until
 * its program has ended, if that was started here.
 *
 * @category models
 * @since 0.2.0
 */
export interface Begun {
  readonly from: From
  readonly over: Effect.Effect<void>
}

/**
 * A program, with its emitter.
 *
 * @category models
 * @since 0.2.0
 */
export type Program = (emitter: Emitter["Service"]) => Effect.Effect<unknown, unknown>

/**
 * Starts programs. `start` starts the program with an emitter that is bound to the run,
 * unless the run is known. `close` ends all, and waits for their endings.
 *
 * @category models
 * @since 0.2.0
 */
export interface RunStarter {
  readonly start: (
    context: RunContext,
    program: Program
  ) => Effect.Effect<Begun, StartError>
  readonly close: Effect.Effect<void>
}

interface Entry {
  readonly thread: ThreadId
  readonly begun: Deferred.Deferred<Begun, StartError>
  readonly over: Deferred.Deferred<void>
}

/**
 * Makes a starter whose programs end with the scope. While `draining` is so it starts nothing.
 *
 * @category constructors
 * @since 0.2.0
 */
export const make = Effect.fnUntraced(function*({ broker, draining, emitters, runsPerUser }: {
  readonly broker: Pick<Broker["Service"], "claim" | "snapshot">
  readonly draining: Effect.Effect<boolean>
  readonly emitters: Emitters["Service"]
  readonly runsPerUser: number
}): Effect.fn.Return<RunStarter, never, Scope.Scope> {
  const places = new Quota(runsPerUser)
  const known = new Map<string, Entry>()
  const fibers = yield* FiberSet.make<void>()
  const fork = yield* FiberSet.runtime(fibers)()
  let isClosing = false

  const tell = ({ begun }: Entry, from: From, over: Effect.Effect<void>): void => {
    Deferred.doneUnsafe(begun, Effect.succeed({ from, over }))
  }

  // Where the log stands, if it does not know the run; whoever asked for one that it knows is told to read it.
  const lookFor = (entry: Entry, { runId, userId }: RunContext) =>
    Effect.gen(function*(): Effect.fn.Return<Position | undefined, OtherThread | BrokerError> {
      const { thread } = entry
      const { position, snapshot } = yield* broker.snapshot(userId, runId)
      if (snapshot === undefined) return position
      const { state } = snapshot
      if (state.thread !== undefined && state.thread !== thread) return yield* new OtherThread({ thread })
      tell(entry, { _tag: "Now" }, Effect.never)
      return undefined
    })

  // Where the log stands, if the run is this starter's to begin: it has not begun, and nobody else begins it.
  const claim = (entry: Entry, context: RunContext) =>
    Effect.gen(function*(): Effect.fn.Return<Position | undefined, OtherThread | BrokerError, Scope.Scope> {
      if ((yield* lookFor(entry, context)) === undefined) return undefined
      const take = broker.claim(context.userId, context.runId)
      if (!(yield* take)) {
        tell(entry, { _tag: "Now" }, Deferred.await(entry.over))
        const isSettled = Effect.gen(function*() {
          return (yield* lookFor(entry, context)) === undefined || (yield* take)
        })
        yield* isSettled.pipe(
          Effect.retry({ while: ({ _tag }) => _tag === "BrokerError", schedule: lookAgain }),
          Effect.repeat({ until: (settled) => settled, schedule: lookAgain })
        )
      }
      // It may have begun while nobody had the claim.
      return yield* lookFor(entry, context)
    })

  const begin = (entry: Entry, context: RunContext, program: Program) =>
    Effect.gen(function*() {
      const position = yield* claim(entry, context)
      if (position === undefined) return
      // Emitters that are closed take no run any more.
      if (yield* draining) return yield* new Closing()
      const emitter = yield* Effect.orDie(emitters.forUser(context))
      tell(entry, { _tag: "Start", position }, Deferred.await(entry.over))
      // @effect-diagnostics-next-line anyUnknownInErrorContext:off
      yield* Effect.catchCause(program(emitter), tellFailure)
    }).pipe(Effect.scoped, Effect.annotateLogs({ user: context.userId, run: context.runId }))

  const start: RunStarter["start"] = (context, program) =>
    Effect.suspend(() => {
      const { runId, threadId: thread, userId } = context
      // No id has a space.
      const key = `${userId} ${runId}`
      const entry = known.get(key)
      if (entry !== undefined) {
        return entry.thread === thread
          ? Effect.map(Deferred.await(entry.begun), ({ over }): Begun => ({ from: { _tag: "Now" }, over }))
          : Effect.fail(new OtherThread({ thread }))
      }
      if (isClosing) return Effect.fail(new Closing())
      if (!places.take(userId)) return Effect.fail(new TooManyRuns({ limit: places.limit }))
      const first: Entry = { thread, begun: Deferred.makeUnsafe(), over: Deferred.makeUnsafe() }
      known.set(key, first)
      const conclude = (exit: Exit.Exit<void, StartError>) =>
        Effect.sync(() => {
          known.delete(key)
          places.giveBack(userId)
          Deferred.doneUnsafe(first.over, Effect.void)
          // Whoever waits was told before, unless the run was not started.
          const isTold = Exit.isSuccess(exit) || Cause.hasInterruptsOnly(exit.cause)
          Deferred.doneUnsafe(first.begun, isTold ? Effect.fail(new Closing()) : Effect.failCause(exit.cause))
        })
      fork(Effect.ignoreCause(Effect.onExit(begin(first, context, program), conclude)))
      return Deferred.await(first.begun)
    })

  const close = Effect.suspend(() => {
    isClosing = true
    return Fiber.interruptAll(fibers)
  })
  yield* Effect.addFinalizer(() => close)
  return { start, close }
})

// So often whoever waits for a run that is begun elsewhere looks whether it has begun.
const lookAgain = Schedule.spaced("1 second")

// The events of the run tell of it as far as devices may know; the reason is for the operator.
const tellFailure = (cause: Cause.Cause<unknown>): Effect.Effect<void> =>
  Cause.hasInterruptsOnly(cause) ? Effect.void : Effect.logError("The program of a run failed", cause)
