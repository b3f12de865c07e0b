import type { RunSnapshot } from "effect-emitter"

/** The text of a part; of a tool call it is empty. */
export const textOf = (part: RunSnapshot.RunPart | undefined): string =>
  part === undefined || part.type === "tool" ? "" : part.text
