import { assert, describe, expectTypeOf, it } from "@effect/vitest"
import { Result, Schema } from "effect"
import { closeCodes } from "../../../src/protocol/wire/CloseCode.ts"
import * as Frame from "../../../src/protocol/wire/Frame.ts"
import { clientFrames, serverFrames } from "../frames.ts"
import { golden, goldenNames } from "../golden.ts"
import { hasEscapedKey, roundTrips, schemasOf, withoutNegativeZero } from "../roundTrip.ts"

type Decode = (text: string) => Result.Result<Frame.ClientFrame | Frame.ServerFrame, Frame.FrameError>

const decoders: Record<"client" | "server", Decode> = { client: Frame.decodeClient, server: Frame.decodeServer }

const fail = (reason: Frame.FrameError["reason"], detail: string) =>
  Result.fail(new Frame.FrameError({ reason, detail }))

/** Frames of both sides by golden name, with the side that sends them. */
const frames = [
  ...Object.entries(clientFrames).map(([name, frame]) => ({ side: "client" as const, name, frame })),
  ...Object.entries(serverFrames).map(([name, frame]) => ({ side: "server" as const, name, frame }))
]

const typesOf = (union: { readonly members: ReadonlyArray<{ readonly fields: { readonly type: FrameType } }> }) =>
  [...new Set(union.members.map((member) => member.fields.type.schema.literal))].toSorted()

type FrameType = { readonly schema: { readonly literal: string } }

