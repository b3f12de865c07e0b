import { fileURLToPath } from "node:url"

/** The folder of the repository: its documents are what is asked about, and what the demo keeps is in it. */
export const root = fileURLToPath(new URL("../..", import.meta.url))
