import { assert, describe, expectTypeOf, it } from "@effect/vitest"
import { Result, Schema } from "effect"
import * as Identity from "../../../src/protocol/values/Identity.ts"
import { placeholders } from "../../../src/protocol/values/IdRules.ts"
import { roundTrips, schemasOf } from "../roundTrip.ts"

const ids = {
  UserId: Identity.UserId,
  ThreadId: Identity.ThreadId,
  RunId: Identity.RunId,
  EventId: Identity.EventId,
  ConnectionId: Identity.ConnectionId,
  Tier: Identity.Tier,
  Id: Identity.Id
}

/** Every kind of text that is no id, and why. */
const rows: ReadonlyArray<readonly [what: string, id: string, reason: string | ((id: string) => string)]> = [
  ["empty", "", "an id must not be empty"],
  ["a space", " ", at(0)],
  ["a leading space", " user", at(0)],
  ["a trailing space", "user ", at(4)],
  ["a space inside", "us er", at(2)],
  ["a tab", "us\ter", at(2)],
  ["a line feed at the end", "user\n", at(4)],
  ["a carriage return", "user\r", at(4)],
  ["a no-break space", "user\u00a0", at(4)],
  ["an ideographic space", "user\u3000", at(4)],
  ["a line separator", "user\u2028", at(4)],
  ["a byte order mark", "\ufeffuser", at(0)],
  ["a NUL", "user\u0000", at(4)],
  ["an escape", "\u001b[31muser", at(0)],
  ["a delete", "user\u007f", at(4)],
  ["a C1 control", "user\u0085", at(4)],
  ["a high surrogate alone", "user\ud801", at(4)],
  ["a low surrogate alone", "\udc01user", at(0)],
  ["a pair the wrong way round", "us\udc01\ud801er", at(2)],
  ["a zero width space", "us\u200ber", at(2)],
  ["a zero width joiner", "us\u200der", at(2)],
  ["a zero width non-joiner", "us\u200cer", at(2)],
  ["a word joiner", "user\u2060", at(4)],
  ["a soft hyphen", "us\u00ader", at(2)],
  ["a mark of direction", "\u200fuser", at(0)],
  ["an override of direction", "\u202euser", at(0)],
  ["an isolate", "user\u2066", at(4)],
  ["a variation selector", "user\ufe0f", at(4)],
  ["a combining grapheme joiner", "us\u034fer", at(2)],
  ["a Hangul filler", "user\u3164", at(4)],
  ["a tag character", "user\u{e0041}", at(4)],
  ["an unassigned character", "user\u0378", at(4)],
  ["a noncharacter", "user\uffff", at(4)],
  ["a private character", "user\ue000", at(4)],
  ["an unfilled template", "{{user}}", at(0)],
  ["an unfilled template inside", "user-{{id}}", at(5)],
  ["an unfilled template literal", "${userId}", at(1)],
  ["a hash tag", "{tag}user", at(0)],
  ["an opening brace", "user{", at(4)],
  ["a closing brace", "user}", at(4)],
  ["one character too many", "x".repeat(129), "an id may have 128 characters at most, this one has 129"],
  ["a megabyte", "x".repeat(1_000_000), "an id may have 128 characters at most, this one has 1000000"],
  ...["undefined", "null", "none", "nil", "nan", "registry", "placeholder"].flatMap((word) =>
    [word, word.toUpperCase(), word.slice(0, 1).toUpperCase() + word.slice(1), alternate(word)].map((id) =>
      [`the placeholder ${id}`, id, `"${id}" is a placeholder, not an id`] as const
    )
  )
]

const badIds = rows.map(([what, id, reason]) => [what, id, typeof reason === "string" ? reason : reason(id)] as const)

/** The reason for the character at this index of an id. */
function at(index: number) {
  return (id: string) => {
    const point = (id.codePointAt(index) ?? 0).toString(16).toUpperCase().padStart(4, "0")
    return "an id must be well-formed Unicode without white space, braces and invisible characters, " +
      `this one has U+${point} at index ${index}`
  }
}

function alternate(word: string) {
  return Array.from(word, (letter, index) => index % 2 === 0 ? letter : letter.toUpperCase()).join("")
}

const messageOf = (schema: Schema.Codec<unknown, unknown>, input: unknown) => {
  const result = Schema.decodeUnknownResult(schema, { errors: "all" })(input)
  return Result.isFailure(result) ? result.failure.message : undefined
}

