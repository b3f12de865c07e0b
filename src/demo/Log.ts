/**
 * The demo's log in a file, so that a demo that is started again shows the runs of before.
 */
import { Effect, Layer } from "effect"
import { mkdirSync } from "node:fs"
import { dirname, resolve } from "node:path"
import { SqliteBroker } from "../broker/sqlite/index.ts"

/** The log in a file of the repository, or wherever `file` is; its folder is made. */
export const layer = (root: string, file: string) =>
  Layer.unwrap(Effect.sync(() => {
    const path = resolve(root, file)
    mkdirSync(dirname(path), { recursive: true })
    return SqliteBroker.layer({ file: path, maxAge: "1 day" })
  }))
