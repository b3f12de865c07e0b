import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import * as Position from "../../../src/protocol/values/Position.ts"
import { roundTrips, schemasOf, withoutNegativeZero } from "../roundTrip.ts"

describe("Position", () => {
  roundTrips(schemasOf(Position))

  it.prop("is read from its text as it was", { position: Position.Position }, ({ position }) => {
    assert.deepStrictEqual<unknown>(Position.fromText(Position.toText(position)), withoutNegativeZero(position))
  }, { arbitrary: { runs: 300 } })

  it("is written as epoch, colon, offset", () => {
    assert.strictEqual(Position.toText({ epoch: "k3J9xQ", offset: 42 }), "k3J9xQ:42")
    assert.strictEqual(Position.toText({ epoch: "-_", offset: 0 }), "-_:0")
  })

  it("reaches to the last safe integer, and no further", () => {
    assert.deepStrictEqual(Position.fromText("e:9007199254740991"), { epoch: "e", offset: Number.MAX_SAFE_INTEGER })
    assert.isUndefined(Position.fromText("e:9007199254740992"))
    assert.isUndefined(Position.fromText("e:9999999999999999"))
    assert.isUndefined(Position.fromText("e:90071992547409910"))
  })

  const noPositions = [
    "",
    ":",
    "42",
    ":42",
    "e:",
    "e:-1",
    "e:+1",
    "e:01",
    "e:1.0",
    "e:1e3",
    "e:0x1f",
    "e: 1",
    " e:1",
    "e:1 ",
    "e:1\n",
    "a b:1",
    "e:1:2",
    "ä:1",
    "{e}:1",
    `${"e".repeat(33)}:1`,
    "e:1٣"
  ]
  for (const text of noPositions) {
    it(`does not take ${JSON.stringify(text)} for one`, () => {
      assert.isUndefined(Position.fromText(text))
    })
  }

  it.prop("takes no text that it would not write", { text: Schema.String }, ({ text }) => {
    for (const candidate of [text, `${text}:1`, `e:${text}`]) {
      const position = Position.fromText(candidate)
      if (position !== undefined) {
        assert.strictEqual(Position.toText(position), candidate)
        assert.isTrue(Schema.is(Position.Position)(position))
      }
    }
  }, { arbitrary: { runs: 300 } })
})
