/**
 * What runs ask of their user, as components draw it.
 *
 * @since 0.2.0
 */
import { useMemo } from "react"
import type { AskOptions, RunCommands } from "../client/driver/RunCommands.ts"
import type { Run } from "../client/driver/RunStore.ts"
import type { RunPart } from "../protocol/run/RunSnapshotSchema.ts"
import type { CommandableRun } from "./commandable.ts"
import { useRuns } from "./useRuns.ts"

/**
 * A request that is open: what is asked, by which run, and `answer`, which answers it.
 * The promise gives what became of the answer: `refused` as `ended` where another
 * device was first, as `invalid` with the `path` where it does not fit.
 *
 * @category models
 * @since 0.2.0
 */
export type OpenRequest = Omit<Extract<RunPart, { readonly type: "request" }>, "answer" | "client" | "status"> & {
  readonly run: Run
  readonly answer: (
    value: Parameters<RunCommands["answer"]>[1],
    options?: AskOptions
  ) => ReturnType<RunCommands["answer"]>
}

/**
 * The requests that are open, the oldest run's first; with `thread` those of one
 * thread. The component is drawn again when a run changed. There are none on a server.
 *
 * ```tsx
 * import { useRequests } from "effect-emitter/react"
 *
 * export const Questions = () =>
 *   useRequests().map(({ answer, kind, requestId, run, title }) =>
 *     kind !== "approval" ? null : (
 *       <p key={`${run.id} ${requestId}`}>
 *         {title}
 *         <button onClick={() => answer(true)}>Yes</button>
 *         <button onClick={() => answer(false)}>No</button>
 *       </p>
 *     )
 *   )
 * ```
 *
 * @category hooks
 * @since 0.2.0
 */
export const useRequests = (
  filter: { readonly thread?: string | undefined } = {}
): ReadonlyArray<OpenRequest> => {
  const runs = useRuns(filter)
  return useMemo(() => runs.flatMap(requestsOf), [runs])
}

const requestsOf = (run: CommandableRun): ReadonlyArray<OpenRequest> =>
  run.status !== "active" ? [] : run.parts.flatMap((part) => {
    if (part.type !== "request" || part.status !== "open") return []
    const { answer: _, client: __, status: ___, ...request } = part
    return [{ ...request, run, answer: (value, options) => run.answer(part.requestId, value, options) }]
  })
