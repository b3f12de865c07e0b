import { assert, describe, it } from "@effect/vitest"
import { Result, Schema } from "effect"
import type { ClientFrame } from "../../../src/client/transport/ClientFrame.ts"
import * as ServerFrames from "../../../src/client/transport/ServerFrames.ts"
import * as Frame from "../../../src/protocol/wire/Frame.ts"
import { golden, goldenNames } from "../../protocol/golden.ts"
import { clientFrames, serverFrames } from "../../protocol/frames.ts"

// The hand-written types take every frame of the schemas: this file compiles only as long as that is so.
const asRead = (frame: Frame.ServerFrame): ServerFrames.ServerFrame => frame
const asWritten = (frame: Frame.ClientFrame): ClientFrame => frame

interface Place {
  readonly holder: object
  readonly key: string
  readonly value: unknown
}

/** Every field of a frame, down to where a program's own data begins. */
const placesOf = (value: unknown): ReadonlyArray<Place> => {
  if (typeof value !== "object" || value === null) return []
  return Object.entries(value).flatMap(([key, inner]) => [
    { holder: value, key, value: inner },
    ...(key === "data" || key === "result" ? [] : placesOf(inner))
  ])
}

/** Values of another kind than `value`, or out of its bounds. */
const wrongFor = (value: unknown): ReadonlyArray<unknown> =>
  [null, "", 1.5, -1, 1e300, true, [], {}, "x y"].filter((wrong) =>
    typeof wrong !== typeof value || (typeof value === "number" && wrong !== value) || wrong === null ||
    Array.isArray(wrong) !== Array.isArray(value)
  )

const accepts = (text: string) => Result.isSuccess(Frame.decodeServer(text))

describe("ServerFrames", () => {
  it("reads every golden frame of a server as the schemas do, and no frame of a client", () => {
    assert.includeMembers(goldenNames("frame").slice(), Object.keys(serverFrames))
    for (const [name, frame] of Object.entries(serverFrames)) {
      assert.deepStrictEqual(ServerFrames.decode(golden("frame", name)), asRead(frame), name)
    }
    for (const [name, frame] of Object.entries(clientFrames)) {
      assert.strictEqual(ServerFrames.decode(JSON.stringify(asWritten(frame))).type, "bad", name)
    }
  })

  it.prop("reads whatever a server may send", { frame: Frame.ServerFrame }, ({ frame }) => {
    const text = Frame.encode(frame)
    assert.deepStrictEqual<unknown>(ServerFrames.decode(text), JSON.parse(text))
  }, { arbitrary: { runs: 300 } })

  it.prop("refuses what the schemas refuse, and nothing else", {
    frame: Frame.ServerFrame,
    place: Schema.Natural,
    how: Schema.Natural,
    remove: Schema.Boolean
  }, ({ frame, how, place, remove }) => {
    const copy: object = JSON.parse(Frame.encode(frame))
    const places = placesOf(copy)
    const chosen = places[place % places.length]
    if (chosen === undefined) return
    const wrong = wrongFor(chosen.value)
    if (remove) Reflect.deleteProperty(chosen.holder, chosen.key)
    else Reflect.set(chosen.holder, chosen.key, wrong[how % wrong.length])
    const text = JSON.stringify(copy)
    assert.strictEqual(ServerFrames.decode(text).type !== "bad", accepts(text), `${chosen.key} in ${text}`)
  }, { arbitrary: { runs: 1_000 } })

  it("says what is wrong with a message, and nothing of what is in it", () => {
    const bad = (detail: string): ServerFrames.BadFrame => ({ type: "bad", detail })
    assert.deepStrictEqual(ServerFrames.decode(new ArrayBuffer(2)), bad("the message is not text"))
    assert.deepStrictEqual(ServerFrames.decode("{secret"), bad("the message is not JSON"))
    for (const text of ["null", "1", "[]", `"ping"`, "{}", `{"type":"secret"}`, `{"type":"toString"}`, `{"type":1}`]) {
      assert.deepStrictEqual(ServerFrames.decode(text), bad("the message is of no known type"), text)
    }
    assert.deepStrictEqual(
      ServerFrames.decode(`{"type":"goodbye","reason":"secret"}`),
      bad("the fields of goodbye are wrong")
    )
  })

  it("ignores fields that nobody knows", () => {
    assert.deepStrictEqual<unknown>(ServerFrames.decode(`{"type":"ping","later":{"type":"gap"}}`), {
      type: "ping",
      later: { type: "gap" }
    })
  })
})
