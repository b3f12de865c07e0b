/**
 * What may happen to a run, named or drawn at random.
 */
import { assert } from "@effect/vitest"
import { Arbitrary, Schema } from "effect"
import * as AgentEvents from "../../../src/protocol/event/AgentEvents.ts"
import type * as RunEvents from "../../../src/protocol/event/RunEvents.ts"
import { maxText } from "../../../src/protocol/run/RunSnapshot.ts"

export interface Happening {
  readonly type: string
  readonly data: Schema.JsonObject
  readonly at: number
  readonly keep?: RunEvents.Keep | undefined
}

export const int = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))

const oneOf = <A>(items: ReadonlyArray<A>, first: A) =>
  Arbitrary.map(Arbitrary.schema(int(0, items.length)), (index) => items[index] ?? first)

export const eventNames = [...AgentEvents.catalog.definitions.keys()]

/** Well-formed events, by name: the payloads are drawn from the catalog's own schemas. */
const wellFormed = eventNames.map((type): Arbitrary.Arbitrary<Happening> => {
  const definition = AgentEvents.catalog.definitions.get(type) ?? assert.fail(type)
  const payload = Arbitrary.map(Arbitrary.schema(definition.payload), Schema.decodeUnknownSync(Schema.JsonObject))
  return Arbitrary.map(
    Arbitrary.all({ data: payload, at: Arbitrary.schema(int(0, 2 ** 41)) }),
    (rest) => ({ type, ...rest })
  )
})

export const anyWellFormed = Arbitrary.flatMap(
  Arbitrary.schema(int(0, wellFormed.length - 1)),
  (index) => wellFormed[index] ?? assert.fail("no such event")
)

const fields = [
  "agentName parentRunId text step toolCallId toolName isError durationMs progress message",
  "inputTokens outputTokens cost result reason messageId delta",
  "name sourceId url excerpt fileId mediaType data state patch",
  "input commands by requestId kind title detail schema options sensitive expiresAt outcome answer client"
].join(" ").split(" ")

/** Events of known and unknown names whose fields hold anything at all. */
export const garbage: Arbitrary.Arbitrary<Happening> = Arbitrary.map(
  Arbitrary.all({
    type: oneOf([...eventNames, "order_placed", "__proto__"], "text_delta"),
    data: Arbitrary.all(Object.fromEntries(fields.map((field) => [field, Arbitrary.schema(Schema.Json)]))),
    at: Arbitrary.schema(int(0, 2 ** 41))
  }),
  (happening) => happening
)

// Pieces from one character to more than a snapshot keeps; some are made of surrogate pairs, at odd and even places.
const pieces = [
  "x",
  "é",
  "👩",
  "y👩",
  "👩".repeat(20_000),
  `z${"🙂".repeat(maxText / 2)}`,
  "w".repeat(maxText),
  "v".repeat(3 * maxText)
]

export const delta: Arbitrary.Arbitrary<Happening> = Arbitrary.map(
  Arbitrary.all({
    type: oneOf(["text_delta", "thinking_delta"], "text_delta"),
    message: Arbitrary.schema(int(0, 3)),
    piece: oneOf(pieces, "x")
  }),
  ({ message, piece, type }) => ({ type, data: { messageId: `m${message}`, delta: piece }, at: 0 })
)

export const tool: Arbitrary.Arbitrary<Happening> = Arbitrary.map(
  Arbitrary.all({
    type: oneOf(["tool_executing", "tool_completed"], "tool_executing"),
    id: Arbitrary.schema(int(0, 200))
  }),
  ({ id, type }) => ({
    type,
    data: { toolCallId: `t${id}`, toolName: "n", input: null, output: null, isError: id % 3 === 0, durationMs: id },
    at: 0
  })
)

/** A run as it may come: few ids, so that texts, thoughts and calls take turns, and inputs and outputs of every size. */
const sizes = [0, 1, 40, 1_000, 4_080, 4_200, 70_000]
export const story: Arbitrary.Arbitrary<Happening> = Arbitrary.map(
  Arbitrary.all({
    type: oneOf(
      [
        "text_delta",
        "thinking_delta",
        "agent_thinking",
        "tool_executing",
        "tool_completed",
        "progress_update",
        "usage_reported",
        "input_requested",
        "input_requested",
        "input_resolved",
        "tool_input_delta",
        "tool_input_delta",
        "message_completed",
        "step_started",
        "step_finished",
        "source_cited",
        "file_produced",
        "state_snapshot",
        "state_delta",
        "state_delta",
        "order_placed",
        "agent_started",
        "agent_completed",
        "agent_error",
        "custom"
      ],
      "text_delta"
    ),
    id: Arbitrary.schema(int(0, 5)),
    size: oneOf(sizes, 0),
    at: Arbitrary.schema(int(0, 1_000))
  }),
  ({ at, id, size, type }) => ({
    type,
    data: {
      agentName: "a",
      input: { q: "é".repeat(size / 2) },
      messageId: `m${id}`,
      delta: `${id} ${"+".repeat(type === "tool_input_delta" ? Math.min(size, 4_200) : 0)}`,
      text: `thought ${id}`,
      step: id,
      toolCallId: `t${id}`,
      toolName: "n",
      output: "x".repeat(size),
      isError: id === 0,
      durationMs: id,
      progress: id,
      inputTokens: id,
      outputTokens: id,
      message: "m",
      reason: "failed",
      retryable: true,
      by: id % 2 === 0 ? "user" : "program",
      commands: ["cancel"],
      requestId: `r${id}-${at % 8}`,
      kind: id % 2 === 0 ? "form" : "choice",
      title: `title ${id}`,
      detail: "d".repeat(Math.min(size, 4_096)),
      schema: { description: "x".repeat(size) },
      options: [{ value: "y".repeat(size) }],
      sensitive: id % 3 === 0,
      expiresAt: at,
      outcome: id % 2 === 0 ? "answered" : "expired",
      answer: { secret: "z".repeat(size) },
      client: "c",
      name: `step ${id}`,
      sourceId: `s${id}`,
      url: `https://example.com/${at}`,
      excerpt: "e".repeat(Math.min(size, 4_096)),
      fileId: `f${id}`,
      state: { n: size, list: ["s".repeat(Math.min(size, 4_000))] },
      patch: [
        { op: id === 0 ? "test" : "add", path: "/n", value: id },
        { op: "add", path: "/list/-", value: "p".repeat(Math.min(size, 4_000)) }
      ],
      mediaType: "text/plain",
      ...(id === 1 ? {} : { data: "f".repeat(size) })
    },
    at,
    keep: type !== "order_placed" || id === 0 ? undefined : id % 2 === 0 ? "newest" : "part"
  })
)

export const of = (name: string, data: Schema.JsonObject, at = 0): Happening => ({ type: name, data, at })
