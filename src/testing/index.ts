/**
 * What tests of programs that emit events need: a broker and fallback channels
 * that fail as they are told, a record of all that left, and checks of the
 * promises on it.
 *
 * @since 0.1.0
 */
export * as Behaviour from "./Behaviour.ts"
export type * as Left from "./Left.ts"
export * as TestBroker from "./TestBroker.ts"
export * as TestChannel from "./TestChannel.ts"
