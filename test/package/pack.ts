/**
 * Builds and packs the package without touching the working tree, and unpacks it as a program that installed it would
 * find it. Tests get it by `install.ts`.
 */
import { execFile } from "node:child_process"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"

/** The repository's root. */
export const root = fileURLToPath(new URL("../..", import.meta.url))

const execute = promisify(execFile)

/** Runs one of the tools in `node_modules/.bin`, or of the system; rejects with its output when it fails. */
export const run = async (command: string, args: ReadonlyArray<string>, cwd: string): Promise<string> => {
  const PATH = `${path.join(root, "node_modules/.bin")}${path.delimiter}${process.env["PATH"]}`
  try {
    const { stdout } = await execute(command, [...args], {
      cwd,
      env: { ...process.env, NO_COLOR: "1", PATH },
      maxBuffer: 64 * 1024 * 1024,
      timeout: 250_000
    })
    return stdout
  } catch (cause) {
    const output = cause instanceof Error && "stdout" in cause && "stderr" in cause
      ? `${cause.stdout}\n${cause.stderr}`
      : String(cause)
    throw new Error(`${command} ${args.join(" ")} failed:\n${output}`, { cause })
  }
}

/** What package.json says about the published package. */
export interface Manifest {
  readonly name: string
  readonly version: string
  readonly bin: Record<string, string>
  readonly exports: Record<string, string | { readonly types: string; readonly default: string }>
  readonly dependencies: Record<string, string>
  readonly peerDependencies: Record<string, string>
  readonly devDependencies: Record<string, string>
}

export const manifest: Manifest = JSON.parse(await fs.readFile(path.join(root, "package.json"), "utf8"))

/** The entries that hold code: `effect-emitter`, `effect-emitter/client`, … */
export const entries: ReadonlyArray<{ readonly specifier: string; readonly types: string; readonly default: string }> =
  Object.entries(manifest.exports).flatMap(([subpath, target]) =>
    typeof target === "string" ? [] : [{ specifier: manifest.name + subpath.slice(1), ...target }]
  )

/** A packed and unpacked package. */
export interface Packed {
  /** The tarball npm would publish. */
  readonly tarball: string
  /** The files inside, relative to the package. */
  readonly files: ReadonlyArray<string>
  /** A `node_modules` that holds the unpacked package beside its dependencies. */
  readonly modules: string
}

/** Packs into a folder, which is empty. */
export const pack = async (folder: string): Promise<Packed> => {
  const stage = path.join(folder, "stage")
  const modules = path.join(folder, "node_modules")
  const unpacked = path.join(modules, manifest.name)

  await fs.mkdir(stage)
  await fs.mkdir(unpacked, { recursive: true })
  for (const name of ["package.json", "README.md", "LICENSE", "CHANGELOG.md", "src"]) {
    await fs.cp(path.join(root, name), path.join(stage, name), { recursive: true })
  }
  await run("node", [".config/build.ts", "--single-threaded", "--outdir", path.join(stage, "dist")], root)
  await run("npm", ["pack", "--ignore-scripts", "--pack-destination", folder], stage)

  const tarball = (await fs.readdir(folder)).find((name) => name.endsWith(".tgz"))
  if (tarball === undefined) throw new Error("npm pack wrote no tarball")
  await run("tar", ["--extract", "--strip-components=1", `--file=${tarball}`, `--directory=${unpacked}`], folder)

  // What programs that use React install besides: its types, and what draws on a page.
  const ofReact = ["@types/react", "@types/react-dom", "react-dom"]
  const dependencies = [...Object.keys({ ...manifest.dependencies, ...manifest.peerDependencies }), ...ofReact]
  for (const dependency of dependencies) {
    const link = path.join(modules, dependency)
    await fs.mkdir(path.dirname(link), { recursive: true })
    await fs.symlink(path.join(root, "node_modules", dependency), link)
  }

  const listing = await fs.readdir(unpacked, { recursive: true, withFileTypes: true })
  return {
    tarball: path.join(folder, tarball),
    files: listing.filter((_) => _.isFile()).map((_) => path.relative(unpacked, path.join(_.parentPath, _.name))),
    modules
  }
}
