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

const { packages }: Lock = JSON.parse(readFileSync(path.join(root, "package-lock.json"), "utf8"))

describe("the lock file", () => {
  it("holds every optional package, for other platforms too: npm ci refuses a lock that lacks one", () => {
    const missing = Object.entries(packages).flatMap(([at, { optionalDependencies = {} }]) =>
      Object.keys(optionalDependencies).filter((name) =>
        packages[`${at}/node_modules/${name}`] === undefined && packages[`node_modules/${name}`] === undefined
      )
    )
    assert.deepStrictEqual(missing, [])
  })

  it("names no registry: the installing machine's own is used", () => {
    const resolved = Object.entries(packages).filter(([, { resolved }]) => resolved !== undefined)
    assert.deepStrictEqual(resolved.map(([at]) => at), [])
  })

  it("pins what package.json pins, and package.json pins every tool to one version", () => {
    for (const [name, wanted] of Object.entries(manifest.devDependencies)) {
      // A second version of a package stands under a name of its own.
      const version = wanted.replace(/^npm:.+@/, "")
      assert.match(version, /^\d+\.\d+\.\d+$/, name)
      assert.strictEqual(packages[`node_modules/${name}`]?.version, version, name)
    }
  })
})
