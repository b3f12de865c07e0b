/**
 * Takes up a run where its log left it, when it is emitted into with a key: another
 * process, or an emitter that has closed since, may have begun it.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type { Broker, BrokerError, Entry } from "../../broker/Broker.ts"
import type { RunId, UserId } from "../../protocol/values/Identity.ts"
import type { Position } from "../../protocol/values/Position.ts"
import type { RunSnapshot } from "../../protocol/run/RunSnapshot.ts"
import * as RunState from "../../protocol/run/RunState.ts"
import type { LoggedRun } from "../user/RunRegistry.ts"
import { type Binding, runOf } from "./Binding.ts"
import { keyedSourceIn } from "./KeyedSource.ts"

/**
 * Looks in the log for the binding's run, where nothing is known of it here. A log
 * that cannot be read now leaves it so.
 *
 * @category models
 * @since 0.1.0
 */
export type TakeUp = (binding: Binding) => Effect.Effect<void>

const limits = { maxEvents: 256, maxBytes: 256 * 1024 }

/**
 * Reads a run as its log has it; nothing where the log does not know it.
 *
 * @category constructors
 * @since 0.1.0
 */
export const reader =
  (broker: Pick<Broker["Service"], "pull" | "snapshot">) =>
  (user: UserId, run: RunId): Effect.Effect<LoggedRun | undefined, BrokerError> =>
    Effect.gen(function*() {
      const { position: { epoch }, snapshot } = yield* broker.snapshot(user, run)
      if (snapshot === undefined) return undefined
      const keys: Array<readonly [string, Position]> = []
      let after: Position = { epoch, offset: 0 }
      while (true) {
        const { entries, head, next } = yield* broker.pull(user, after, limits)
        for (const entry of entries) {
          const source = entry.run === run ? keyedSourceIn(idOf(entry)) : undefined
          if (source !== undefined) keys.push([source, { epoch: next.epoch, offset: entry.offset }])
        }
        if (next.offset >= head) break
        after = next
      }
      const { startedAt = 0, thread, usage } = snapshot.state
      const { parts } = snapshot.state
      return {
        state: stateOf(snapshot.state),
        startedAt,
        usage,
        tools: highestIn(parts, /^call-(\d+)$/),
        requests: highestIn(parts, /^request-(\d+)$/),
        keys,
        thread
      }
    })

/**
 * Makes it over a broker.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (broker: Pick<Broker["Service"], "pull" | "snapshot">): TakeUp => {
  const read = reader(broker)

  const takeUp = (binding: Binding, runId: RunId): Effect.Effect<void, BrokerError> =>
    Effect.map(read(binding.outbox.user, runId), (found) => {
      const record = runOf(binding)
      // Somebody may have begun it meanwhile.
      if (found !== undefined && record?.state._tag === "Idle") binding.outbox.runs.takeUp(record, found)
    })

  return (binding) => {
    const { runId } = binding.context
    const record = runOf(binding)
    if (runId === undefined || record === undefined || record.state._tag !== "Idle") return Effect.void
    return Effect.catch(
      takeUp(binding, runId),
      (error) => Effect.logWarning(`Where run ${runId} stands could not be read: it counts as not begun here`, error)
    )
  }
}

const idOf = ({ body }: Entry): string => {
  const wire: { readonly id: string } = JSON.parse(`{${body}`)
  return wire.id
}

const stateOf = ({ agentName = "", parts, status }: RunSnapshot): RunState.RunState => {
  if (status !== "active") return { _tag: "Ended", outcome: status }
  const openTools = new Map<string, string>()
  const requests = new Map<string, RunState.RequestState>()
  const steps = new Set<string>()
  const completedMessages = new Set<string>()
  for (const part of parts) {
    switch (part.type) {
      case "tool":
        if (part.status === "executing" && part.inputText === undefined) openTools.set(part.toolCallId, part.toolName)
        break
      case "request":
        requests.set(part.requestId, { isOpen: part.status === "open", isSensitive: part.sensitive === true })
        break
      case "step":
        if (part.status === "running") steps.add(part.name)
        break
      case "text":
      case "thinking":
        if (part.completed === true && part.messageId !== undefined) completedMessages.add(part.messageId)
    }
  }
  return { ...RunState.active(agentName), openTools, requests, steps, completedMessages }
}

// The highest number in an id of this form, of a tool call or a request: the next is to have another.
const highestIn = (parts: RunSnapshot["parts"], form: RegExp): number =>
  Math.max(
    0,
    ...parts.map((part) => {
      const id = part.type === "tool" ? part.toolCallId : part.type === "request" ? part.requestId : ""
      return Number(form.exec(id)?.[1] ?? 0)
    })
  )
