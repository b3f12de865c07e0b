/**
 * What readers are told of events that were appended.
 *
 * @since 0.2.0
 */
import type { DeliveryClass } from "../../protocol/event/Event.ts"
import type { Signal } from "../Broker.ts"

const isCritical = ({ delivery }: { readonly delivery: DeliveryClass }): boolean => delivery === "critical"

/**
 * The signal for readers of a log to which these were appended.
 *
 * @category conversions
 * @since 0.2.0
 */
export const signalOf = (
  appended: ReadonlyArray<{ readonly delivery: DeliveryClass }>
): Extract<Signal, "critical"> | undefined => appended.some(isCritical) ? "critical" : undefined
