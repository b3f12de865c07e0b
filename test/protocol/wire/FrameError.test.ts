import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Result, Schema } from "effect"
import * as Frame from "../../../src/protocol/wire/Frame.ts"

type Case = readonly [what: string, text: string, reason: Frame.FrameError["reason"], detail: string]

const notJson = "the message is not JSON"
const noType = `the message has no "type"`
const noClientType = `the message's "type" is none of hello, ack, pong, token, command`
const noServerType =
  `the message's "type" is none of welcome, events, gap, snapshot, status, ping, goodbye, error, command`
const noId = (point: string, index: number) =>
  "an id must be well-formed Unicode without white space, braces and invisible characters, " +
  `this one has ${point} at index ${index}`

const nested = (levels: number) => "[".repeat(levels) + "]".repeat(levels)

const event = (fields: string) => `{"type":"events","epoch":"e","events":[{${fields}}]}`

const fromClients: ReadonlyArray<Case> = [
  ["nothing", "", "json", notJson],
  ["white space", " \n", "json", notJson],
  ["a word", "hello", "json", notJson],
  ["half a frame", `{"type":"ack","offset":`, "json", notJson],
  ["two frames", `{"type":"pong"}{"type":"pong"}`, "json", notJson],
  ["a byte order mark", `\ufeff{"type":"pong"}`, "json", notJson],
  ["a comment", `{"type":"pong"} // here`, "json", notJson],
  ["single quotes", `{'type':'pong'}`, "json", notJson],
  ["not a number", `{"type":"ack","offset":NaN}`, "json", notJson],
  ["a NUL", `{"type":"pong"}\u0000`, "json", notJson],

  ["null", "null", "type", noType],
  ["a number", "1e400", "type", noType],
  ["a string", `"hello"`, "type", noType],
  ["a list of frames", `[{"type":"pong"}]`, "type", noType],
  ["an empty object", "{}", "type", noType],
  ["a type that is null", `{"type":null}`, "type", noType],
  ["a type that is a number", `{"type":1}`, "type", noType],
  ["a type that is a list", `{"type":["hello"]}`, "type", noType],
  ["a type that only a prototype has", `{"__proto__":{"type":"pong"}}`, "type", noType],

  ["an unknown type", `{"type":"subscribe"}`, "type", noClientType],
  ["a type in capitals", `{"type":"PONG"}`, "type", noClientType],
  ["a type with a space", `{"type":"pong "}`, "type", noClientType],
  ["the type __proto__", `{"type":"__proto__"}`, "type", noClientType],
  ["the type constructor", `{"type":"constructor"}`, "type", noClientType],
  ["the type toString", `{"type":"toString"}`, "type", noClientType],
  ["an empty type", `{"type":""}`, "type", noClientType],

  ["an ack without offset", `{"type":"ack"}`, "fields", `ack: Missing key at ["offset"]`],
  ["an offset as text", `{"type":"ack","offset":"7"}`, "fields", `ack: Expected number at ["offset"]`],
  ["an offset that is null", `{"type":"ack","offset":null}`, "fields", `ack: Expected number at ["offset"]`],
  [
    "an offset below zero",
    `{"type":"ack","offset":-1}`,
    "fields",
    `ack: Expected a value greater than or equal to 0 at ["offset"]`
  ],
  ["half an offset", `{"type":"ack","offset":1.5}`, "fields", `ack: Expected an integer at ["offset"]`],
  [
    "an offset past the safe integers",
    `{"type":"ack","offset":9007199254740992}`,
    "fields",
    `ack: Expected an integer at ["offset"]`
  ],
  ["an offset of 308 digits", `{"type":"ack","offset":1e308}`, "fields", `ack: Expected an integer at ["offset"]`],
  ["an offset that overflows", `{"type":"ack","offset":1e999}`, "fields", `ack: Expected an integer at ["offset"]`],
  [
    "an offset that only a prototype has",
    `{"type":"ack","__proto__":{"offset":1}}`,
    "fields",
    `ack: Missing key at ["offset"]`
  ],

  ["a token that is a number", `{"type":"token","token":7}`, "fields", `token: Expected string at ["token"]`],
  ["a token frame without token", `{"type":"token"}`, "fields", `token: Missing key at ["token"]`],
  ["a hello with a token list", `{"type":"hello","token":["t"]}`, "fields", `hello: Expected string at ["token"]`],
  ["a hello with a null token", `{"type":"hello","token":null}`, "fields", `hello: Expected string at ["token"]`],
  [
    "a token nested deeply",
    `{"type":"hello","token":${nested(100_000)}}`,
    "fields",
    `hello: Expected string at ["token"]`
  ],
  ["a resume as text", `{"type":"hello","resume":"e:1"}`, "fields", `hello: Expected object at ["resume"]`],
  [
    "a resume without epoch",
    `{"type":"hello","resume":{"offset":1}}`,
    "fields",
    `hello: Missing key at ["resume"]["epoch"]`
  ],
  [
    "an epoch with a space",
    `{"type":"hello","resume":{"epoch":"a b","offset":1}}`,
    "fields",
    `hello: Expected a string matching the RegExp ^[A-Za-z0-9_-]{1,32}$ at ["resume"]["epoch"]`
  ],
  ["threads as text", `{"type":"hello","threads":"t"}`, "fields", `hello: Expected array at ["threads"]`],
  [
    "a thread that is no id",
    `{"type":"hello","threads":["t","{{t}}"]}`,
    "fields",
    `hello: ${noId("U+007B", 0)} at ["threads"][1]`
  ],
  [
    "fault 8: a thread with half a surrogate pair",
    String.raw`{"type":"hello","threads":["t\ud801"]}`,
    "fields",
    `hello: ${noId("U+D801", 1)} at ["threads"][0]`
  ],
  [
    "65 threads",
    JSON.stringify({ type: "hello", threads: Array.from({ length: 65 }, (_, i) => `t${i}`) }),
    "fields",
    `hello: Expected a value with a length of at most 64 at ["threads"]`
  ],
  [
    "a client name of 129 characters",
    JSON.stringify({ type: "hello", client: "x".repeat(129) }),
    "fields",
    `hello: Expected a value with a length of at most 128 at ["client"]`
  ]
]

