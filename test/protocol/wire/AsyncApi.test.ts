import { DiagnosticSeverity, Parser } from "@asyncapi/parser"
import { assert, describe, it } from "@effect/vitest"
import { Ajv } from "ajv"
import { Schema } from "effect"
import * as AgentEvents from "../../../src/protocol/event/AgentEvents.ts"
import * as AsyncApi from "../../../src/protocol/wire/AsyncApi.ts"
import { closeCodes } from "../../../src/protocol/wire/CloseCode.ts"
import * as Event from "../../../src/protocol/event/Event.ts"
import { builtInEvents } from "../events.ts"
import { clientFrames, serverFrames } from "../frames.ts"
import { golden } from "../golden.ts"

const options: AsyncApi.Options = {
  title: "Events of an app",
  version: "1.2.3",
  servers: {
    production: { host: "app.example.com", protocol: "wss", description: "for everybody" },
    local: { host: "127.0.0.1:4321", protocol: "ws", pathname: "/api" }
  }
}

type Frame = { readonly type: string; readonly [field: string]: unknown }

/** The parser takes seconds, so it is asked seldom. */
const parserTime = 60_000

const parse = async (document: Schema.JsonObject) => {
  const { diagnostics, document: parsed } = await new Parser().parse(JSON.stringify(document))
  const problems = diagnostics
    .filter(({ severity }) => severity <= DiagnosticSeverity.Warning)
    .map(({ code, message, path }) => ({ code, message, path: path.join("/") }))
  return { problems, parsed: parsed ?? assert.fail(JSON.stringify(problems)) }
}

/** Checks payloads against the schema of a message. */
const checker = (document: Schema.JsonObject) => {
  const ajv = new Ajv({ strict: false, allErrors: true })
  ajv.addSchema(document, "document")
  return (payload: Frame) => {
    const check = ajv.getSchema(`document#/components/schemas/${nameOf(payload)}`) ?? assert.fail(`no ${payload.type}`)
    return check(payload) === true ? [] : (check.errors ?? []).map(({ instancePath }) => instancePath)
  }
}

const frame = (text: string): Frame => JSON.parse(text)

/** The name of the message that a frame is. */
const nameOf = ({ outcome, type }: Frame) => type === "command" && outcome !== undefined ? "commandOutcome" : type

const event = (type: string, data: object) => ({
  type: "events",
  epoch: "e",
  events: [{ offset: 1, id: "i", type, at: 1, data }]
})

