/**
 * Events, for what a component does once and does not draw: a sound, a notice, a
 * look-up. What is drawn comes from `useRuns` and `useRun`.
 *
 * @since 0.2.0
 */
import { useEffect, useRef } from "react"
import { call, rethrow } from "../client/driver/Callback.ts"
import { type KnownEvent, pick } from "../client/driver/TypedEvent.ts"
import type { BuiltIn } from "../protocol/event/AgentEvents.ts"
import type { BuiltInName } from "../protocol/event/EventDefinition.ts"
import type * as Event from "../protocol/event/Event.ts"
import { useSource } from "./EmitterProvider.ts"

/**
 * Calls the handler once for each event of a kind, in order, while the component is
 * mounted. A built-in event is named; one of a program's own is given by its
 * definition, also where the connection has another catalog. An event of a later
 * version, whose payload is not what the definition takes, is left out.
 *
 * The handler is that of the last render. What it throws is uncaught, and does not end
 * the calls.
 *
 * ```tsx
 * import { Schema } from "effect"
 * import { Event } from "effect-emitter/events"
 * import { useEvent } from "effect-emitter/react"
 *
 * const OrderPlaced = Event.make("order_placed", { payload: { total: Schema.Finite } })
 *
 * export const useNotices = (show: (text: string) => void) => {
 *   useEvent(OrderPlaced, ({ payload }) => show(`An order over ${payload.total} was placed`))
 *   useEvent("agent_error", ({ payload }) => show(payload.message))
 * }
 * ```
 *
 * @category hooks
 * @since 0.2.0
 */
export function useEvent<Name extends BuiltInName>(
  event: Name,
  handler: (event: KnownEvent<Extract<BuiltIn, { readonly name: Name }>>) => void
): void
export function useEvent<D extends Event.AnyDefinition>(event: D, handler: (event: KnownEvent<D>) => void): void
export function useEvent(
  event: Event.AnyDefinition | BuiltInName,
  handler: (event: never) => void
): void {
  const source = useSource()
  const latest = useRef({ event, handler })
  useEffect(() => {
    latest.current = { event, handler }
  })
  useEffect(() => {
    const { connection, release } = source.retain()
    const events = connection.events[Symbol.asyncIterator]()
    const reader = { left: false }
    const read = async (): Promise<void> => {
      for (let next = await events.next(); next.done !== true && !reader.left; next = await events.next()) {
        const { event, handler } = latest.current
        const picked = pick(event, next.value)
        if (picked !== undefined) call(() => handler(picked), rethrow)
      }
    }
    read().catch(rethrow)
    return () => {
      reader.left = true
      void events.return?.()
      release()
    }
  }, [source])
}
