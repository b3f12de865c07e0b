import { assert, describe, it } from "@effect/vitest"
import * as Public from "effect-emitter"
import * as Testing from "effect-emitter/testing"

/** The values of each namespace, by name; types leave no trace here. */
const surface = (entry: object) =>
  Object.fromEntries(
    Object.entries(entry).map(([name, value]) => [
      name,
      typeof value === "object" && Object.prototype.toString.call(value) === "[object Module]"
        ? Object.keys(value).toSorted().join(" ")
        : typeof value
    ])
  )

describe("the public names", () => {
  it("of effect-emitter are these, and no others", ({ expect }) => {
    expect(surface(Public)).toMatchSnapshot()
    assert.isAbove(Object.keys(Public).length, 20)
  })

  it("of effect-emitter/testing are these, and no others", ({ expect }) => {
    expect(surface(Testing)).toMatchSnapshot()
    assert.isAbove(Object.keys(Testing).length, 2)
  })
})
