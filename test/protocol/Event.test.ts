import { assert, describe, expectTypeOf, it } from "@effect/vitest"
import { Context, Effect, Schema, SchemaGetter } from "effect"
import * as AgentEvents from "../../src/protocol/AgentEvents.ts"
import { builtInNames } from "../../src/protocol/EventDefinition.ts"
import * as Event from "../../src/protocol/Event.ts"
import { roundTrips, schemasOf } from "./roundTrip.ts"

const payload = { orderId: Schema.NonEmptyString, note: Schema.String, total: Schema.Finite }

const OrderPlaced = Event.make("order_placed", { payload, delivery: "critical" })

const messageOf = (thunk: () => unknown): string => {
  try {
    thunk()
  } catch (error) {
    assert.instanceOf(error, TypeError)
    return error instanceof TypeError ? error.message : ""
  }
  return "nothing was thrown"
}

describe("Event", () => {
  roundTrips(schemasOf(Event))

  it("makes events that carry their definition", () => {
    const event = OrderPlaced.make({ orderId: "o-1", note: "", total: 12.5 })
    assert.deepStrictEqual(event, {
      type: "order_placed",
      payload: { orderId: "o-1", note: "", total: 12.5 },
      delivery: "critical",
      definition: OrderPlaced
    })
  })

  it("is batched, free, unmerged and unconfirmed unless told otherwise", () => {
    const { coalesce, confirm, delivery, scope } = Event.make("note_taken", { payload })
    assert.deepStrictEqual({ coalesce, confirm, delivery, scope }, {
      coalesce: undefined,
      confirm: undefined,
      delivery: "batched",
      scope: "free"
    })
  })

  for (const name of ["a", "order_placed", "order.placed.v2", "a1", "a_", "a.", "x".repeat(64)]) {
    it(`takes the name ${name}`, () => {
      assert.strictEqual(Event.make(name, { payload }).name, name)
    })
  }

  const badNames = ["", "A", "1a", "_a", ".a", "a b", "a-b", "a\n", "ä", "{{name}}", "order/placed", "x".repeat(65)]
  for (const name of badNames) {
    it(`refuses the name ${JSON.stringify(name)} where it is defined`, () => {
      assert.strictEqual(
        messageOf(() => Event.make(name, { payload })),
        `The event name "${name}" does not match ^[a-z][a-z0-9_.]{0,63}$`
      )
    })
  }

  it("refuses the names of built-in events, which are those of their catalog, so that nothing else can end a run", () => {
    assert.deepStrictEqual([...builtInNames].toSorted(), [...AgentEvents.catalog.definitions.keys()].toSorted())
    for (const name of builtInNames) {
      const other: string = name
      assert.strictEqual(
        messageOf(() => Event.make(other, { payload })),
        `The event name "${name}" is that of a built-in event`
      )
    }
    // @ts-expect-error the compiler knows it first, where the name is written out
    assert.throws(() => Event.make("agent_completed", { payload }))
  })

  it("refuses to merge critical events", () => {
    assert.strictEqual(
      messageOf(() => Event.make("order_placed", { payload, delivery: "critical", coalesce: { _tag: "Newest" } })),
      `The event "order_placed" is critical, and critical events are never merged: remove "coalesce"`
    )
  })

  it("sends one event as a critical one without touching its kind", () => {
    const Note = Event.make("note_taken", { payload: { text: Schema.String } })
    const note = Note.make({ text: "now" })
    assert.deepStrictEqual(Event.critical(note), { ...note, delivery: "critical" })
    assert.strictEqual(note.delivery, "batched")
    assert.strictEqual(Note.delivery, "batched")
  })

  it("puts definitions together by name, and refuses two of one name", () => {
    const Note = Event.make("note_taken", { payload })
    assert.deepStrictEqual([...Event.catalog(OrderPlaced, Note).definitions], [
      ["order_placed", OrderPlaced],
      ["note_taken", Note]
    ])
    assert.strictEqual(
      messageOf(() => Event.catalog(Note, OrderPlaced, Event.make("note_taken", { payload: {} }))),
      `Two events have the name "note_taken"`
    )
  })

  describe("types", () => {
    it("gives events the type of their payload", () => {
      expectTypeOf<Event.Of<typeof OrderPlaced>>().branded.toEqualTypeOf<
        Event.Event<"order_placed", { readonly orderId: string; readonly note: string; readonly total: number }>
      >()
      expectTypeOf(OrderPlaced.make).parameter(0).branded.toEqualTypeOf<
        { readonly orderId: string; readonly note: string; readonly total: number }
      >()
      expectTypeOf(Event.critical(OrderPlaced.make({ orderId: "o", note: "", total: 1 })).type)
        .toEqualTypeOf<"order_placed">()
      expectTypeOf<Event.Event<"order_placed", { readonly orderId: string }>>().toExtend<Event.Event>()
    })

    it("refuses wrong payloads", () => {
      const wrong = [
        // @ts-expect-error the total is missing
        OrderPlaced.make({ orderId: "o", note: "" }),
        // @ts-expect-error the total is text
        OrderPlaced.make({ orderId: "o", note: "", total: "12.5" }),
        // @ts-expect-error there is no such field
        OrderPlaced.make({ orderId: "o", note: "", total: 1, user: "u" }),
        // @ts-expect-error no payload at all
        OrderPlaced.make()
      ]
      assert.lengthOf(wrong, 4)
    })

    it("merges by text fields only", () => {
      const right = Event.make("a", { payload, coalesce: { _tag: "Concatenate", by: "orderId", text: "note" } })
      const newest = Event.make("b", { payload, coalesce: { _tag: "Newest", by: "orderId" } })
      const wrong = [
        // @ts-expect-error a number cannot be joined
        Event.make("c", { payload, coalesce: { _tag: "Concatenate", by: "orderId", text: "total" } }),
        // @ts-expect-error a number is no key
        Event.make("d", { payload, coalesce: { _tag: "Concatenate", by: "total", text: "note" } }),
        // @ts-expect-error there is no such field
        Event.make("e", { payload, coalesce: { _tag: "Newest", by: "thread" } }),
        // @ts-expect-error there is no such way to merge
        Event.make("f", { payload, coalesce: { _tag: "Oldest" } })
      ]
      assert.lengthOf([right, newest, ...wrong], 6)
    })

    it("knows its delivery classes and scopes", () => {
      expectTypeOf<Event.DeliveryClass>().toEqualTypeOf<"critical" | "batched" | "volatile">()
      const wrong = [
        // @ts-expect-error there is no such class
        Event.make("g", { payload, delivery: "urgent" }),
        // @ts-expect-error there is no such scope
        Event.make("h", { payload, scope: "thread" })
      ]
      assert.lengthOf(wrong, 2)
    })

    it("refuses payloads that need services to encode", () => {
      class Salt extends Context.Service<Salt, string>()("test/Salt") {}
      const salted = SchemaGetter.transformEffect((text: string) => Effect.map(Salt, (salt) => salt + text))
      const needs = Schema.String.pipe(Schema.decodeTo(Schema.String, { decode: salted, encode: salted }))
      // @ts-expect-error this field cannot be encoded without a service
      const definition = Event.make("i", { payload: { secret: needs } })
      assert.strictEqual(definition.name, "i")
    })
  })
})
