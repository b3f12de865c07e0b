import { assert, describe, it } from "@effect/vitest"
import { readFileSync } from "node:fs"
import * as path from "node:path"
import { manifest, root } from "./pack.ts"

interface Lock {
  readonly packages: Record<string, {
    readonly version?: string
    readonly resolved?: string
    readonly optionalDependencies?: Record<string, string>
  }>
}

const read = (lock: string): Lock["packages"] => {
  const { packages }: Lock = JSON.parse(readFileSync(path.join(root, lock), "utf8"))
  return packages
}

const packages = read("package-lock.json")

const locks = ["package-lock.json", ".config/reference/package-lock.json", ".config/runtimes/package-lock.json"]

describe.each(locks)("the lock file %s", (lock) => {
  const entries = read(lock)

  it("holds every optional package, for other platforms too: npm ci refuses a lock that lacks one", () => {
    const missing = Object.entries(entries).flatMap(([at, { optionalDependencies = {} }]) =>
      Object.keys(optionalDependencies).filter((name) =>
        entries[`${at}/node_modules/${name}`] === undefined && entries[`node_modules/${name}`] === undefined
      )
    )
    assert.deepStrictEqual(missing, [])
  })

  it("names no registry: the installing machine's own is used", () => {
    const resolved = Object.entries(entries).filter(([, { resolved }]) => resolved !== undefined)
    assert.deepStrictEqual(resolved.map(([at]) => at), [])
  })
})

describe("the lock file", () => {
  it("pins what package.json pins, and package.json pins every tool to one version", () => {
    for (const [name, wanted] of Object.entries(manifest.devDependencies)) {
      // A second version of a package stands under a name of its own.
      const version = wanted.replace(/^npm:.+@/, "")
      assert.match(version, /^\d+\.\d+\.\d+$/, name)
      assert.strictEqual(packages[`node_modules/${name}`]?.version, version, name)
    }
  })
})
