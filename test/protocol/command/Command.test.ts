import { assert, describe, it } from "@effect/vitest"
import { Exit, Schema } from "effect"
import { Command } from "effect-emitter/events"

describe("Command", () => {
  it("takes a name that devices can know, and none of the package's own", () => {
    assert.throws(() => Command.make("Steer", { payload: {} }), /does not match/)
    // @ts-expect-error the name is taken
    assert.throws(() => Command.make("cancel", { payload: {} }), /built-in command/)
  })

  it("takes fields or a schema as its payload", () => {
    const fields = Command.make("steer", { payload: { text: Schema.NonEmptyString } })
    const schema = Command.make("steer", { payload: Schema.Struct({ text: Schema.NonEmptyString }) })
    for (const { payload } of [fields, schema]) {
      assert.isTrue(Exit.isSuccess(Schema.decodeUnknownExit(payload)({ text: "shorter" })))
      assert.isTrue(Exit.isFailure(Schema.decodeUnknownExit(payload)({ text: "" })))
    }
  })

  it("reads a request and an outcome as they travel, and refuses ids and names that are none", () => {
    const request = { id: "c1", run: "r1", name: "steer", data: { text: "shorter" } }
    assert.deepStrictEqual(
      Schema.encodeSync(Command.Request)(Schema.decodeUnknownSync(Command.Request)(request)),
      request
    )
    for (const wrong of [{ id: "" }, { run: "undefined" }, { name: "Steer" }, { data: undefined }]) {
      assert.isTrue(
        Exit.isFailure(Schema.decodeUnknownExit(Command.Request)({ ...request, ...wrong })),
        JSON.stringify(wrong)
      )
    }
    for (const outcome of [Command.accepted, Command.refused("invalid", { path: "text" })]) {
      assert.deepStrictEqual(Schema.decodeUnknownSync(Command.Outcome)(JSON.parse(JSON.stringify(outcome))), outcome)
    }
  })
})
