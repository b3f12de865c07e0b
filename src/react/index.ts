/**
 * Hooks over the client, for React 19: `effect-emitter/react`.
 *
 * A component below `EmitterProvider` draws runs, and is drawn again when they change.
 * Reload, a second tab, StrictMode and hot reload show the same picture. Where server
 * components are, this is the client's side.
 *
 * @since 0.1.0
 */
"use client"

export { EmitterProvider, type EmitterProviderProps } from "./EmitterProvider.ts"
export { type ConnectionState, useConnection } from "./useConnection.ts"
export { useEvent } from "./useEvent.ts"
export { useRun, useRuns } from "./useRuns.ts"
