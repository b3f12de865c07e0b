/** JSON Patch by its RFC: the examples of its appendix, and what comes of two values by another implementation. */
import { assert, describe, it } from "@effect/vitest"
import { JsonPatch as Diff, Schema } from "effect"
import * as JsonPatch from "../../../src/protocol/run/JsonPatch.ts"
import { hasEscapedKey } from "../roundTrip.ts"

type Case = readonly [
  what: string,
  before: Schema.Json | undefined,
  patch: ReadonlyArray<Schema.Json>,
  after: Schema.Json | undefined
]

const appendix: ReadonlyArray<Case> = [
  ["A.1 adding a member", { foo: "bar" }, [{ op: "add", path: "/baz", value: "qux" }], { baz: "qux", foo: "bar" }],
  ["A.2 adding an element", { foo: ["bar", "baz"] }, [{ op: "add", path: "/foo/1", value: "qux" }], {
    foo: ["bar", "qux", "baz"]
  }],
  ["A.3 removing a member", { baz: "qux", foo: "bar" }, [{ op: "remove", path: "/baz" }], { foo: "bar" }],
  ["A.4 removing an element", { foo: ["bar", "qux", "baz"] }, [{ op: "remove", path: "/foo/1" }], {
    foo: ["bar", "baz"]
  }],
  ["A.5 replacing a value", { baz: "qux", foo: "bar" }, [{ op: "replace", path: "/baz", value: "boo" }], {
    baz: "boo",
    foo: "bar"
  }],
  [
    "A.6 moving a value",
    { foo: { bar: "baz", waldo: "fred" }, qux: { corge: "grault" } },
    [{ op: "move", from: "/foo/waldo", path: "/qux/thud" }],
    { foo: { bar: "baz" }, qux: { corge: "grault", thud: "fred" } }
  ],
  [
    "A.7 moving an element",
    { foo: ["all", "grass", "cows", "eat"] },
    [{ op: "move", from: "/foo/1", path: "/foo/3" }],
    {
      foo: ["all", "cows", "eat", "grass"]
    }
  ],
  [
    "A.8 testing a value",
    { baz: "qux", foo: ["a", 2, "c"] },
    [{ op: "test", path: "/baz", value: "qux" }, { op: "test", path: "/foo/1", value: 2 }],
    { baz: "qux", foo: ["a", 2, "c"] }
  ],
  ["A.9 testing a value: error", { baz: "qux" }, [{ op: "test", path: "/baz", value: "bar" }], undefined],
  ["A.10 adding a nested member", { foo: "bar" }, [{ op: "add", path: "/child", value: { grandchild: {} } }], {
    foo: "bar",
    child: { grandchild: {} }
  }],
  ["A.11 ignoring unknown members", { foo: "bar" }, [{ op: "add", path: "/baz", value: "qux", xyz: 123 }], {
    foo: "bar",
    baz: "qux"
  }],
  ["A.12 adding to a target that is not there", { foo: "bar" }, [
    { op: "add", path: "/baz/bat", value: "qux" }
  ], undefined],
  ["A.14 escapes", { "/": 9, "~1": 10 }, [{ op: "test", path: "/~01", value: 10 }], { "/": 9, "~1": 10 }],
  ["A.15 comparing a text and a number", { "/": 9, "~1": 10 }, [{ op: "test", path: "/~01", value: "10" }], undefined],
  ["A.16 adding a list", { foo: ["bar"] }, [{ op: "add", path: "/foo/-", value: ["abc", "def"] }], {
    foo: ["bar", ["abc", "def"]]
  }]
]

const others: ReadonlyArray<Case> = [
  ["the whole value", { a: 1 }, [{ op: "replace", path: "", value: [] }], []],
  ["a value where there is none", undefined, [{ op: "add", path: "", value: 0 }], 0],
  ["a member of what is not there", undefined, [{ op: "add", path: "/a", value: 0 }], undefined],
  ["the whole value away", { a: 1 }, [{ op: "remove", path: "" }], undefined],
  ["in the order of the list, and only as a whole", { a: 1 }, [
    { op: "add", path: "/b", value: 2 },
    { op: "move", from: "/b", path: "/c" },
    { op: "remove", path: "/b" }
  ], undefined],
  ["an element past the end", [1], [{ op: "add", path: "/2", value: 2 }], undefined],
  ["an element at the end", [1], [{ op: "add", path: "/1", value: 2 }], [1, 2]],
  ["the place past the end", [1], [{ op: "replace", path: "/-", value: 2 }], undefined],
  ["an index with a zero before it", [1, 2], [{ op: "remove", path: "/01" }], undefined],
  ["an index that is a member of lists", [1, 2], [{ op: "replace", path: "/length", value: 0 }], undefined],
  ["a member that objects inherit", {}, [{ op: "test", path: "/toString/name", value: "toString" }], undefined],
  ["a member that is not there", {}, [{ op: "replace", path: "/a", value: 1 }], undefined],
  ["what holds itself", { a: { b: 1 } }, [{ op: "move", from: "/a", path: "/a/b" }], undefined],
  ["a value onto the whole", { a: { b: 1 } }, [{ op: "move", from: "/a", path: "" }], { b: 1 }],
  ["a value onto itself", { a: 1 }, [{ op: "move", from: "/a", path: "/a" }], { a: 1 }],
  ["a copy", { a: [1] }, [{ op: "copy", from: "/a", path: "/a/0" }], { a: [[1], 1] }],
  ["null, which is a value", { a: null }, [{ op: "test", path: "/a", value: null }], { a: null }],
  ["members in any order", { a: { b: 1, c: [2] } }, [{ op: "test", path: "/a", value: { c: [2], b: 1 } }], {
    a: { b: 1, c: [2] }
  }],
  ["an operation without its value", {}, [{ op: "add", path: "/a" }], undefined],
  ["an operation that is none", {}, [{ op: "increment", path: "" }], undefined],
  ["what is no operation", {}, ["remove"], undefined],
  ["a path that is no pointer", { a: 1 }, [{ op: "remove", path: "a" }], undefined],
  ["nothing", { a: 1 }, [], { a: 1 }]
]

describe("a JSON Patch", () => {
  for (const [what, before, patch, after] of [...appendix, ...others]) {
    it(`changes as RFC 6902 says: ${what}`, () => {
      const copy = structuredClone(before)
      assert.deepStrictEqual(JsonPatch.apply(before, patch), after)
      assert.deepStrictEqual(before, copy)
    })
  }

  it("keeps a member of any name to itself", () => {
    const state: Schema.Json = JSON.parse(`{"__proto__":{"a":1}}`)
    const changed = JsonPatch.apply(state, [{ op: "add", path: "/__proto__/b", value: 2 }])
    assert.strictEqual(JSON.stringify(changed), `{"__proto__":{"a":1,"b":2}}`)
    assert.isUndefined(JsonPatch.apply({}, [{ op: "add", path: "/__proto__/polluted", value: 1 }]))
    assert.notProperty({}, "polluted")
  })

  it.prop("turns one value into another by what tells them apart", {
    one: Schema.Json,
    other: Schema.Json
  }, ({ one, other }) => {
    if (hasEscapedKey(JSON.stringify([one, other]))) return
    const patch = Schema.decodeUnknownSync(Schema.Array(Schema.Json))(Diff.get(one, other))
    assert.deepStrictEqual(JsonPatch.apply(one, patch), other)
  }, { arbitrary: { runs: 500 } })
})
