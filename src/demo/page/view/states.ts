/**
 * How a run's state is told, in a word or two.
 */
import type { Run } from "../../../client/index.ts"

export const states: Record<Run["status"], string> = {
  active: "Running",
  completed: "Completed",
  failed: "Failed",
  cancelled: "Stopped",
  timeout: "Timed out",
  lost: "Lost"
}
