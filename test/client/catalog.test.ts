/**
 * What events a plain client tells apart, and what it makes of those that it does not know.
 */
import { assert, describe, it } from "@effect/vitest"
import { Schema, SchemaGetter } from "effect"
import { AgentEvents, Event } from "effect-emitter/events"
import { connect } from "effect-emitter/client"
import { shapeOf } from "../../src/client/transport/BuiltInShapes.ts"
import { Frame } from "../../src/protocol/index.ts"
import { golden, goldenNames } from "../protocol/golden.ts"
import { events, welcome, wireEvent } from "./FakeSocket.ts"
import { fakeWorld } from "./FakeWorld.ts"

/** What a client with this catalog makes of events of a log: type, and what it knows of each. */
const seenBy = async <D extends Event.AnyDefinition>(
  catalog: Event.Catalog<D> | undefined,
  ...sent: ReadonlyArray<readonly [type: string, data: object]>
) => {
  const { last, pass, platform } = fakeWorld()
  const seen: Array<ReadonlyArray<unknown>> = []
  const errors: Array<unknown> = []
  const connection = connect({
    url: "ws://127.0.0.1/events",
    platform,
    catalog,
    onEvent: (event) => seen.push([event.type, ...("name" in event ? [event.name] : []), event.payload]),
    onError: (error) => errors.push(error)
  })
  await pass(0)
  last().open()
  const wire = sent.map(([type, data], index) => wireEvent(index + 1, { type, data }))
  last().push(welcome(), { ...events([]), events: wire })
  await pass(1_000)
  assert.deepStrictEqual([last().closedBy, errors], [undefined, []])
  connection.close()
  return seen
}

describe("the events of a plain client", () => {
  it("are those of the built-in catalog, if it names none", async () => {
    assert.deepStrictEqual(
      await seenBy(
        undefined,
        ["text_delta", { messageId: "m", delta: "hi", later: 1 }],
        ["text_delta", { messageId: "m", text: "of a later version" }],
        ["order_placed", { total: 3 }],
        ["toString", {}]
      ),
      [
        ["text_delta", { messageId: "m", delta: "hi", later: 1 }],
        ["$unknown", "text_delta", { messageId: "m", text: "of a later version" }],
        ["$unknown", "order_placed", { total: 3 }],
        ["$unknown", "toString", {}]
      ]
    )
  })

  it("are those of its catalog, as they travel, and no others", async () => {
    const Broken = Schema.String.pipe(Schema.decode({
      decode: SchemaGetter.transform((text: string) => {
        if (text !== "whole") throw new Error("a transformation that throws")
        return text
      }),
      encode: SchemaGetter.transform((text: string) => text)
    }))
    const Placed = Event.make("order_placed", { payload: { at: Schema.DateFromString } })
    const Odd = Event.make("odd", { payload: { text: Broken } })
    assert.deepStrictEqual(
      await seenBy(
        Event.catalog(Placed, Odd),
        ["order_placed", { at: "2026-11-28T00:00:00.000Z" }],
        ["order_placed", { at: 4 }],
        ["odd", { text: "whole" }],
        ["odd", { text: "broken" }],
        ["text_delta", { messageId: "m", delta: "hi" }]
      ),
      [
        ["order_placed", { at: "2026-11-28T00:00:00.000Z" }],
        ["$unknown", "order_placed", { at: 4 }],
        ["odd", { text: "whole" }],
        ["$unknown", "odd", { text: "broken" }],
        ["$unknown", "text_delta", { messageId: "m", delta: "hi" }]
      ]
    )
  })

  it("are told apart without schemas as the schemas of the built-in events would", () => {
    const values = [null, {}, [], true, "x", 1.5]
    let compared = 0
    for (const name of goldenNames("event")) {
      const { data, type }: Frame.WireEvent = JSON.parse(golden("event", name))
      const definition = [...AgentEvents.catalog.definitions.values()].find((_) => _.name === type)
      const isAsTheSchemaSays = (payload: Frame.WireEvent["data"]) => {
        compared += 1
        assert.strictEqual(
          shapeOf(type)?.(payload),
          definition?.read(payload)._tag === "Payload",
          `${type} ${JSON.stringify(payload)}`
        )
      }
      isAsTheSchemaSays(data)
      for (const key of [...Object.keys(data), "later"]) {
        const { [key]: _, ...others } = data
        isAsTheSchemaSays(others)
        for (const value of values) isAsTheSchemaSays({ ...data, [key]: value })
      }
    }
    assert.isAbove(compared, 300)
  })
})
