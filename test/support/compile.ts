/**
 * The compiler, as tests ask it.
 */
import { spawnSync } from "node:child_process"
import { mkdirSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("../..", import.meta.url))

/**
 * Gives what the compiler says: nothing, where all is right. It runs in one thread, since each of several would check for
 * itself what they share: that takes half as much processor time again.
 */
export const compile = (options: ReadonlyArray<string>, cwd = root): string => {
  const tsc = join(root, "node_modules/.bin/tsc")
  const { error, status, stderr, stdout } = spawnSync(tsc, ["--pretty", "false", "--singleThreaded", ...options], {
    cwd,
    encoding: "utf8",
    maxBuffer: 64 * 1024 * 1024
  })
  if (error !== undefined) throw error
  if (status !== 0 && stdout === "") throw new Error(`tsc ended with ${status} and said nothing: ${stderr}`)
  return stdout
}

/** An empty folder for files of a test, below the sources, so that they are compiled by the settings of the repository. */
export const folderFor = (
  name: string,
  settings: { readonly compilerOptions?: object; readonly include: ReadonlyArray<string> }
): string => {
  const folder = join(root, ".tmp", name)
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ extends: "../../tsconfig.json", ...settings }))
  return folder
}
