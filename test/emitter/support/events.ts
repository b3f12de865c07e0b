import { AgentEvents, Event } from "../../../src/index.ts"

/** An event without a run: batched as it is, critical by `Event.critical`. */
export const note = (data: string | number) => AgentEvents.Custom.make({ name: "note", data })
export const urgent = (data: string | number) => Event.critical(note(data))
