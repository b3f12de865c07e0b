/**
 * What tests of programs that emit events need.
 *
 * - `TestBroker` wraps a broker, and fails, slows down, loses answers or is
 *   interrupted as `Fault` says; `TestChannel` does so with a fallback
 *   channel. Both show all that was asked of them.
 * - `TestDevice` stops runs, answers what they ask, and sends them commands.
 * - `Recorder` records what a program emits and where it went, `Promises` checks
 *   the package's promises on such a record.
 *
 * @since 0.1.0
 */
export type * as Delivered from "./Delivered.ts"
export * as Fault from "./Fault.ts"
export * as Promises from "./Promises.ts"
export * as Recorder from "./Recorder.ts"
export * as TestBroker from "./TestBroker.ts"
export * as TestChannel from "./TestChannel.ts"
export * as TestDevice from "./TestDevice.ts"
