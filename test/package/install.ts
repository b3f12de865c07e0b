/**
 * The package as this run packed it (see `packing.ts`), in a program of the test's own.
 */
import * as fs from "node:fs/promises"
import * as os from "node:os"
import * as path from "node:path"
import { inject } from "vitest"
import type { Packed } from "./pack.ts"

export interface Installed extends Packed {
  /** An empty program whose `node_modules` holds the unpacked package beside its dependencies. */
  readonly app: string
  readonly remove: () => Promise<void>
}

export const install = async (): Promise<Installed> => {
  const response = await fetch(inject("packer"))
  const text = await response.text()
  if (!response.ok) throw new Error(text)
  const packed: Packed = JSON.parse(text)
  const app = await fs.realpath(await fs.mkdtemp(path.join(os.tmpdir(), "effect-emitter-app-")))
  await fs.symlink(packed.modules, path.join(app, "node_modules"))
  await fs.writeFile(path.join(app, "package.json"), JSON.stringify({ type: "module", private: true }))
  return { ...packed, app, remove: () => fs.rm(app, { recursive: true, force: true }) }
}
