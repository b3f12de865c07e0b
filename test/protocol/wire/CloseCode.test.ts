import { assert, describe, expectTypeOf, it } from "@effect/vitest"
import * as CloseCode from "../../../src/protocol/wire/CloseCode.ts"

/** The protocol's table: changing a code or its reaction is changing the protocol. */
const table: ReadonlyArray<readonly [code: number, name: CloseCode.Name, reaction: CloseCode.Reaction]> = [
  [4400, "badFrame", "stop"],
  [4401, "unauthenticated", "renew"],
  [4403, "originRefused", "stop"],
  [4408, "helloTimeout", "resume"],
  [4409, "tooManyConnections", "resume"],
  [4413, "frameTooLarge", "stop"],
  [4429, "tooManyFrames", "stop"],
  [4500, "draining", "resume"],
  [4501, "heartbeatLost", "resume"],
  [4502, "tooSlow", "resume"],
  [4503, "brokerUnavailable", "resume"]
]

describe("CloseCode", () => {
  it("has exactly the codes of the protocol", () => {
    const codes = Object.values(CloseCode.closeCodes).map(({ code, name, reaction }) => [code, name, reaction])
    assert.deepStrictEqual(codes, table.map((row) => [...row]))
  })

  it("lists each code under its own name, with a meaning that goes into a sentence", () => {
    for (const [name, entry] of Object.entries(CloseCode.closeCodes)) {
      assert.strictEqual(entry.name, name)
      assert.match(entry.meaning, /^[a-z].*[^.]$/)
    }
  })

  for (const [code, name, reaction] of table) {
    it(`${code} is ${name}, and its client's reaction is: ${reaction}`, () => {
      assert.strictEqual(CloseCode.fromCode(code), CloseCode.closeCodes[name])
      assert.strictEqual(CloseCode.reactionTo(code), reaction)
    })
  }

  it("stops only where the client is at fault, and resumes where the server or the network is", () => {
    for (let code = 1000; code < 5000; code++) {
      // A hello may be held up on its way, and other devices of a user leave.
      const passes = code === 4408 || code === 4409
      const clientIsAtFault = (code >= 4400 && code < 4500 && !passes) || code === 1008 || code === 1009
      const expected = code === 4401 ? "renew" : clientIsAtFault ? "stop" : "resume"
      assert.strictEqual(CloseCode.reactionTo(code), expected, String(code))
    }
  })

  it("has no entry for codes of others", () => {
    for (const code of [0, 1000, 1001, 1006, 1008, 1011, 4000, 4399, 4402, 4499, 4504, 5000, -1, Number.NaN]) {
      assert.isUndefined(CloseCode.fromCode(code), String(code))
    }
  })

  it("types its names and reactions", () => {
    expectTypeOf<CloseCode.Name>().toEqualTypeOf<typeof table[number][1]>()
    expectTypeOf(CloseCode.closeCodes.tooSlow.code).toEqualTypeOf<4502>()
    expectTypeOf(CloseCode.reactionTo).toEqualTypeOf<(code: number) => "resume" | "renew" | "stop">()
  })
})
