/**
 * Programs of the system that a suite or a bench needs and npm cannot install.
 */
import { accessSync, constants, existsSync, readdirSync } from "node:fs"
import { delimiter, join } from "node:path"

export const programs = [
  "chromium",
  "chromium-headless-shell",
  "nginx",
  "openssl",
  "pgbouncer",
  "postgres",
  "redis-server",
  "valkey-server"
] as const

export type Program = typeof programs[number]

// Where Debian keeps programs that are in no path, since several versions of them may be installed.
const versionsOfPostgres = "/usr/lib/postgresql"

const directoriesOf = (name: Program): ReadonlyArray<string> => {
  const inPath = (process.env["PATH"] ?? "").split(delimiter)
  if (name === "pgbouncer" || name === "nginx") return [...inPath, "/usr/sbin"]
  if (name !== "postgres") return inPath
  const versions = existsSync(versionsOfPostgres) ? readdirSync(versionsOfPostgres) : []
  return [
    ...versions.map(Number).filter((version) => version >= 15).toSorted((a, b) => b - a)
      .map((version) => `${versionsOfPostgres}/${version}/bin`),
    ...inPath
  ]
}

/** The package of Debian that has it. */
export const packageOf = (name: Program): string =>
  name === "postgres" ? "postgresql" : name === "nginx" ? "nginx-light" : name

/**
 * The path of a program that a suite can do without, or `undefined`.
 */
export const lookFor = (name: Program): string | undefined =>
  directoriesOf(name).map((directory) => join(directory, name)).find(isExecutable)

/**
 * The path of a program, or `undefined` where it is missing: then the suite is to be skipped with
 * `describe.skipIf(path === undefined)`, and one line says so. With `CI=true` a missing program throws instead, so that
 * nothing is skipped unseen where it matters.
 */
export const findProgram = (name: Program): string | undefined => {
  const path = lookFor(name)
  if (path !== undefined) return path

  const need = `${name} is not installed (Debian: apt-get install ${packageOf(name)})`
  if (process.env["CI"] === "true") throw new Error(need)
  process.stderr.write(`\n!!! SKIPPED: all that needs ${name}: ${need}\n\n`)
  return undefined
}

/**
 * The browser for pages that need no tabs of their own, or `undefined`. Where it is installed, Chromium without a browser around its pages,
 * which takes half of the processor time. What tabs do, in the background, frozen or put aside, needs `chromium` itself.
 */
export const findBrowser = (): string | undefined => lookFor("chromium-headless-shell") ?? findProgram("chromium")

const isExecutable = (path: string) => {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}
