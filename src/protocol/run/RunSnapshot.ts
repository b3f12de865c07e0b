/**
 * A run's state folded from its events: what a device shows when it was not
 * there for all of them.
 *
 * @since 0.1.0
 */
export { RunFold } from "./RunFold.ts"
export * from "./RunLimits.ts"
export { RunPart, RunSnapshot } from "./RunSnapshotSchema.ts"
