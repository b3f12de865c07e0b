/**
 * Which of several processes this one is, where the demo runs in more than one.
 */
import { Context } from "effect"

/** What a process does: it serves devices, or it runs the agent. */
export type Role = "gateway" | "worker"

/** This process, and the names of all. */
export interface Place {
  readonly name: string
  readonly role: Role
  readonly nodes: ReadonlyArray<string>
}

/** `undefined` where one process does everything. */
export const Place = Context.Reference<Place | undefined>("effect-emitter/demo/Place", {
  defaultValue: () => undefined
})
