/**
 * The thread that has the file, seen from the broker: takes steps, sends them in
 * groups, and hands out what came of them.
 *
 * One group is on its way at a time. What is asked meanwhile goes together in the
 * next, so that many appends share a commit, and one waits for none.
 *
 * A step that has no answer within the deadline fails; what is not on its way by then is not done. A
 * thread that ends by itself is started again, and goes on where the file stands.
 *
 * @since 0.2.0
 */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import { Worker } from "node:worker_threads"
import * as Monotonic from "../../protocol/values/Monotonic.ts"
import type { BrokerError } from "../BrokerError.ts"
import type { Answer, Group, Results, Said, Settings, Step } from "./Messages.ts"
import { SqliteOpenError } from "./SqliteOpenError.ts"
import { toBrokerError, unavailable } from "./SqliteFailure.ts"

/**
 * - `ask` does a step. What `apply` does with its result is done as soon as the result
 *   is there, in the order of the steps, whether somebody waits for it still or not.
 * - `opened` is what the file said when it was opened first.
 * - `now` is the file's time: it only goes forwards, over all lives of the process.
 *
 * @category models
 * @since 0.2.0
 */
export interface FileThread {
  readonly ask: <T extends Step["_tag"]>(
    step: Extract<Step, { readonly _tag: T }>,
    apply?: (result: Results[T]) => void
  ) => Effect.Effect<Results[T], BrokerError>
  readonly opened: Extract<Said, { readonly _tag: "opened" }>
  readonly now: () => number
}

/**
 * What the broker is told: that the file cannot be written any more (`down`), that it
 * can again (`up`), and that all of it is gone (`reset`).
 *
 * @category models
 * @since 0.2.0
 */
export interface Listener {
  readonly down: () => void
  readonly up: () => void
  readonly reset: () => void
}

interface Waiting {
  readonly step: Step
  readonly since: number
  readonly bytes: number
  readonly settle: (answer: Answer) => void
  readonly fail: (error: BrokerError) => void
}

// Bounds of a group, so that its messages block nobody for long.
const maxSteps = 512
const maxBytes = 512 * 1024

const restartPause = Duration.millis(250)
const probePause = Duration.millis(200)
const closeTimeout = Duration.seconds(5)

// Written sources are run as they are, and built ones as they were built.
const program = new URL(`./worker/main${import.meta.url.endsWith(".ts") ? ".ts" : ".js"}`, import.meta.url)

// A thread has the options of its process, and one of them is of a program that came as text, which this one is not.
const isOfText = process.execArgv.some((option) => option.startsWith("--input-type"))

const bytesOf = (step: Step): number =>
  step._tag === "append" ? step.batch.reduce((sum, { bytes }) => sum + bytes + 200, 0) : 200

const describe = (step: Step): string => "user" in step ? `${step._tag} of user ${step.user}` : step._tag

/**
 * Starts the thread, which opens the file. Its scope closes it, after what was asked
 * before is done.
 *
 * @category constructors
 * @since 0.2.0
 */
