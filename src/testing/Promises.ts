/**
 * Checks the promises of the package on a recorded trace.
 *
 * | promise | what is checked |
 * |---|---|
 * | P1 | an event's position is in the log of the user it was emitted for, and no id is in the logs of two users |
 * | P2 | offsets rise by one; each emitter's events stand in the order of their numbers; a call that began after another had ended does not stand before it |
 * | P3 | an accepted critical event is in the log, was handed over, or is a dead letter, as its receipt says |
 * | P4 | no event is in a log twice |
 * | P5 | no more events are pending than `capacity` allows each user |
 * | P6 | a critical event is appended without a wait, unless an append of its user was under way |
 * | P7 | after its layer has closed an engine asks nothing of the broker |
 * | P8 | a run has one ending at most, nothing after it, and once the layer has closed exactly one |
 *
 * P9, that all this can be tested, is what it runs on. Dead letters that were
 * replayed may stand anywhere.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { UserId } from "../protocol/values/Identity.ts"
import * as RunState from "../protocol/run/RunState.ts"
import type { Logged } from "./Delivered.ts"
import { type Emitted, receiptOf, type Trace } from "./Recorder.ts"

/**
 * One promise, and how it was broken.
 *
 * @category models
 * @since 0.1.0
 */
export const Violation = Schema.Struct({
  promise: Schema.Literals(["P1", "P2", "P3", "P4", "P5", "P6", "P7", "P8"]),
  detail: Schema.String
})

/**
 * One broken promise.
 *
 * @category models
 * @since 0.1.0
 */
export type Violation = typeof Violation.Type

/**
 * What is to be checked besides: `capacity` is the engine's
 * `batching.capacity`, without it P5 is not checked.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly capacity?: number | undefined
}

type Report = (promise: Violation["promise"], detail: string) => void

/**
 * Every promise that a trace shows as broken.
 *
 * @category checks
 * @since 0.1.0
 */
export const check = (trace: Trace, options: Options = {}): ReadonlyArray<Violation> => {
  const violations: Array<Violation> = []
  const report: Report = (promise, detail) => void violations.push({ promise, detail })
  checkLogs(trace, report)
  checkReceipts(trace, report)
  checkCallOrder(trace, report)
  checkPrompt(trace, report)
  checkRuns(trace, report)
  if (options.capacity !== undefined) checkPending(trace, options.capacity, report)
  if (trace.callsAtClose !== undefined && trace.calls.length > trace.callsAtClose) {
    report("P7", `${trace.calls.length - trace.callsAtClose} appends were asked for after the layer had closed`)
  }
  return violations
}

/**
 * Fails with all that is broken.
 *
 * @category checks
 * @since 0.1.0
 */
export const assertKept = (trace: Trace, options: Options = {}): Effect.Effect<void, PromisesBroken> =>
  Effect.suspend(() => {
    const violations = check(trace, options)
    return violations.length === 0 ? Effect.void : Effect.fail(new PromisesBroken({ violations }))
  })

/**
 * A trace shows promises as broken.
 *
 * @category errors
 * @since 0.1.0
 */
export class PromisesBroken extends Schema.TaggedError<PromisesBroken>()("PromisesBroken", {
  violations: Schema.Array(Violation)
}) {
  override get message() {
    return `Promises are broken:\n${this.violations.map(({ detail, promise }) => `  ${promise}: ${detail}`).join("\n")}`
  }
}

const checkLogs = ({ calls, deadLetters, logs }: Trace, report: Report): void => {
  const owners = new Map<string, UserId>()
  const late = new Set<string>(deadLetters.map(({ event }) => event.id))
  const sequences = new Map(calls.flatMap(({ batch }) => batch.map((envelope) => [envelope.id, envelope] as const)))
  const offsets = new Map<UserId, Logged["position"]>()
  const latest = new Map<string, number>()
  for (const { event: { id }, position, user } of logs) {
    const owner = owners.get(id)
    if (owner === user) report("P4", `${id} is in the log of ${user} twice`)
    else if (owner !== undefined) report("P1", `${id} is in the logs of ${owner} and of ${user}`)
    owners.set(id, user)

    const last = offsets.get(user)
    if (last !== undefined && last.epoch === position.epoch && position.offset !== last.offset + 1) {
      report("P2", `offset ${position.offset} of ${user} follows ${last.offset}`)
    }
    offsets.set(user, position)

    const envelope = sequences.get(id)
    if (envelope === undefined || late.has(id)) continue
    const before = latest.get(envelope.source) ?? 0
    if (envelope.sequence < before) report("P2", `${id} stands behind ${envelope.source}${before}`)
    latest.set(envelope.source, Math.max(before, envelope.sequence))
  }
}

