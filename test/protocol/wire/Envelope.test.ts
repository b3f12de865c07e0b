import { assert, describe, expectTypeOf, it } from "@effect/vitest"
import { Result, Schema } from "effect"
import * as Envelope from "../../../src/protocol/wire/Envelope.ts"
import * as Frame from "../../../src/protocol/wire/Frame.ts"
import type { EventId, RunId } from "../../../src/protocol/values/Identity.ts"
import { Offset } from "../../../src/protocol/values/Position.ts"
import { hasEscapedKey } from "../roundTrip.ts"

const withoutOffset = Schema.Struct({ ...Frame.WireEvent.fields, offset: Schema.optionalKey(Schema.Never) })

describe("Envelope", () => {
  it("puts the offset before the rest", () => {
    assert.strictEqual(
      Envelope.toJson(7, `"id":"i","type":"x","at":1,"data":{}}`),
      `{"offset":7,"id":"i","type":"x","at":1,"data":{}}`
    )
  })

  it.prop("becomes the wire event at its offset, whatever that event holds", {
    event: withoutOffset,
    offset: Offset
  }, ({ event, offset }) => {
    const body = JSON.stringify(event).slice(1)
    if (hasEscapedKey(body)) return
    const text = `{"type":"events","epoch":"e","events":[${Envelope.toJson(offset, body)}]}`
    const frame = Result.getOrThrow(Frame.decodeServer(text))
    const read = frame.type === "events" ? frame.events[0] : undefined
    assert.isDefined(read)
    assert.deepStrictEqual(JSON.parse(JSON.stringify(read)), JSON.parse(JSON.stringify({ ...event, offset })))
  }, { arbitrary: { runs: 300 } })

  it("types its ids", () => {
    expectTypeOf<Envelope.Envelope["id"]>().toEqualTypeOf<EventId>()
    expectTypeOf<Envelope.Envelope["run"]>().toEqualTypeOf<RunId | undefined>()
  })
})