describe("AsyncApi", () => {
  const document = AsyncApi.make(options)

  const check = checker(document)

  it("is accepted by the AsyncAPI parser, and read as it is meant", async () => {
    const { parsed, problems } = await parse(document)
    assert.deepStrictEqual(problems, [])
    assert.strictEqual(parsed.version(), "3.0.0")
    assert.strictEqual(parsed.info().title(), "Events of an app")
    assert.strictEqual(parsed.info().version(), "1.2.3")
    assert.deepStrictEqual(parsed.servers().all().map((server) => server.url()), [
      "wss://app.example.com/",
      "ws://127.0.0.1:4321/api"
    ])
    assert.deepStrictEqual(parsed.channels().all().map((channel) => channel.address()), [
      "/events",
      "/events",
      "/events"
    ])

    const types = (frames: Record<string, { readonly type: string }>) =>
      [...new Set(Object.values(frames).map((each) => nameOf({ ...each })))].toSorted()
    const names = (messages: ReadonlyArray<{ name(): string | undefined }>) =>
      messages.map((message) => message.name()).toSorted()
    const { receive, send } = {
      receive: parsed.operations().filterByReceive().flatMap((operation) => operation.messages().all()),
      send: parsed.operations().filterBySend().flatMap((operation) => operation.messages().all())
    }
    assert.deepStrictEqual(
      names(receive),
      ["acknowledgement", "signOfLife", "command", ...types(clientFrames)].toSorted()
    )
    assert.deepStrictEqual(names(send), types(serverFrames))
  }, parserTime)

  it("fault 46: describes the pong that is posted, with the connection it speaks for", () => {
    const { channels, components, operations } = Schema.decodeUnknownSync(Schema.Struct({
      channels: Schema.Struct({
        acknowledgements: Schema.Struct({ messages: Schema.Record(Schema.String, Schema.Unknown) })
      }),
      components: Schema.Struct({
        schemas: Schema.Struct({ signOfLife: Schema.Struct({ required: Schema.Array(Schema.String) }) })
      }),
      operations: Schema.Struct({ acknowledge: Schema.Struct({ messages: Schema.Array(Schema.Unknown) }) })
    }))(document)
    assert.deepStrictEqual(channels.acknowledgements.messages["signOfLife"], {
      $ref: "#/components/messages/signOfLife"
    })
    assert.deepStrictEqual(operations.acknowledge.messages, [
      { $ref: "#/channels/acknowledgements/messages/acknowledgement" },
      { $ref: "#/channels/acknowledgements/messages/signOfLife" }
    ])
    assert.deepStrictEqual(components.schemas.signOfLife.required, ["type", "connection"])
  })

  it("names every close code", () => {
    const text = JSON.stringify(document)
    for (const { code, name, reaction } of Object.values(closeCodes)) {
      assert.include(text, `- ${code} ${name}: `)
      assert.include(text, `(the client's reaction: ${reaction})`)
    }
  })

  for (const name of [...Object.keys(clientFrames), ...Object.keys(serverFrames)]) {
    it(`describes the golden frame ${name}`, () => {
      assert.deepStrictEqual(check(frame(golden("frame", name))), [])
    })
  }

  for (const name of Object.keys(builtInEvents)) {
    it(`describes the golden event ${name}`, () => {
      assert.deepStrictEqual(check(frame(`{"type":"events","epoch":"e","events":[${golden("event", name)}]}`)), [])
    })
  }

  const noStatus = { parts: [], usage: { inputTokens: 0, outputTokens: 0 } }
  const broken: ReadonlyArray<readonly [what: string, payload: Frame, at: string]> = [
    ["an ack without offset", { type: "ack" }, ""],
    ["an ack of a fraction", { type: "ack", offset: 1.5 }, "/offset"],
    ["an epoch with a space", { type: "hello", resume: { epoch: "a b", offset: 0 } }, "/resume/epoch"],
    ["a thread with braces", { type: "hello", threads: ["{{t}}"] }, "/threads/0"],
    ["a thread with a control character", { type: "hello", threads: ["a\u0085"] }, "/threads/0"],
    ["a thread of 129 characters", { type: "hello", threads: ["x".repeat(129)] }, "/threads/0"],
    ["an unknown reason for a gap", { type: "gap", epoch: "e", from: 1, to: 1, reason: "lunch" }, "/reason"],
    ["a delta that is a number", event("text_delta", { messageId: "m", delta: 7 }), "/events/0/data/delta"],
    ["progress over 100", event("progress_update", { progress: 101 }), "/events/0/data/progress"],
    ["a command without a run", { type: "command", id: "c", name: "cancel" }, ""],
    ["a command in capitals", { type: "command", id: "c", run: "r", name: "Stop" }, "/name"],
    ["a refusal without a reason", { type: "command", id: "c", outcome: "refused" }, ""],
    ["a snapshot of no status", { type: "snapshot", run: "r", offset: 1, state: noStatus }, "/state"]
  ]
  for (const [what, payload, at] of broken) {
    it(`does not describe ${what}`, () => {
      assert.include(check(payload), at)
    })
  }

  it("leaves events of other types open", () => {
    assert.deepStrictEqual(check(event("new_thing", { anything: [1] })), [])
  })

  it("describes a catalog of the program's own, also where its schemas have names or are recursive", async () => {
    interface Comment {
      readonly text: string
      readonly replies: ReadonlyArray<Comment>
    }
    const Comment = Schema.Struct({
      text: Schema.String,
      replies: Schema.Array(Schema.suspend((): Schema.Codec<Comment> => Comment))
    }).annotate({ identifier: "a/Comment" })
    const catalog = Event.catalog(
      Event.make("comment_added", { payload: { comment: Comment } }),
      Event.make("event_renamed", { payload: { event: Schema.String.annotate({ identifier: "Event" }) } })
    )
    const own = AsyncApi.make({ title: "t", version: "1", path: "/live", catalog })
    const checkOwn = checker(own)
    const reply = (text: unknown) =>
      event("comment_added", { comment: { text: "a", replies: [{ text, replies: [] }] } })

    assert.deepStrictEqual((await parse(own)).problems, [])
    assert.deepStrictEqual(checkOwn(reply("b")), [])
    assert.include(checkOwn(reply(7)), "/events/0/data/comment/replies/0/text")
    assert.deepStrictEqual(checkOwn(event("event_renamed", { event: "new" })), [])
    assert.include(checkOwn(event("event_renamed", { event: {} })), "/events/0/data/event")
    assert.deepStrictEqual(checkOwn(event("text_delta", {})), [])
  }, parserTime)

  it("is plain JSON, made anew each time", () => {
    assert.deepStrictEqual<unknown>(JSON.parse(JSON.stringify(document)), document)
    assert.deepStrictEqual(AsyncApi.make(options), document)
    assert.notStrictEqual(AsyncApi.make(options), document)
    assert.deepStrictEqual(AsyncApi.make({ ...options, catalog: AgentEvents.catalog }), document)
  })
})
