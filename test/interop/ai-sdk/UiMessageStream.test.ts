/**
 * Every stream of a run is one that the readers of `ai` accept, and shows what was emitted.
 */
import { assert, describe, it } from "@effect/vitest"
import {
  type ChatTransport,
  isToolUIPart,
  readUIMessageStream,
  type UIMessage,
  type UIMessageChunk,
  uiMessageChunkSchema
} from "ai"
import { Effect } from "effect"
import { type RunItem, type UiMessageChunk, UiMessageStream } from "effect-emitter/ai-sdk"
import { EmitterChatTransport } from "effect-emitter/ai-sdk/client"
import { forSeeds } from "../../support/random.ts"
import { drawRun } from "./legalRuns.ts"

/** The compiler takes what is written here for what `ai` reads. */
export const chunk = (part: UiMessageChunk): UIMessageChunk => part
export const transport = (): ChatTransport<UIMessage> => new EmitterChatTransport({ url: "/events" })

const write = (items: ReadonlyArray<RunItem>): ReadonlyArray<UIMessageChunk> => {
  const stream = new UiMessageStream("r1")
  // Over the wire and back.
  return JSON.parse(JSON.stringify(items.flatMap((item) => stream.take(item))))
}

interface Read {
  readonly message: UIMessage
  readonly errors: ReadonlyArray<string>
}

/** What `ai` makes of a stream. */
const read = (parts: ReadonlyArray<UIMessageChunk>) =>
  Effect.promise(async (): Promise<Read> => {
    const schema = uiMessageChunkSchema()
    for (const part of parts) {
      const checked = await schema.validate?.(part)
      assert.isTrue(checked?.success, JSON.stringify(part))
    }
    const errors: Array<string> = []
    const stream = new ReadableStream<UIMessageChunk>({
      start: (controller) => {
        for (const part of parts) controller.enqueue(part)
        controller.close()
      }
    })
    let message: UIMessage | undefined
    const messages = readUIMessageStream({
      stream,
      onError: (error) => errors.push(error instanceof Error ? error.message : String(error))
    })
    for await (const next of messages) message = next
    return { message: message ?? assert.fail("no message"), errors }
  })

/** The texts of a run, by kind, in the order in which they began. */
const textsOf = (items: ReadonlyArray<RunItem>) => {
  const texts = new Map<string, string>()
  let thoughts = 0
  for (const item of items) {
    if (item._tag !== "Event") continue
    const { event } = item
    switch (event.type) {
      case "text_delta":
      case "thinking_delta": {
        const key = `${event.type === "text_delta" ? "text" : "reasoning"} ${event.payload.messageId}`
        texts.set(key, (texts.get(key) ?? "") + event.payload.delta)
        break
      }
      case "agent_thinking":
        texts.set(`reasoning whole ${++thoughts}`, event.payload.text)
    }
  }
  return Array.from(texts, ([key, text]) => ({ type: key.split(" ")[0], text }))
}

const shownTexts = ({ message }: Read) =>
  message.parts.flatMap((part) =>
    part.type === "text" || part.type === "reasoning" ? [{ type: part.type, text: part.text }] : []
  )

/** All that a page draws, but where steps begin and what asks, and in which words a tool call failed. */
const shown = ({ errors, message }: Read) => ({
  errors,
  id: message.id,
  metadata: JSON.parse(
    JSON.stringify(message.metadata, (name, value: unknown) => name === "retryable" ? undefined : value)
  ),
  parts: message.parts.flatMap((part) => {
    switch (part.type) {
      case "step-start":
        return []
      case "reasoning":
        return [{ type: part.type, text: part.text, state: part.state }]
      case "text":
        return [{ type: part.type, text: part.text, state: part.state }]
      default:
        if (isToolUIPart(part)) {
          return [[part.type, part.toolCallId, part.state === "output-available", part.output]]
        }
        return /^data-(progress|state|order|request)$/u.test(part.type) ? [] : [part]
    }
  }),
  latest: Object.fromEntries(
    message.parts.flatMap((part) =>
      /^data-(progress|state|order)$/u.test(part.type) && "data" in part ? [[part.type, part.data]] : []
    )
  )
})

const expectEnded = ({ message }: Read) => {
  for (const part of message.parts) {
    if (part.type === "text" || part.type === "reasoning") assert.strictEqual(part.state, "done")
    if (isToolUIPart(part)) assert.match(part.state, /^output-/u)
  }
}

describe("a run as a UI message stream", () => {
  it.effect("is accepted by the readers of ai, is closed at its end, and its texts are what was emitted", () =>
    forSeeds({ count: 60 }, (random) =>
      Effect.gen(function*() {
        const { events, items } = drawRun(random)
        const parts = write(items)
        const result = yield* read(parts)
        const last = events.at(-1)
        const isFailure = last?.type === "agent_error" && last.payload.reason !== "cancelled"
        assert.deepStrictEqual(result.errors, isFailure ? ["it broke"] : [])
        assert.strictEqual(parts.at(-1)?.type, isFailure || last?.type === "agent_completed" ? "finish" : "abort")
        assert.deepStrictEqual(shownTexts(result), textsOf(items))
        expectEnded(result)
      })))

  it.effect("shows the same to a reader that comes in its middle, or after its end", () =>
    forSeeds({ from: 1_000, count: 60 }, (random) =>
      Effect.gen(function*() {
        const { items, snapshotAt } = drawRun(random, true)
        const whole = yield* read(write(items))
        for (const cut of [1 + random.below(items.length), items.length]) {
          const late = yield* read(write([snapshotAt(cut), ...items.slice(cut)]))
          assert.deepStrictEqual(shown(late), shown(whole))
          expectEnded(late)
        }
      })))

  it.effect("goes on over a stretch that is gone, with the run's state in its place", () =>
    forSeeds({ from: 2_000, count: 60 }, (random) =>
      Effect.gen(function*() {
        const { items, snapshotAt } = drawRun(random)
        const from = random.below(items.length)
        const to = from + random.below(items.length - from)
        const result = yield* read(write([...items.slice(0, from), snapshotAt(to + 1), ...items.slice(to + 1)]))
        const texts = (all: ReadonlyArray<{ readonly type: string | undefined; readonly text: string }>) =>
          all.map(({ text, type }) => `${type} ${text}`).toSorted()
        assert.deepStrictEqual(texts(shownTexts(result)), texts(textsOf(items)))
        expectEnded(result)
      })))

  it.effect("tells that a run is gone, and closes what was open", () =>
    Effect.gen(function*() {
      const missing: RunItem = { _tag: "Missing", message: "nothing more comes" }
      assert.deepStrictEqual(write([missing]).map(({ type }) => type), ["start", "message-metadata", "error", "finish"])
      yield* forSeeds({ from: 3_000, count: 30 }, (random) =>
        Effect.gen(function*() {
          const { items } = drawRun(random)
          const result = yield* read(write([...items.slice(0, 1 + random.below(items.length - 1)), missing]))
          assert.deepStrictEqual(result.errors, ["nothing more comes"])
          expectEnded(result)
        }))
    }))
})
