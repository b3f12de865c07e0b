/**
 * The run in whose fiber something happens: known to the fiber that a run has of
 * its own, and to those that are forked there.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Fiber from "effect/Fiber"
import type { RunId } from "../../protocol/values/Identity.ts"
import type { Binding } from "../accept/Binding.ts"
import type { RunRecord, RunRegistry } from "../user/RunRegistry.ts"

/**
 * The innermost run of a fiber; `outer` is the one in whose fiber it began.
 *
 * @category models
 * @since 0.1.0
 */
export interface Current {
  readonly runs: RunRegistry
  readonly record: RunRecord
  readonly runId: RunId
  readonly binding: Binding
  readonly outer: Current | undefined
}

/**
 * The run that the fiber is in; none outside of runs.
 *
 * @category services
 * @since 0.1.0
 */
export const CurrentRun = Context.Reference<Current | undefined>("effect-emitter/CurrentRun", {
  defaultValue: () => undefined
})

/**
 * What an emitter's events are bound to where they are emitted now. One that was
 * made for a run keeps to it. One that was made for a user emits into the
 * innermost run of its fiber that began from it, and else as it was bound.
 *
 * @category getters
 * @since 0.1.0
 */
export const bindingHere = (binding: Binding): Binding => {
  if (binding.isWithinRun) return binding
  const fiber = Fiber.getCurrent()
  let current = fiber && Context.getOrUndefined(fiber.context, CurrentRun)
  while (current !== undefined && current.binding.origin !== binding.origin) current = current.outer
  return current?.binding ?? binding
}
