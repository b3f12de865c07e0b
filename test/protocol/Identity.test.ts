import { assert, describe, expectTypeOf, it } from "@effect/vitest"
import { Result, Schema } from "effect"
import * as Identity from "../../src/protocol/Identity.ts"
import { roundTrips, schemasOf } from "./roundTrip.ts"

const ids = {
  UserId: Identity.UserId,
  ThreadId: Identity.ThreadId,
  RunId: Identity.RunId,
  EventId: Identity.EventId,
  ConnectionId: Identity.ConnectionId,
  Tier: Identity.Tier
}

/** Every kind of text that is no id, and why. */
const badIds: ReadonlyArray<readonly [what: string, id: string, reason: string]> = [
  ["empty", "", "an id must not be empty"],
  ["a space", " ", forbiddenAt(0)],
  ["a leading space", " user", forbiddenAt(0)],
  ["a trailing space", "user ", forbiddenAt(4)],
  ["a space inside", "us er", forbiddenAt(2)],
  ["a tab", "us\ter", forbiddenAt(2)],
  ["a line feed at the end", "user\n", forbiddenAt(4)],
  ["a carriage return", "user\r", forbiddenAt(4)],
  ["a no-break space", "user\u00a0", forbiddenAt(4)],
  ["an ideographic space", "user\u3000", forbiddenAt(4)],
  ["a line separator", "user\u2028", forbiddenAt(4)],
  ["a byte order mark", "\ufeffuser", forbiddenAt(0)],
  ["a NUL", "user\u0000", forbiddenAt(4)],
  ["an escape", "\u001b[31muser", forbiddenAt(0)],
  ["a delete", "user\u007f", forbiddenAt(4)],
  ["a C1 control", "user\u0085", forbiddenAt(4)],
  ["an unfilled template", "{{user}}", forbiddenAt(0)],
  ["an unfilled template inside", "user-{{id}}", forbiddenAt(5)],
  ["an unfilled template literal", "${userId}", forbiddenAt(1)],
  ["a hash tag", "{tag}user", forbiddenAt(0)],
  ["an opening brace", "user{", forbiddenAt(4)],
  ["a closing brace", "user}", forbiddenAt(4)],
  ["one character too many", "x".repeat(129), "an id may have 128 characters at most, this one has 129"],
  ["a megabyte", "x".repeat(1_000_000), "an id may have 128 characters at most, this one has 1000000"],
  ...["undefined", "null", "none", "nil", "nan", "registry", "placeholder"].flatMap((word) =>
    [word, word.toUpperCase(), word.slice(0, 1).toUpperCase() + word.slice(1), alternate(word)].map((id) =>
      [`the placeholder ${id}`, id, `"${id}" is a placeholder, not an id`] as const
    )
  )
]

function forbiddenAt(index: number) {
  return `an id may have no white space, control character or brace, this one has one at index ${index}`
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
      it(`refuses every bad ${name}, and says why`, () => {
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
            "👩‍💻",
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

    it.prop("holds exactly the strings that the rules describe", [Schema.String], ([text]) => {
      const legal = text.length >= 1 && text.length <= 128 && !/[\s{}]/.test(text) &&
        // eslint-disable-next-line no-control-regex
        !/[\u0000-\u001f\u007f-\u009f]/.test(text) && !Identity.placeholders.has(text.toLowerCase())
      assert.strictEqual(Schema.is(Identity.UserId)(text), legal)
    }, { arbitrary: { runs: 500 } })
  })

  describe("EmissionContext", () => {
    const fields = ["userId", "threadId", "runId", "tier", "requestId"] as const

    for (const field of fields) {
      it(`refuses every bad ${field}, with its path and the reason`, () => {
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
          `${forbiddenAt(0)}\n  at ["threadId"]`,
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