const fromServers: ReadonlyArray<Case> = [
  ["a client's frame", `{"type":"hello"}`, "type", noServerType],
  [
    "an event without data",
    event(`"offset":1,"id":"i","type":"x","at":1`),
    "fields",
    `events: Missing key at ["events"][0]["data"]`
  ],
  [
    "an event whose data is a list",
    event(`"offset":1,"id":"i","type":"x","at":1,"data":[]`),
    "fields",
    `events: Expected object at ["events"][0]["data"]`
  ],
  [
    "an event without a type",
    event(`"offset":1,"id":"i","type":"","at":1,"data":{}`),
    "fields",
    `events: Expected a value with a length of at least 1 at ["events"][0]["type"]`
  ],
  [
    "an event with a placeholder id",
    event(`"offset":1,"id":"null","type":"x","at":1,"data":{}`),
    "fields",
    `events: "null" is a placeholder, not an id at ["events"][0]["id"]`
  ],
  [
    "a number that overflows inside data",
    event(`"offset":1,"id":"i","type":"x","at":1,"data":{"key":[1e999]}`),
    "fields",
    `events: Expected JSON value at ["events"][0]["data"]`
  ],
  [
    "a gap for no known reason",
    `{"type":"gap","epoch":"e","from":1,"to":2,"reason":"lunch"}`,
    "fields",
    `gap: Expected "retention" | "epoch" | "slow" at ["reason"]`
  ],
  [
    "a goodbye with a negative wait",
    `{"type":"goodbye","reason":"r","reconnectAfterMs":-1}`,
    "fields",
    `goodbye: Expected a value greater than or equal to 0 at ["reconnectAfterMs"]`
  ],
  [
    "a snapshot without a state",
    `{"type":"snapshot","run":"r","offset":1}`,
    "fields",
    `snapshot: Missing key at ["state"]`
  ]
]

const failure = (result: Result.Result<unknown, Frame.FrameError>): Frame.FrameError => {
  assert.isTrue(Result.isFailure(result), "the message was taken")
  return Result.getOrThrow(Result.flip(result))
}

const expectFrame = <A>(result: Result.Result<A, Frame.FrameError>, schema: Schema.Codec<A, unknown>) => {
  if (Result.isFailure(result)) assert.instanceOf(result.failure, Frame.FrameError)
  else assert.isTrue(Schema.is(schema)(result.success))
}