describe("Frame", () => {
  describe("golden files", () => {
    it("exist for exactly the frames listed here, and every frame type is among them", () => {
      assert.deepStrictEqual(goldenNames("frame"), frames.map(({ name }) => name).toSorted())
      const typesIn = (list: Record<string, { readonly type: string }>) =>
        [...new Set(Object.values(list).map(({ type }) => type))].toSorted()
      assert.deepStrictEqual(typesIn(clientFrames), typesOf(Frame.ClientFrame))
      assert.deepStrictEqual(typesIn(serverFrames), typesOf(Frame.ServerFrame))
    })

    it("show every reason for a gap", () => {
      const shown = Object.values(serverFrames).flatMap((frame) => frame.type === "gap" ? [frame.reason] : [])
      assert.deepStrictEqual([...new Set(shown)].toSorted(), [...Frame.GapReason.literals].toSorted())
    })

    it("show error codes that are names of close codes", () => {
      const shown = Object.values(serverFrames).flatMap((frame) => frame.type === "error" ? [frame.code] : [])
      assert.isNotEmpty(shown)
      assert.deepStrictEqual(shown.filter((code) => !(code in closeCodes)), [])
    })

    it("of an acknowledgement that stands alone is read with its epoch, which it must have", () => {
      const ack = { type: "ack", offset: 44, epoch: "k3J9xQ", confirmed: [44] }
      assert.deepStrictEqual<unknown>(Frame.decodePosted(golden("http", "ack")), Result.succeed(ack))
      const pong = { type: "pong", connection: "c-5f2a" }
      assert.deepStrictEqual<unknown>(Frame.decodePosted(golden("http", "pong")), Result.succeed(pong))
      const command = { type: "command", id: "cmd-1", run: "run-7", name: "cancel" }
      assert.deepStrictEqual<unknown>(Frame.decodePosted(golden("frame", "command")), Result.succeed(command))
      assert.deepStrictEqual<unknown>(
        Result.mapError(Frame.decodePosted(golden("frame", "ack")), ({ reason }) => reason),
        Result.fail("fields")
      )
      assert.deepStrictEqual<unknown>(
        Result.mapError(Frame.decodePosted(golden("frame", "pong")), ({ reason }) => reason),
        Result.fail("fields")
      )
      assert.deepStrictEqual<unknown>(
        Result.mapError(Frame.decodePosted(golden("frame", "hello")), ({ reason }) => reason),
        Result.fail("type")
      )
    })

    for (const { frame, name, side } of frames) {
      it(`${name} is written as it stands in its file, byte for byte`, () => {
        assert.strictEqual(Frame.encode(frame), golden("frame", name))
      })

      it(`${name} is read back from its file, and written again as it was`, () => {
        const read = decoders[side](golden("frame", name))
        assert.deepStrictEqual(read, Result.succeed(frame))
        assert.strictEqual(Frame.encode(Result.getOrThrow(read)), golden("frame", name))
      })

      it(`${name} is refused by the side that sends it`, () => {
        const other = side === "client" ? "server" : "client"
        const known = {
          client: "hello, ack, pong, token, command",
          server: "welcome, events, gap, snapshot, status, ping, goodbye, error, command"
        }
        const refused = decoders[other](golden("frame", name))
        // Of both sides, by the same type and with other fields.
        if (frame.type === "command") {
          return assert.strictEqual(Result.isFailure(refused) ? refused.failure.reason : undefined, "fields")
        }
        assert.deepStrictEqual(
          refused,
          fail("type", `the message's "type" is none of ${known[other]}`)
        )
      })
    }
  })

  it("says of a command that is none by which id it can be refused, and which field is wrong", () => {
    const refusable = (fields: object) =>
      Result.match(
        Frame.decodeClient(JSON.stringify({ type: "command", id: "c1", run: "r1", name: "cancel", ...fields })),
        {
          onSuccess: () => undefined,
          onFailure: ({ command, reason }) => ({ command, reason })
        }
      )
    const wrong = (path: string) => ({ command: { id: "c1", path }, reason: "fields" })
    assert.isUndefined(refusable({ data: null }))
    assert.deepStrictEqual<unknown>(refusable({ run: undefined }), wrong("run"))
    assert.deepStrictEqual<unknown>(refusable({ run: "{{run}}" }), wrong("run"))
    assert.deepStrictEqual<unknown>(refusable({ name: undefined }), wrong("name"))
    assert.deepStrictEqual<unknown>(refusable({ name: "x".repeat(65) }), wrong("name"))
    for (const id of [undefined, null, 1, "", "a b", "x".repeat(129)]) {
      assert.deepStrictEqual<unknown>(refusable({ id }), { command: undefined, reason: "fields" })
    }
  })

  roundTrips(schemasOf(Frame))

  it.prop("every frame a client may send is read as it was written", { frame: Frame.ClientFrame }, ({ frame }) => {
    const read = Result.getOrThrow(Frame.decodeClient(Frame.encode(frame)))
    assert.deepStrictEqual(withoutNegativeZero(read), withoutNegativeZero(frame))
  }, { arbitrary: { runs: 300 } })

  it.prop("every frame a server may send is read as it was written", { frame: Frame.ServerFrame }, ({ frame }) => {
    const text = Frame.encode(frame)
    if (hasEscapedKey(text)) return
    const read = Result.getOrThrow(Frame.decodeServer(text))
    assert.deepStrictEqual(withoutNegativeZero(read), withoutNegativeZero(frame))
  }, { arbitrary: { runs: 300 } })

  it.prop("fields that nobody knows are ignored", { frame: Frame.ClientFrame, more: Schema.JsonObject }, (_) => {
    const { frame, more } = _
    const known = Object.keys({ ...Frame.Hello.fields, ...Frame.Ack.fields, ...Frame.Command.fields })
    const unknown = Object.fromEntries(Object.entries(more).filter(([key]) => !known.includes(key)))
    const text = JSON.stringify({ ...unknown, ...frame, "x-later": more })
    assert.deepStrictEqual(Frame.decodeClient(text), Frame.decodeClient(Frame.encode(frame)))
  })

  it("ignores fields that nobody knows at every depth", () => {
    const text = golden("frame", "events.confirm")
      .replace(`"events":[{`, `"later":1,"events":[{"later":{"deep":[]},`)
      .replace(`"type":"events"`, `"type":"events","__proto__":{"epoch":"wrong"}`)
    assert.deepStrictEqual(Frame.decodeServer(text), Frame.decodeServer(golden("frame", "events.confirm")))
    const hello = `{"type":"hello","resume":{"epoch":"e","offset":1,"later":true}}`
    assert.deepStrictEqual(
      Frame.decodeClient(hello),
      Result.succeed<Frame.ClientFrame>({ type: "hello", resume: { epoch: "e", offset: 1 } })
    )
  })

  describe("types", () => {
    it("names every frame by its type", () => {
      expectTypeOf<Frame.ClientFrame["type"]>().toEqualTypeOf<"hello" | "ack" | "pong" | "token" | "command">()
      expectTypeOf<Frame.ServerFrame["type"]>().toEqualTypeOf<
        "welcome" | "events" | "gap" | "snapshot" | "status" | "ping" | "goodbye" | "error" | "command"
      >()
      expectTypeOf(Frame.decodeClient).returns.toEqualTypeOf<Result.Result<Frame.ClientFrame, Frame.FrameError>>()
      expectTypeOf(Frame.decodeServer).returns.toEqualTypeOf<Result.Result<Frame.ServerFrame, Frame.FrameError>>()
      expectTypeOf(Frame.encode).parameter(0).toEqualTypeOf<Frame.ClientFrame | Frame.ServerFrame>()
    })
  })
})
