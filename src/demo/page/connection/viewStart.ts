/**
 * Where this tab's view of its user's events begins.
 *
 * A tab that opens begins at the head of the log, with snapshots of the runs that are under way. It keeps that in the
 * tab's session storage, so that a reload can resume from there and show everything since, not only what is to come.
 */
import type { Position } from "../../../protocol/values/Position.ts"
import type { RunSnapshot } from "../../../protocol/run/RunSnapshot.ts"

/** A run's state that the view begins with. */
export interface Base {
  readonly run: string
  readonly offset: number
  readonly state: RunSnapshot
}

/** The position the view begins after, and the runs that were under way then. */
export interface ViewStart {
  readonly position: Position
  readonly runs: ReadonlyArray<Base>
}

const keyOf = (user: string) => `effect-emitter-demo:view:${user}`

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null

// Only this page writes the entry, so its outline is all that is checked.
const isViewStart = (value: unknown): value is ViewStart =>
  isRecord(value) && isRecord(value["position"]) && typeof value["position"]["epoch"] === "string"
  && typeof value["position"]["offset"] === "number" && Array.isArray(value["runs"])

/** What was kept; `undefined` when nothing was, or it cannot be read. */
export const load = (user: string): ViewStart | undefined => {
  try {
    const value: unknown = JSON.parse(sessionStorage.getItem(keyOf(user)) ?? "null")
    return isViewStart(value) ? value : undefined
  } catch {
    return undefined
  }
}

/** Keeps it. A full or blocked storage costs the reload its past, and nothing else. */
export const save = (user: string, start: ViewStart): void => {
  try {
    sessionStorage.setItem(keyOf(user), JSON.stringify(start))
  } catch {
    sessionStorage.removeItem(keyOf(user))
  }
}