describe("FrameError", () => {
  for (const [what, text, reason, detail] of fromClients) {
    it(`tells a server that a client sent ${what}`, () => {
      assert.deepStrictEqual(failure(Frame.decodeClient(text)), new Frame.FrameError({ reason, detail }))
    })
  }

  for (const [what, text, reason, detail] of fromServers) {
    it(`tells a client that a server sent ${what}`, () => {
      assert.deepStrictEqual(failure(Frame.decodeServer(text)), new Frame.FrameError({ reason, detail }))
    })
  }

  it("does not come of deep nesting, where fields are unknown or of any shape", () => {
    assert.deepStrictEqual(
      Frame.decodeClient(`{"type":"pong","later":${nested(1_000_000)}}`),
      Result.succeed<Frame.ClientFrame>({ type: "pong" })
    )
    const read = Frame.decodeServer(event(`"offset":1,"id":"i","type":"x","at":1,"data":{"a":${nested(200_000)}}`))
    const frame = Result.getOrThrow(read)
    let levels = 0
    for (let at = frame.type === "events" ? frame.events[0]?.data["a"] : undefined; Array.isArray(at); at = at[0]) {
      levels++
    }
    assert.strictEqual(levels, 200_000)
  })

  it("changes no prototype, whatever the keys", () => {
    const keys = `{"__proto__":{"polluted":true},"constructor":{"prototype":{"polluted":true}}}`
    const read = Frame.decodeServer(event(`"offset":1,"id":"i","type":"x","at":1,"data":${keys}`))
    const frame = Result.getOrThrow(read)
    assert.strictEqual(frame.type === "events" ? JSON.stringify(frame.events[0]?.data) : "", keys)
    const polluted: unknown = Reflect.get({}, "polluted")
    assert.isUndefined(polluted)
  })

  describe("never quotes the message", () => {
    // Long enough that no message of ours holds it by chance, plain enough to survive any formatter.
    const secret = "s3cr3tTok3n0f0urUs3r"
    const places: ReadonlyArray<readonly [string, string]> = [
      ["as the whole message", secret],
      ["in broken JSON", `{"type":"hello","token":"${secret}`],
      ["as the type", `{"type":"${secret}"}`],
      ["as a long type", `{"type":"${secret.repeat(100)}"}`],
      ["as a key", `{"${secret}":1}`],
      ["as an epoch", `{"type":"hello","resume":{"epoch":"${secret}!","offset":1}}`],
      ["as an offset", `{"type":"ack","offset":"${secret}"}`],
      ["as a thread", `{"type":"hello","threads":["${secret} "]}`],
      ["as a key among threads", `{"type":"hello","threads":{"${secret}":1}}`],
      ["inside a token list", `{"type":"hello","token":["${secret}"]}`],
      ["beside a wrong field", `{"type":"hello","token":"${secret}","threads":1}`],
      ["as a client name", `{"type":"hello","client":"${secret.repeat(10)}"}`]
    ]
    for (const [where, text] of places) {
      it(`${where}`, () => {
        const error = failure(Frame.decodeClient(text))
        assert.notInclude(`${error.message} ${JSON.stringify(error)} ${String(error)} ${error.stack}`, secret)
      })
    }

    it("nor a payload's keys, on the client's side", () => {
      for (const data of [`{"${secret}":1e999}`, `{"a":[{"${secret}":1e999}]}`]) {
        const error = failure(Frame.decodeServer(event(`"offset":1,"id":"i","type":"x","at":1,"data":${data}`)))
        assert.notInclude(JSON.stringify(error), secret)
      }
      const state = `{"status":"active","messages":[],"tools":[],"usage":{},"result":{"${secret}":1e999}}`
      assert.notInclude(
        failure(Frame.decodeServer(`{"type":"snapshot","run":"r","offset":1,"state":${state}}`)).detail,
        secret
      )
    })
  })

  // Frames that are nearly right: some fields right, some of any kind, some missing.
  const nearly = Arbitrary.schema(Schema.Struct({
    type: Schema.Union([Schema.Literals(["hello", "ack", "pong", "token", "events", "snapshot", "gap"]), Schema.Json]),
    token: Schema.optionalKey(Schema.Json),
    offset: Schema.optionalKey(Schema.Json),
    resume: Schema.optionalKey(Schema.Union([Schema.Json, Schema.Struct({ epoch: Schema.Json, offset: Schema.Json })])),
    threads: Schema.optionalKey(Schema.Union([Schema.Array(Schema.Json), Schema.Json])),
    client: Schema.optionalKey(Schema.Json),
    events: Schema.optionalKey(
      Schema.Array(Schema.Struct({ offset: Schema.Json, id: Schema.Json, data: Schema.Json }))
    ),
    state: Schema.optionalKey(Schema.Struct({ status: Schema.Json, usage: Schema.Json, result: Schema.Json }))
  }))

  it.prop("is the only thing that ever goes wrong", { frame: nearly, text: Schema.String }, ({ frame, text }) => {
    for (const message of [text, JSON.stringify(frame), JSON.stringify(frame).slice(0, -1)]) {
      expectFrame(Frame.decodeClient(message), Frame.ClientFrame)
      expectFrame(Frame.decodeServer(message), Frame.ServerFrame)
    }
  }, { arbitrary: { runs: 1000 } })
})
