import { assert, describe, expectTypeOf, it } from "@effect/vitest"
import { Effect, Result, Schema } from "effect"
import * as AgentEvents from "../../../src/protocol/event/AgentEvents.ts"
import * as Envelope from "../../../src/protocol/wire/Envelope.ts"
import type * as Event from "../../../src/protocol/event/Event.ts"
import * as Frame from "../../../src/protocol/wire/Frame.ts"
import type { RunId } from "../../../src/protocol/values/Identity.ts"
import { builtInEvents } from "../events.ts"
import { golden, goldenNames } from "../golden.ts"
import { roundTrips, schemasOf } from "../roundTrip.ts"

const definitions = [...AgentEvents.catalog.definitions.values()]

/** The catalog as the design fixes it. */
const table: ReadonlyArray<
  readonly [name: string, delivery: Event.DeliveryClass, scope: Event.EventScope, fields: string, merged?: object]
> = [
  ["agent_started", "critical", "run", "agentName input? parentRunId? commands?"],
  ["agent_thinking", "critical", "run", "text step?"],
  ["tool_executing", "critical", "run", "toolCallId toolName input"],
  ["tool_completed", "critical", "run", "toolCallId toolName output isError durationMs"],
  ["agent_completed", "critical", "run", "agentName result? durationMs usage?"],
  ["agent_error", "critical", "run", "reason message retryable by?"],
  [
    "input_requested",
    "critical",
    "run",
    "requestId kind title detail? schema? options? toolCallId? sensitive? expiresAt?"
  ],
  ["input_resolved", "critical", "run", "requestId outcome answer? client?"],
  ["tool_input_delta", "batched", "run", "toolCallId toolName delta", {
    _tag: "Concatenate",
    by: "toolCallId",
    text: "delta"
  }],
  ["message_completed", "batched", "run", "messageId"],
  ["step_started", "critical", "run", "name"],
  ["step_finished", "critical", "run", "name"],
  ["state_snapshot", "batched", "run", "state"],
  ["state_delta", "batched", "run", "patch"],
  ["source_cited", "batched", "run", "sourceId title? url? excerpt?"],
  ["file_produced", "critical", "run", "fileId mediaType name? url? data?"],
  ["text_delta", "batched", "run", "messageId delta", { _tag: "Concatenate", by: "messageId", text: "delta" }],
  ["thinking_delta", "batched", "run", "messageId delta", { _tag: "Concatenate", by: "messageId", text: "delta" }],
  ["progress_update", "batched", "run", "progress message?", { _tag: "Newest" }],
  ["usage_reported", "batched", "run", "inputTokens outputTokens cost? operation?"],
  ["custom", "batched", "free", "name data"],
  ["auth_started", "critical", "free", "provider? reason?"],
  ["auth_validating", "critical", "free", "provider? reason?"],
  ["auth_completed", "critical", "free", "provider? reason?"],
  ["auth_failed", "critical", "free", "provider? reason?"]
]

/** The fields of a payload as JSON Schema tells them. */
const fieldsOf = (payload: Event.PayloadSchema): ReadonlyArray<string> => {
  const { schema } = Schema.toJsonSchemaDocument(payload)
  const required: ReadonlyArray<unknown> = Array.isArray(schema["required"]) ? schema["required"] : []
  return Object.keys(Object(schema["properties"])).map((key) => required.includes(key) ? key : `${key}?`)
}

const encodePayload = (event: Event.Event) =>
  Schema.encodeUnknownEffect(event.definition.payload)(event.payload).pipe(
    Effect.flatMap(Schema.decodeUnknownEffect(Schema.JsonObject))
  )

/** The text of an event at offset 7, of a run if it needs one. */
const wireText = (event: Event.Event) =>
  Effect.map(encodePayload(event), (data) => {
    const run = event.definition.scope === "run" ? { run: "run-7" } : {}
    const confirm = event.definition.confirm === undefined ? {} : { confirm: true }
    const rest = { id: "01JD8Q2W", type: event.type, at: 1_732_320_000_000, ...run, ...confirm, data }
    return Envelope.toJson(7, JSON.stringify(rest).slice(1))
  })

const refused = (definition: Event.AnyDefinition, payload: unknown): string | undefined => {
  const result = Schema.decodeUnknownResult(definition.payload, { errors: "all" })(payload)
  return Result.isFailure(result) ? result.failure.message.replaceAll(/\s*\n\s*/g, " ") : undefined
}

