import { assert, describe, expectTypeOf, it } from "@effect/vitest"
import { Context, Effect, Layer, Schema, SchemaGetter } from "effect"
import * as AgentEvents from "../../../src/protocol/event/AgentEvents.ts"
import { builtInNames } from "../../../src/protocol/event/EventDefinition.ts"
import * as Event from "../../../src/protocol/event/Event.ts"
import { decoder } from "../../../src/protocol/event/ReceivedEvent.ts"
import { Emitter } from "../../../src/index.ts"
import { UserId } from "../../../src/protocol/values/Identity.ts"
import { TestBroker } from "../../../src/testing/index.ts"
import { layer } from "../../emitter/support/emitting.ts"
import { roundTrips, schemasOf } from "../roundTrip.ts"

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

/** Emits an event through a whole layer, and gives what came into the log. */
const travel = (event: Event.Event) =>
  Effect.gen(function*() {
    yield* Emitter.emit(Event.critical(event))
    const [logged] = yield* (yield* TestBroker.TestBroker).log(UserId.make("ada"))
    return logged?.event ?? assert.fail("nothing left")
  }).pipe(Effect.provide(Layer.provideMerge(Emitter.layerUser({ userId: "ada" }), layer())))

const wire = (type: string, data: Schema.JsonObject) => ({ offset: 1, id: "e-1", type, at: 0, data })

const payloadOf = (event: object) => "payload" in event ? event.payload : event

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

  it("is batched, free, unmerged, unconfirmed and not kept unless told otherwise", () => {
    const { coalesce, confirm, delivery, keep, scope } = Event.make("note_taken", { payload })
    assert.deepStrictEqual({ coalesce, confirm, delivery, keep, scope }, {
      keep: undefined,
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

  it("knows a definition that comes twice as one", () => {
    const Note = Event.make("note_taken", { payload })
    assert.deepStrictEqual([...Event.catalog(Note, OrderPlaced, Note).definitions.keys()], [
      "note_taken",
      "order_placed"
    ])
  })

  it("adds to catalogs and merges them, and leaves those as they were", () => {
    const Note = Event.make("note_taken", { payload })
    const notes = Event.catalog(Note)
    const added = AgentEvents.catalog.add(OrderPlaced, Note)
    const merged = AgentEvents.catalog.merge(notes).merge(Event.catalog(OrderPlaced, Note))
    const builtIn = [...AgentEvents.catalog.definitions.keys()]
    assert.deepStrictEqual([...added.definitions.keys()], [...builtIn, "order_placed", "note_taken"])
    assert.deepStrictEqual([...merged.definitions.keys()], [...builtIn, "note_taken", "order_placed"])
    assert.strictEqual(merged.definitions.get("note_taken"), Note)
    assert.strictEqual(notes.definitions.size, 1)
    assert.strictEqual(builtIn.length, builtInNames.length)

    const otherNote = Event.make("note_taken", { payload: {} })
    const problem = `Two events have the name "note_taken"`
    assert.strictEqual(messageOf(() => notes.add(otherNote)), problem)
    assert.strictEqual(messageOf(() => notes.merge(Event.catalog(otherNote))), problem)
  })

  describe("of a schema", () => {
    class Order extends Schema.Class<Order>("Order")({ orderId: Schema.NonEmptyString, total: Schema.Finite }) {}
    const Shape = Schema.Union([
      Schema.TaggedStruct("Circle", { radius: Schema.Finite }),
      Schema.TaggedStruct("Square", { side: Schema.Finite })
    ])
    const Whole = Event.make("order_whole", { payload: Order, coalesce: { _tag: "Newest", by: "orderId" } })
    const Drawn = Event.make("shape_drawn", { payload: Shape })

    it("has the schema as its payload's", () => {
      assert.strictEqual(Whole.payload, Order)
      assert.strictEqual(Drawn.payload, Shape)
    })

    it.effect("is encoded and decoded by it", () =>
      Effect.gen(function*() {
        const decode = decoder(Event.catalog(Whole, Drawn))
        const order = new Order({ orderId: "o-1", total: 1 })
        const { data } = yield* travel(Whole.make(order))
        assert.deepStrictEqual(data, { orderId: "o-1", total: 1 })
        const received = decode("e", wire("order_whole", data))
        assert.deepStrictEqual(received.type === "order_whole" && received.payload, order)

        const drawn = yield* travel(Drawn.make({ _tag: "Square", side: 2 }))
        assert.deepStrictEqual(drawn.data, { _tag: "Square", side: 2 })
      }))

    it("takes what its schema takes, and no schema of anything but objects", () => {
      expectTypeOf<Event.Of<typeof Drawn>["payload"]["_tag"]>().toEqualTypeOf<"Circle" | "Square">()
      const wrong = [
        // @ts-expect-error there is no such shape
        Drawn.make({ _tag: "Triangle" }),
        // @ts-expect-error a text is no object
        Event.make("a", { payload: Schema.String }),
        // @ts-expect-error a number is no key
        Event.make("b", { payload: Order, coalesce: { _tag: "Newest", by: "total" } })
      ]
      assert.lengthOf(wrong, 3)
    })
  })

  describe("that changes over time", () => {
    const First = Event.make("order_placed", { payload: { orderId: Schema.NonEmptyString, total: Schema.Finite } })
    const Second = Event.make("order_placed", {
      payload: {
        ...First.payload.fields,
        currency: Schema.String.pipe(Schema.withDecodingDefaultKey(Effect.succeed("EUR")))
      }
    })
    const Third = Event.make("order_placed.v2", {
      payload: { orderId: Schema.NonEmptyString, total: Schema.BigIntFromString, currency: Schema.String }
    })
    const orders = decoder(Event.catalog(Second, Third))
    const ofFirstRelease = decoder(Event.catalog(First))

    it.effect("has a default where an older writer did not know a field, and older readers do without it", () =>
      Effect.gen(function*() {
        const older = yield* travel(First.make({ orderId: "o-1", total: 1 }))
        const newer = yield* travel(Second.make({ orderId: "o-2", total: 2, currency: "CHF" }))
        assert.deepStrictEqual(payloadOf(orders("e", wire("order_placed", older.data))), {
          orderId: "o-1",
          total: 1,
          currency: "EUR"
        })
        assert.deepStrictEqual(payloadOf(orders("e", wire("order_placed", newer.data))), {
          orderId: "o-2",
          total: 2,
          currency: "CHF"
        })
        assert.deepStrictEqual(payloadOf(ofFirstRelease("e", wire("order_placed", newer.data))), {
          orderId: "o-2",
          total: 2
        })
        // @ts-expect-error whoever writes the event gives the field
        Second.make({ orderId: "o-3", total: 3 })
      }))

    it.effect("has another name where it means something else, which older readers get as unknown", () =>
      Effect.gen(function*() {
        const { data } = yield* travel(Third.make({ orderId: "o-1", total: 10n ** 20n, currency: "EUR" }))
        assert.deepStrictEqual(payloadOf(orders("e", wire("order_placed.v2", data))), {
          orderId: "o-1",
          total: 10n ** 20n,
          currency: "EUR"
        })
        const unknown = ofFirstRelease("e", wire("order_placed.v2", data))
        assert.deepInclude(unknown, { type: "$unknown", name: "order_placed.v2", problem: undefined })
      }))
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
