/**
 * Packs the package once for all files of a run, when the first of them asks for it. It is the process that starts the files
 * which packs, so nothing of an earlier run is found, and nothing is left when it ends.
 */
import * as fs from "node:fs/promises"
import { createServer } from "node:http"
import * as os from "node:os"
import * as path from "node:path"
import type { TestProject } from "vitest/node"
import { pack, type Packed } from "./pack.ts"

declare module "vitest" {
  interface ProvidedContext {
    /** Where the files of this run ask for the packed package. */
    readonly packer: string
  }
}

interface Packing {
  readonly folder: string
  readonly packed: Promise<Packed>
}

const start = async (): Promise<Packing> => {
  const folder = await fs.realpath(await fs.mkdtemp(path.join(os.tmpdir(), "effect-emitter-pack-")))
  return { folder, packed: pack(folder) }
}

export const setup = async (project: TestProject) => {
  let packing: Promise<Packing> | undefined

  const server = createServer((_, response) => {
    packing ??= start()
    packing.then(({ packed }) => packed).then(
      (packed) => response.end(JSON.stringify(packed)),
      (cause) => response.writeHead(500).end(String(cause))
    )
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const address = server.address()
  project.provide("packer", `http://127.0.0.1:${typeof address === "object" ? address?.port : address}`)

  const remove = async () => {
    const begun = await packing
    packing = undefined
    if (begun === undefined) return
    // Whoever asked was told why it failed.
    await begun.packed.catch(() => undefined)
    await fs.rm(begun.folder, { recursive: true, force: true })
  }
  // Whoever watches has changed the sources.
  project.onTestsRerun(remove)
  return async () => {
    server.close()
    await remove()
  }
}
