import type { RunSnapshot } from "effect-emitter"

/** The text of a part; of one that is told of as a whole it is empty. */
export const textOf = (part: RunSnapshot.RunPart | undefined): string =>
  part !== undefined && "text" in part ? part.text : ""
