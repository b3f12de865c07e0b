/**
 * A run's state folded from its events: what a device shows when it was not
 * there for all of them.
 *
 * @since 0.1.0
 */
export { maxItems, maxText, maxTotalText, RunFold } from "./RunFold.ts"
export { RunSnapshot } from "./RunSnapshotSchema.ts"
