import { assert, describe, it } from "@effect/vitest"
import { leftOut, type Told } from "./leftOut.ts"

const told = (isSkipped: boolean, ...tags: ReadonlyArray<string>): Told => ({
  file: "test/hub/Hub.test.ts",
  isSkipped,
  tags
})

const isThere = () => "/usr/bin/it"

describe("what a run left out", () => {
  it("is nothing where everything ran", () => {
    assert.deepStrictEqual(leftOut([told(false), told(false, "storm")], { isStorm: false, find: isThere }), [])
  })

  it("is what takes long, with the command for it", () => {
    const tests = [told(false), told(true, "storm"), told(true, "storm")]
    assert.deepStrictEqual(leftOut(tests, { isStorm: false, find: isThere }), [
      "left out: what takes long (2 tests): npm run test:storms"
    ])
  })

  it("is, of the storms, only those that did not run either", () => {
    assert.deepStrictEqual(leftOut([told(true), told(false, "storm")], { isStorm: true, find: isThere }), [])
    assert.deepStrictEqual(leftOut([told(true), told(true, "storm")], { isStorm: true, find: isThere }), [
      "skipped: 1 test; VERBOSE=1 npm test shows where"
    ])
  })

  it("is what needs a program that is missing, with how to install it", () => {
    const find = (name: string) => name === "postgres" ? undefined : "/usr/bin/it"
    assert.deepStrictEqual(leftOut([told(true), told(false)], { isStorm: false, find }), [
      "left out: what needs postgres, which is not installed (Debian: apt-get install postgresql)",
      "skipped: 1 test"
    ])
  })

  it("is Valkey, where the Redis broker was tested without it", () => {
    const find = (name: string) => name === "valkey-server" ? undefined : "/usr/bin/it"
    const ran = { ...told(false), file: "test/broker/redis/RedisBroker.test.ts" }
    assert.lengthOf(leftOut([ran], { isStorm: false, find }), 1)
    assert.deepStrictEqual(leftOut([told(false)], { isStorm: false, find }), [])
  })
})
