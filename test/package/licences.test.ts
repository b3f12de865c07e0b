/** What the package stands on may be used as the package itself may: each licence is known, and none asks for more. */
import { assert, describe, it } from "@effect/vitest"
import { readFileSync } from "node:fs"
import * as path from "node:path"
import { manifest, root } from "./pack.ts"

interface Package {
  readonly license?: string
}

const { packages }: { readonly packages: Record<string, Package> } = JSON.parse(
  readFileSync(path.join(root, "package-lock.json"), "utf8")
)

const nameOf = (at: string): string => at.slice(at.lastIndexOf("node_modules/") + "node_modules/".length)

const installed = Object.entries(packages).flatMap(([at, { license }]) =>
  at === "" ? [] : [{ name: nameOf(at), license: license ?? "" }]
)

/** Licences that ask for their notice to be kept, and for nothing else of a program that uses the package. */
const permissive = [
  "(AFL-2.1 OR BSD-3-Clause)",
  "(Apache-2.0 AND BSD-3-Clause)",
  "0BSD",
  "Apache-2.0",
  "BSD-2-Clause",
  "BSD-3-Clause",
  "BlueOak-1.0.0",
  "ISC",
  "MIT",
  "Python-2.0"
]

/** Tools whose own files would have to stay open if they were passed on; they are not. */
const onlyTools: Record<string, RegExp> = { "MPL-2.0": /^(axe-core|lightningcss(-.+)?)$/u }

/**
 * Programs of a platform whose package names no licence: that of the package which installs them holds. And one package
 * that has its licence, MIT, in a file alone.
 */
const programs = /^(@dprint\/.+|@effect\/tsgo-.+|@oxlint\/.+|@typescript\/.+|xmlhttprequest-ssl)$/u

describe("the licences", () => {
  it("of what is installed beside the package are those that the documentation lists", () => {
    const documented = readFileSync(path.join(root, "test/README.md"), "utf8")
    const beside = Object.keys({ ...manifest.dependencies, ...manifest.peerDependencies }).toSorted()
    for (const name of beside) {
      const license = packages[`node_modules/${name}`]?.license ?? "none"
      assert.include(documented, `| \`${name}\` | ${license} |`)
    }
  })

  it("of everything that tests and builds use are permissive, or those of tools that are not passed on", () => {
    const others = installed.filter(({ license, name }) =>
      license === "" ? !programs.test(name) : !permissive.includes(license) && onlyTools[license]?.test(name) !== true
    )
    assert.isAbove(installed.length, 100)
    assert.deepStrictEqual(others, [])
  })
})