const checkReceipts = ({ deadLetters, emitted, handedOver, logs }: Trace, report: Report): void => {
  const byPosition = new Map(logs.map((logged) => [positionKey(logged.user, logged.position), logged]))
  for (const call of emitted) {
    const { event, number, user } = call
    const receipt = receiptOf(call)
    if (receipt === undefined || event.delivery !== "critical") continue
    const name = `${event.type} (call ${number}, ${user})`
    const isSame = (letter: { readonly user: UserId; readonly type: string }) =>
      letter.user === user && letter.type === event.type
    switch (receipt._tag) {
      case "Appended": {
        const logged = byPosition.get(positionKey(user, receipt.position))
        if (logged === undefined) {
          const elsewhere = logs.find(({ position }) =>
            positionKey(user, position) === positionKey(user, receipt.position)
          )
          if (elsewhere === undefined) report("P3", `${name} is said to be appended, and is not in the log`)
          else report("P1", `${name} is in the log of ${elsewhere.user}`)
        } else if (logged.event.type !== event.type) {
          report("P3", `${name} is said to be where ${logged.event.type} stands`)
        }
        break
      }
      case "HandedOver": {
        const isRecorded = handedOver.some(({ channel }) => channel === receipt.channel)
        const taken = handedOver.map(({ channel, envelope: { type }, user }) => ({ channel, type, user }))
        if (isRecorded && !taken.some((letter) => letter.channel === receipt.channel && isSame(letter))) {
          report("P3", `${name} is said to be with "${receipt.channel}", and is not`)
        }
        break
      }
      case "DeadLettered": {
        const letters = deadLetters.map(({ event: { type }, user }) => ({ type, user }))
        if (![...letters, ...logs.map((logged) => ({ type: logged.event.type, user: logged.user }))].some(isSame)) {
          report("P3", `${name} is said to be a dead letter, and is none`)
        }
        break
      }
      case "Deferred":
      case "Dropped":
        report("P3", `${name} is critical, and ${receipt._tag}`)
    }
  }
}

const positionKey = (user: UserId, { epoch, offset }: Logged["position"]): string => `${user} ${epoch} ${offset}`

const positionOf = (call: Emitted): number | undefined => {
  const receipt = receiptOf(call)
  return receipt?._tag === "Appended" ? receipt.position.offset : undefined
}

// Two calls are in order if one had ended when the other began.
const checkCallOrder = ({ emitted }: Trace, report: Report): void => {
  const furthest = new Map<UserId, Array<{ readonly endedAs: number; readonly offset: number }>>()
  for (const call of emitted.toSorted((a, b) => (a.endedAs ?? Infinity) - (b.endedAs ?? Infinity))) {
    const offset = positionOf(call)
    if (offset === undefined || call.endedAs === undefined) continue
    const ends = furthest.get(call.user) ?? []
    furthest.set(call.user, ends)
    const before = ends.findLast(({ endedAs }) => endedAs <= call.before)
    if (before !== undefined && before.offset >= offset) {
      report("P2", `${call.event.type} (call ${call.number}) is at ${offset}, behind what was emitted after it`)
    }
    ends.push({ endedAs: call.endedAs, offset: Math.max(offset, ends.at(-1)?.offset ?? 0) })
  }
}

const checkPrompt = ({ calls, emitted, logs }: Trace, report: Report): void => {
  for (const call of emitted) {
    const receipt = receiptOf(call)
    if (receipt?._tag !== "Appended" || call.event.delivery !== "critical") continue
    const key = positionKey(call.user, receipt.position)
    const id = logs.find(({ position, user }) => positionKey(user, position) === key)?.event.id
    const append = calls.find(({ batch }) => batch.some((envelope) => envelope.id === id))
    if (append === undefined || append.at <= call.at) continue
    const isExcused = calls.some(({ at, endedAt, user }) =>
      user === call.user && at <= append.at && (endedAt ?? Infinity) >= call.at && at < append.at
    )
    if (!isExcused) report("P6", `${call.event.type} (call ${call.number}) waited ${append.at - call.at} ms`)
  }
}

const checkPending = ({ emitted, stats }: Trace, capacity: number, report: Report): void => {
  const users = new Set(emitted.map(({ user }) => user)).size
  if (stats.pending > users * capacity) report("P5", `${stats.pending} events of ${users} users are pending`)
}

const checkRuns = ({ deadLetters, handedOver, isClosed, logs }: Trace, report: Report): void => {
  const late = new Set<string>(deadLetters.map(({ event }) => event.id))
  const endings = new Map<string, Set<string>>()
  const started = new Set<string>()
  const note = (id: string, type: string, run: string | undefined) => {
    if (run === undefined) return
    if (RunState.isStart(type)) started.add(run)
    if (RunState.isTerminal(type)) endings.set(run, (endings.get(run) ?? new Set()).add(id))
  }
  for (const { event: { id, run, type } } of logs) {
    if (run !== undefined && endings.has(run) && !late.has(id) && endings.get(run)?.has(id) !== true) {
      report("P8", `${type} follows the ending of run ${run}`)
    }
    note(id, type, run)
  }
  for (const { envelope } of handedOver) note(envelope.id, envelope.type, envelope.run)
  for (const { event } of deadLetters) note(event.id, event.type, event.run)
  for (const [run, ids] of endings) {
    if (ids.size > 1) report("P8", `run ${run} has ${ids.size} endings`)
  }
  for (const run of isClosed ? started : []) {
    if (!endings.has(run)) report("P8", `run ${run} has no ending, though the layer has closed`)
  }
}