describe("AgentEvents", () => {
  it("has exactly the events of the built-in catalog", () => {
    assert.deepStrictEqual(
      definitions.map((
        { coalesce, delivery, name, payload, scope }
      ) => [name, delivery, scope, fieldsOf(payload), coalesce]),
      table.map(([name, delivery, scope, fields, merged]) => [name, delivery, scope, fields.split(" "), merged])
    )
  })

  it("asks for confirmation of the auth events, with 5 attempts, and of no others", () => {
    const confirmed = definitions.filter(({ confirm }) => confirm !== undefined)
    assert.deepStrictEqual(confirmed.map(({ name }) => name), [
      "auth_started",
      "auth_validating",
      "auth_completed",
      "auth_failed"
    ])
    for (const { confirm } of confirmed) assert.deepStrictEqual(confirm, { attempts: 5, within: "2 seconds" })
  })

  roundTrips([
    ...schemasOf(AgentEvents),
    ...definitions.map(({ name, payload }) => [name, payload] as const)
  ])

  describe("golden files", () => {
    it("exist for exactly the events listed here, and every kind of event is among them", () => {
      assert.deepStrictEqual(goldenNames("event"), Object.keys(builtInEvents).toSorted())
      assert.deepStrictEqual(
        [...new Set(Object.values(builtInEvents).map(({ type }) => type))].toSorted(),
        definitions.map(({ name }) => name).toSorted()
      )
    })

    for (const [name, event] of Object.entries(builtInEvents)) {
      it.effect(`${name} is written as it stands in its file, byte for byte`, () =>
        Effect.gen(function*() {
          assert.strictEqual(yield* wireText(event), golden("event", name))
        }))

      it.effect(`${name} is read back from its file, inside a frame and by its definition`, () =>
        Effect.gen(function*() {
          const text = `{"type":"events","epoch":"k3J9xQ","events":[${golden("event", name)}]}`
          const frame = yield* Effect.fromResult(Frame.decodeServer(text))
          assert.strictEqual(Frame.encode(frame), text)

          const data = frame.type === "events" ? frame.events[0]?.data : undefined
          const decoded = yield* Schema.decodeUnknownEffect(event.definition.payload)(data)
          assert.deepStrictEqual(decoded, event.payload)
        }))
    }
  })

  it("fault 8: refuses half a surrogate pair in every name and id of every event, with its path", () => {
    for (const [name, { definition, payload, type }] of Object.entries(builtInEvents)) {
      for (const [key, value] of Object.entries(payload)) {
        const isName =
          /^(agentName|parentRunId|toolName|toolCallId|requestId|messageId|sourceId|fileId|mediaType|operation|provider|name)$/
            .test(
              key
            )
        if (typeof value !== "string" || type === "agent_error" || /^(kind|outcome)$/.test(key)) continue
        for (const half of ["\ud801", "\udc01"]) {
          const reason = refused(definition, { ...payload, [key]: `x${half}` })
          if (isName) assert.match(reason ?? "", new RegExp(`well-formed Unicode.* at \\["${key}"\\]$`, "u"), name)
          else assert.isUndefined(reason, `${name}.${key}`)
        }
      }
    }
  })

  describe("refuses", () => {
    const long = "x".repeat(257)
    const cases: ReadonlyArray<readonly [what: string, Event.AnyDefinition, payload: unknown, reason: string]> = [
      ["an agent without a name", AgentEvents.AgentStarted, {}, `Missing key at ["agentName"]`],
      [
        "an empty name",
        AgentEvents.AgentStarted,
        { agentName: "" },
        `Expected a value with a length between 1 and 256 at ["agentName"]`
      ],
      [
        "a name of 257 characters",
        AgentEvents.AgentStarted,
        { agentName: long },
        `Expected a value with a length between 1 and 256 at ["agentName"]`
      ],
      [
        "a parent that is a placeholder",
        AgentEvents.AgentStarted,
        { agentName: "a", parentRunId: "None" },
        `"None" is a placeholder, not an id at ["parentRunId"]`
      ],
      [
        "an input that is no JSON",
        AgentEvents.AgentStarted,
        { agentName: "a", input: 1n },
        `Expected JSON value at ["input"]`
      ],
      ["half a step", AgentEvents.AgentThinking, { text: "", step: 0.5 }, `Expected an integer at ["step"]`],
      [
        "a step below zero",
        AgentEvents.AgentThinking,
        { text: "", step: -1 },
        `Expected a value greater than or equal to 0 at ["step"]`
      ],
      [
        "a tool call without input",
        AgentEvents.ToolExecuting,
        { toolCallId: "t", toolName: "n" },
        `Missing key at ["input"]`
      ],
      [
        "a duration that is not a number",
        AgentEvents.AgentCompleted,
        { agentName: "a", durationMs: Number.NaN },
        `Expected a finite number at ["durationMs"] Expected a value greater than or equal to 0 at ["durationMs"]`
      ],
      [
        "a duration below zero",
        AgentEvents.AgentCompleted,
        { agentName: "a", durationMs: -1 },
        `Expected a value greater than or equal to 0 at ["durationMs"]`
      ],
      [
        "an unknown reason",
        AgentEvents.AgentError,
        { reason: "bored", message: "", retryable: true },
        `Expected "failed" | "cancelled" | "timeout" | "lost" at ["reason"]`
      ],
      [
        "a command whose name is none",
        AgentEvents.AgentStarted,
        { agentName: "a", commands: ["cancel", "Steer"] },
        `Expected a string matching the RegExp ^[a-z][a-z0-9_.]{0,63}$ at ["commands"][1]`
      ],
      [
        "an ending by nobody that is known",
        AgentEvents.AgentError,
        { reason: "cancelled", message: "", retryable: true, by: "cat" },
        `Expected "user" | "program" at ["by"]`
      ],
      [
        "a request of an unknown kind",
        AgentEvents.InputRequested,
        { requestId: "r", kind: "riddle", title: "?" },
        `Expected "approval" | "choice" | "text" | "form" at ["kind"]`
      ],
      [
        "a request whose id no answer could name",
        AgentEvents.InputRequested,
        { requestId: "null", kind: "text", title: "?" },
        `"null" is a placeholder, not an id at ["requestId"]`
      ],
      [
        "a title of more than a line",
        AgentEvents.InputRequested,
        { requestId: "r", kind: "text", title: "x".repeat(1_025) },
        `Expected a value with a length between 1 and 1024 at ["title"]`
      ],
      [
        "an option without a value",
        AgentEvents.InputRequested,
        { requestId: "r", kind: "choice", title: "?", options: [{ label: "The first" }] },
        `Missing key at ["options"][0]["value"]`
      ],
      [
        "a schema that is no object",
        AgentEvents.InputRequested,
        { requestId: "r", kind: "form", title: "?", schema: true },
        `Expected object at ["schema"]`
      ],
      [
        "an unknown outcome of a request",
        AgentEvents.InputResolved,
        { requestId: "r", outcome: "ignored" },
        `Expected "answered" | "expired" | "withdrawn" at ["outcome"]`
      ],
      [
        "a change that is no operation of JSON Patch",
        AgentEvents.StateDelta,
        { patch: [{ op: "increment", path: "/n" }] },
        `Expected ${
          ["add", "remove", "replace", "move", "copy", "test"].map((op) => `{ readonly "op": "${op}", ... }`).join(
            " | "
          )
        } at ["patch"][0]`
      ],
      [
        "a change of a place that no pointer names",
        AgentEvents.StateDelta,
        { patch: [{ op: "remove", path: "n" }] },
        `Expected a string matching the RegExp ^(\\/([^~/]|~[01])*)*$ at ["patch"][0]["path"]`
      ],
      [
        "an excerpt that is a book",
        AgentEvents.SourceCited,
        { sourceId: "s", excerpt: "x".repeat(4_097) },
        `Expected a value with a length of at most 4096 at ["excerpt"]`
      ],
      [
        "a file that is too large to be told of whole",
        AgentEvents.FileProduced,
        { fileId: "f", mediaType: "image/png", data: "x".repeat(131_073) },
        `Expected a value with a length of at most 131072 at ["data"]`
      ],
      [
        "a delta that is no text",
        AgentEvents.TextDelta,
        { messageId: "m", delta: null },
        `Expected string at ["delta"]`
      ],
      [
        "progress below 0",
        AgentEvents.ProgressUpdate,
        { progress: -0.1 },
        `Expected a value between 0 and 100 at ["progress"]`
      ],
      [
        "progress over 100",
        AgentEvents.ProgressUpdate,
        { progress: 100.1 },
        `Expected a value between 0 and 100 at ["progress"]`
      ],
      [
        "infinite progress",
        AgentEvents.ProgressUpdate,
        { progress: Infinity },
        `Expected a finite number at ["progress"] Expected a value between 0 and 100 at ["progress"]`
      ],
      [
        "tokens past the safe integers",
        AgentEvents.UsageReported,
        { inputTokens: 2 ** 53, outputTokens: 0 },
        `Expected an integer at ["inputTokens"]`
      ],
      [
        "negative cost",
        AgentEvents.UsageReported,
        { inputTokens: 0, outputTokens: 0, cost: -1 },
        `Expected a value greater than or equal to 0 at ["cost"]`
      ],
      ["a function as data", AgentEvents.Custom, { name: "n", data: () => 1 }, `Expected JSON value at ["data"]`],
      [
        "undefined inside data",
        AgentEvents.Custom,
        { name: "n", data: { a: undefined } },
        `Expected JSON value at ["data"]`
      ]
    ]
    for (const [what, definition, payload, reason] of cases) {
      it(`${what}`, () => {
        assert.strictEqual(refused(definition, payload), reason)
      })
    }
  })

  it("take what is as long as the protocol says, and nothing longer", () => {
    const text = (length: number) => "x".repeat(length)
    const file = { fileId: "f", mediaType: "text/plain" }
    const request = { requestId: "r", kind: "text", title: "?" }
    const bounds: ReadonlyArray<readonly [Event.AnyDefinition, max: number, of: (length: number) => object]> = [
      [AgentEvents.StepStarted, 256, (length) => ({ name: text(length) })],
      [AgentEvents.AgentStarted, 64, (length) => ({ agentName: "a", commands: Array(length).fill("steer") })],
      [AgentEvents.InputRequested, 1_024, (length) => ({ ...request, title: text(length) })],
      [AgentEvents.InputRequested, 4_096, (length) => ({ ...request, detail: text(length) })],
      [AgentEvents.InputResolved, 128, (length) => ({ requestId: "r", outcome: "answered", client: text(length) })],
      [AgentEvents.SourceCited, 1_024, (length) => ({ sourceId: "s", title: text(length) })],
      [AgentEvents.SourceCited, 4_096, (length) => ({ sourceId: "s", url: text(length) })],
      [AgentEvents.SourceCited, 4_096, (length) => ({ sourceId: "s", excerpt: text(length) })],
      [AgentEvents.FileProduced, 131_072, (length) => ({ ...file, data: text(length) })]
    ]
    for (const [{ name, payload }, max, of] of bounds) {
      const takes = [max, max + 1].map((length) => Schema.is(payload)(of(length)))
      assert.deepStrictEqual(takes, [true, false], `${name}: ${max}`)
    }
  })

  describe("types", () => {
    it("types every payload", () => {
      expectTypeOf(AgentEvents.AgentStarted.make).parameter(0).branded.toEqualTypeOf<
        {
          readonly agentName: string
          readonly input?: Schema.Json
          readonly parentRunId?: RunId
          readonly commands?: ReadonlyArray<string>
        }
      >()
      expectTypeOf(AgentEvents.AgentThinking.make).parameter(0).branded.toEqualTypeOf<
        { readonly text: string; readonly step?: number }
      >()
      expectTypeOf(AgentEvents.ToolExecuting.make).parameter(0).branded.toEqualTypeOf<
        { readonly toolCallId: string; readonly toolName: string; readonly input: Schema.Json }
      >()
      expectTypeOf(AgentEvents.AgentError.make).parameter(0).branded.toEqualTypeOf<
        {
          readonly reason: "failed" | "cancelled" | "timeout" | "lost"
          readonly message: string
          readonly retryable: boolean
          readonly by?: "user" | "program"
        }
      >()
      expectTypeOf<Omit<Parameters<typeof AgentEvents.InputRequested.make>[0], "schema">>().branded.toEqualTypeOf<
        {
          readonly requestId: string
          readonly kind: "approval" | "choice" | "text" | "form"
          readonly title: string
          readonly detail?: string
          readonly options?: ReadonlyArray<{ readonly value: string; readonly label?: string }>
          readonly toolCallId?: string
          readonly sensitive?: boolean
          readonly expiresAt?: number
        }
      >()
      expectTypeOf<typeof AgentEvents.InputRequested.payload.Type["schema"]>()
        .toEqualTypeOf<Schema.JsonObject | undefined>()
      expectTypeOf(AgentEvents.InputResolved.make).parameter(0).branded.toEqualTypeOf<
        {
          readonly requestId: string
          readonly outcome: "answered" | "expired" | "withdrawn"
          readonly answer?: Schema.Json
          readonly client?: string
        }
      >()
      expectTypeOf(AgentEvents.TextDelta.make).parameter(0).branded.toEqualTypeOf<
        { readonly messageId: string; readonly delta: string }
      >()
      expectTypeOf(AgentEvents.AuthFailed.make).parameter(0).branded.toEqualTypeOf<
        { readonly provider?: string; readonly reason?: string }
      >()
    })

    it("refuses payloads of another event, and fields that do not exist", () => {
      const wrong = [
        // @ts-expect-error a text is no name
        AgentEvents.AgentStarted.make({ text: "hello" }),
        // @ts-expect-error no such reason
        AgentEvents.AgentError.make({ reason: "bored", message: "", retryable: true }),
        // @ts-expect-error a plain string is no run id
        AgentEvents.AgentStarted.make({ agentName: "a", parentRunId: "run-1" }),
        // @ts-expect-error undefined is no value of a field that is needed
        AgentEvents.AgentThinking.make({ text: undefined }),
        // @ts-expect-error a date is no JSON
        AgentEvents.Custom.make({ name: "n", data: new Date(0) })
      ]
      assert.lengthOf(wrong, 5)
    })
  })
})