export const make = Effect.fnUntraced(function*(
  settings: Settings,
  deadlineMs: number,
  listener: Listener
): Effect.fn.Return<FileThread, SqliteOpenError, Scope.Scope> {
  const clock = yield* Clock.Clock
  const runFork = Effect.runForkWith(yield* Effect.context<never>())
  const scope = yield* Effect.scope
  const first = yield* Deferred.make<FileThread["opened"], SqliteOpenError>()
  const closed = yield* Deferred.make<void>()
  let queue: Array<Waiting> = []
  let sent: ReadonlyArray<Waiting> | undefined
  let sentAt = 0
  let groups = 0
  let worker: Worker | undefined
  let isReady = false
  let isClosing = false
  let isClosed = false
  let isFlushing = false
  let isUp = true
  let base = 0
  let started = 0

  const monotonic = (): number => Monotonic.millisUnsafe(clock)
  const now = (): number => Math.floor(base + monotonic() - started)

  const turn = (up: boolean): void => {
    if (isUp === up) return
    isUp = up
    if (up) listener.up()
    else {
      listener.down()
      runFork(Effect.forkIn(probe, scope))
    }
  }

  const tell = (message: Group | "close"): void => worker?.postMessage(message, [])

  const send = (steps: ReadonlyArray<Waiting>): void => {
    sent = steps
    sentAt = monotonic()
    const wallMs = clock.currentTimeMillisUnsafe()
    const group: Group = { id: ++groups, now: now(), wallMs, steps: steps.map(({ step }) => step) }
    tell(group)
  }

  const flush = (): void => {
    isFlushing = false
    if (!isReady || sent !== undefined) return
    if (queue.length === 0) {
      if (isClosing && !isClosed) {
        isClosed = true
        tell("close")
      }
      return
    }
    let bytes = 0
    let count = 0
    for (const one of queue) {
      bytes += one.bytes
      if (count === maxSteps || (count > 0 && bytes > maxBytes)) break
      count++
    }
    const steps = count === queue.length ? queue : queue.slice(0, count)
    queue = count === queue.length ? [] : queue.slice(count)
    send(steps)
  }

  // What is asked in the same turn goes together.
  const flushSoon = (): void => {
    if (isFlushing || sent !== undefined) return
    isFlushing = true
    queueMicrotask(flush)
  }

  const finish = (with_: (one: Waiting, index: number) => void): void => {
    const steps = sent ?? []
    sent = undefined
    for (const [index, one] of steps.entries()) with_(one, index)
    flush()
  }

  const hear = (said: Said): void => {
    switch (said._tag) {
      case "opened": {
        base = said.now
        started = monotonic()
        isReady = true
        Deferred.doneUnsafe(first, Effect.succeed(said))
        return flush()
      }
      case "refused": {
        const { message, reason } = said
        const error = new SqliteOpenError({ file: settings.file, reason, detail: message })
        Deferred.doneUnsafe(first, Effect.fail(error))
        return
      }
      case "done": {
        finish((one, index) => {
          const answer = said.answers[index]
          if (answer !== undefined) one.settle(answer)
        })
        return turn(true)
      }
      case "failed": {
        if (said.failure.code !== undefined) turn(false)
        const afterMs = monotonic() - sentAt
        return finish((one) => one.fail(toBrokerError(describe(one.step), afterMs, settings.file, said.failure)))
      }
      case "reset": {
        runFork(Effect.logError(
          `The file ${settings.file} is damaged (${said.message}). It was moved to ${said.setAside}, where ` +
            `"sqlite3 … .recover" may find what can be saved; the logs of all users begin anew`
        ))
        return listener.reset()
      }
      case "closed":
        return void Deferred.doneUnsafe(closed, Effect.void)
    }
  }

  const start = (): void => {
    const thread = new Worker(program, {
      workerData: { ...settings, wallMs: clock.currentTimeMillisUnsafe() },
      ...isOfText && { execArgv: [] }
    })
    worker = thread
    thread.on("message", hear)
    thread.on("error", (cause) => {
      runFork(Effect.logError(`The thread that has the file ${settings.file} has ended`, cause))
    })
    thread.on("exit", () => {
      if (worker !== thread) return
      worker = undefined
      isReady = false
      if (isClosing) return void Deferred.doneUnsafe(closed, Effect.void)
      turn(false)
      const detail = "the thread that has the file has ended"
      Deferred.doneUnsafe(
        first,
        Effect.fail(new SqliteOpenError({ file: settings.file, reason: "unusable", detail }))
      )
      finish((one) => one.fail(unavailable(describe(one.step), monotonic() - sentAt, detail)))
      runFork(Effect.forkIn(Effect.andThen(Effect.sleep(restartPause), Effect.sync(start)), scope))
    })
  }

  const ask: FileThread["ask"] = <T extends Step["_tag"]>(
    step: Extract<Step, { readonly _tag: T }>,
    apply?: (result: Results[T]) => void
  ) =>
    Effect.callback<Results[T], BrokerError>((resume) => {
      if (isClosing) return resume(Effect.fail(unavailable(describe(step), 0, "the broker is closed")))
      const since = monotonic()
      queue.push({
        step,
        since,
        bytes: bytesOf(step),
        settle: (answer) => {
          if ("failure" in answer) {
            const error = toBrokerError(describe(step), monotonic() - since, settings.file, answer.failure)
            return resume(Effect.fail(error))
          }
          // A thread answers each step with its result; types cannot follow a message.
          const result = answer.value as Results[T]
          apply?.(result)
          resume(Effect.succeed(result))
        },
        fail: (error) => resume(Effect.fail(error))
      })
      flushSoon()
    })

  const probe: Effect.Effect<void> = Effect.suspend(() => {
    if (isUp) return Effect.void
    const one = sent === undefined ? Effect.ignore(ask<"canary">({ _tag: "canary" })) : Effect.void
    return Effect.andThen(Effect.delay(one, probePause), probe)
  })

  const checkDeadlines = Effect.sync(() => {
    const at = monotonic()
    const late = queue.filter(({ since }) => at - since >= deadlineMs)
    if (late.length > 0) queue = queue.filter(({ since }) => at - since < deadlineMs)
    for (const one of late) one.fail(unavailable(describe(one.step), at - one.since, "the file is not written"))
    if (sent === undefined || at - sentAt < deadlineMs) return
    turn(false)
    for (const one of sent) {
      one.fail(unavailable(describe(one.step), at - one.since, "the file is not written", "undecided"))
    }
  })

  yield* Effect.acquireRelease(Effect.sync(start), () =>
    Effect.suspend(() => {
      isClosing = true
      const thread = worker
      if (thread === undefined) return Effect.void
      if (isReady) flush()
      return Deferred.await(closed).pipe(
        Effect.timeoutOption(isReady ? closeTimeout : Duration.zero),
        Effect.andThen(Effect.promise(() => thread.terminate()))
      )
    }))
  const opened = yield* Deferred.await(first)
  yield* Effect.forkScoped(
    Effect.repeat(Effect.delay(checkDeadlines, Duration.millis(deadlineMs / 4)), Schedule.forever)
  )
  return { ask, opened, now }
})