describe("Identity", () => {
  roundTrips(schemasOf(Identity))

  describe("ids", () => {
    for (const [name, schema] of Object.entries(ids)) {
      it(`fault 8: refuses every bad ${name}, and says why`, () => {
        for (const [what, id, reason] of badIds) assert.strictEqual(messageOf(schema, id), reason, what)
      })

      it(`takes what is unusual but right as a ${name}`, () => {
        for (
          const id of [
            "0",
            "a",
            "x".repeat(128),
            "user@example.org",
            "auth0|5f7c",
            "münchen",
            "用户",
            "👩💻",
            "नमस्ते",
            "nullable",
            "no-ne"
          ]
        ) {
          assert.isUndefined(messageOf(schema, id), id)
        }
      })
    }

    it("refuses whatever is not a string", () => {
      for (const value of [undefined, null, 7, true, {}, ["user"], { toString: () => "user" }]) {
        assert.strictEqual(messageOf(Identity.UserId, value), "Expected string")
      }
    })

    // The generator of code units draws lone surrogates and invisible characters as often as others.
    it.prop(
      "fault 8: holds exactly the strings that the rules describe",
      [Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 0xffff })))],
      ([units]) => {
        const text = String.fromCharCode(...units)
        const isVisible = (character: string) =>
          /^[\p{L}\p{M}\p{N}\p{P}\p{S}]$/u.test(character) && !/[{}\p{Default_Ignorable_Code_Point}]/u.test(character)
        const legal = text.length >= 1 && text.length <= 128 && Array.from(text).every(isVisible) &&
          !placeholders.has(text.toLowerCase())
        assert.strictEqual(Schema.is(Identity.UserId)(text), legal)
      },
      { arbitrary: { runs: 1000 } }
    )

    it.prop(
      "fault 8: of two that differ, the bytes differ too",
      [Schema.String, Schema.String],
      ([a, b]) => {
        const texts = [a, b, `${a}\ud801`, `${a}\ud802`, `${a}\ufffd`].filter(Schema.is(Identity.UserId))
        assert.strictEqual(
          new Set(texts.map((text) => Buffer.from(text).toString("hex"))).size,
          new Set<string>(texts).size
        )
      },
      { arbitrary: { runs: 500 } }
    )
  })

  describe("EmissionContext", () => {
    const fields = ["userId", "threadId", "runId", "tier", "requestId"] as const

    for (const field of fields) {
      it(`fault 8: refuses every bad ${field}, with its path and the reason`, () => {
        for (const [what, id, reason] of badIds) {
          const message = messageOf(Identity.EmissionContext, { userId: "u-1", [field]: id })
          assert.strictEqual(message, `${reason}\n  at ["${field}"]`, what)
        }
      })
    }

    it("refuses a context without a user", () => {
      assert.strictEqual(messageOf(Identity.EmissionContext, {}), `Missing key\n  at ["userId"]`)
      assert.strictEqual(messageOf(Identity.EmissionContext, { userId: undefined }), `Expected string\n  at ["userId"]`)
    })

    it("lists every problem at once", () => {
      assert.strictEqual(
        messageOf(Identity.EmissionContext, { userId: "", threadId: "{{thread}}", priority: 10, trace: "00-0-0-0" }),
        [
          `an id must not be empty\n  at ["userId"]`,
          `${at(0)("{{thread}}")}\n  at ["threadId"]`,
          `Expected a value between 0 and 9\n  at ["priority"]`,
          `Expected a string matching the RegExp ^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$\n  at ["trace"]`
        ].join("\n")
      )
    })

    it("takes priorities from 0 to 9 and whole ones only", () => {
      for (const priority of [0, 5, 9]) {
        assert.isUndefined(messageOf(Identity.EmissionContext, { userId: "u-1", priority }))
      }
      for (const priority of [-1, 10, 1.5, Number.NaN, "5"]) {
        assert.match(messageOf(Identity.EmissionContext, { userId: "u-1", priority }) ?? "", /at \["priority"\]$/)
      }
    })
  })

  describe("types", () => {
    it("keeps one kind of id from standing in for another", () => {
      const user = Identity.UserId.make("u-1")
      expectTypeOf(user).toEqualTypeOf<Identity.UserId>()
      expectTypeOf<Identity.UserId>().toExtend<string>()
      expectTypeOf<string>().not.toExtend<Identity.UserId>()
      expectTypeOf<Identity.UserId>().not.toExtend<Identity.RunId>()
      expectTypeOf<Identity.RunId>().not.toExtend<Identity.UserId>()
      expectTypeOf<Identity.ThreadId>().not.toExtend<Identity.RunId>()
      expectTypeOf<Identity.EventId>().not.toExtend<Identity.ConnectionId>()
      expectTypeOf<Identity.Tier>().not.toExtend<Identity.UserId>()
      // @ts-expect-error a user id is no run id
      const run: Identity.RunId = user
      assert.strictEqual<string>(run, user)
    })

    it("asks a context for its user, and only for that", () => {
      const context: typeof Identity.EmissionContext.Encoded = { userId: "u-1" }
      // @ts-expect-error a context without a user
      const nobody: typeof Identity.EmissionContext.Encoded = { threadId: "t-1" }
      assert.isDefined(messageOf(Identity.EmissionContext, nobody))
      assert.isUndefined(messageOf(Identity.EmissionContext, context))
    })
  })
})
