/**
 * What a run of the tests left out, and how to get it: a line each.
 */
import { lookFor, packageOf, type Program } from "./program.ts"

/** A test as the reporter knows it. */
export interface Told {
  readonly file: string
  readonly tags: ReadonlyArray<string>
  readonly isSkipped: boolean
}

const needed: ReadonlyArray<Program> = ["chromium", "nginx", "openssl", "pgbouncer", "postgres", "redis-server"]

const count = (tests: ReadonlyArray<Told>): string => `${tests.length} ${tests.length === 1 ? "test" : "tests"}`

/** `isStorm` is a run of the storms alone, and `find` finds the programs that are there. */
export const leftOut = (
  tests: ReadonlyArray<Told>,
  { find = lookFor, isStorm }: { readonly isStorm: boolean; readonly find?: (name: Program) => string | undefined }
): ReadonlyArray<string> => {
  const skipped = tests.filter(({ isSkipped }) => isSkipped)
  const [storms, others] = [
    skipped.filter(({ tags }) => tags.includes("storm")),
    skipped.filter(({ tags }) => !tags.includes("storm"))
  ]
  const unexplained = isStorm ? storms : others
  const missing = unexplained.length === 0 ? [] : needed.filter((name) => find(name) === undefined)
  const hasRedis = tests.some(({ file }) => file.includes("broker/redis/"))
  return [
    ...isStorm || storms.length === 0 ? [] : [`left out: what takes long (${count(storms)}): npm run test:storms`],
    ...missing.map((name) =>
      `left out: what needs ${name}, which is not installed (Debian: apt-get install ${packageOf(name)})`
    ),
    ...hasRedis && find("valkey-server") === undefined
      ? ["left out: the Redis broker over Valkey, which is not installed (Debian 13: apt-get install valkey-server)"]
      : [],
    ...unexplained.length === 0
      ? []
      : [`skipped: ${count(unexplained)}${missing.length === 0 ? "; VERBOSE=1 npm test shows where" : ""}`]
  ]
}
