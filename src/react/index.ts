/**
 * Hooks over the client, for React 19: `effect-emitter/react`.
 *
 * A component below `EmitterProvider` draws runs, and is drawn again when they change.
 * Reload, a second tab, StrictMode and hot reload show the same picture. Where server
 * components are, this is the client's side.
 *
 * ```tsx
 * import { statusMessage } from "effect-emitter/client"
 * import { EmitterProvider, useConnection, useRun, useRuns } from "effect-emitter/react"
 *
 * const token = () => fetch("/token").then((response) => response.text())
 *
 * const Answer = ({ id }: { readonly id: string }) => {
 *   const run = useRun(id)
 *   return (
 *     <article aria-busy={run?.status === "active"}>
 *       {run?.parts.map((part, index) => part.type === "text" && <p key={index}>{part.text}</p>)}
 *       {run?.error !== undefined && <p role="alert">{run.error}</p>}
 *     </article>
 *   )
 * }
 *
 * const Chat = ({ thread }: { readonly thread: string }) => {
 *   const { status } = useConnection()
 *   return (
 *     <main>
 *       <p role="status">{statusMessage(status)}</p>
 *       {useRuns({ thread }).map(({ id }) => <Answer key={id} id={id} />)}
 *     </main>
 *   )
 * }
 *
 * export const App = () => (
 *   <EmitterProvider url="/events" token={token}>
 *     <Chat thread="t1" />
 *   </EmitterProvider>
 * )
 * ```
 *
 * @since 0.2.0
 */
"use client"

export { EmitterProvider, type EmitterProviderProps } from "./EmitterProvider.ts"
export { type ConnectionState, useConnection } from "./useConnection.ts"
export type { CommandableRun } from "./commandable.ts"
export { useEvent } from "./useEvent.ts"
export { type OpenRequest, useRequests } from "./useRequests.ts"
export { useRun, useRuns } from "./useRuns.ts"
