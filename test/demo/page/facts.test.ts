import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import type { Run } from "../../../src/client/index.ts"
import * as Library from "../../../src/demo/agent/Library.ts"
import { gapText } from "../../../src/demo/page/connection/connectionCard.ts"
import * as Facts from "../../../src/demo/page/run/facts.ts"
import { endingText } from "../../../src/demo/page/run/runView.ts"
import { Broker } from "../../../src/index.ts"
import { RunFold } from "../../../src/protocol/run/RunFold.ts"
import { answer, engine, handbook, runAgent } from "../support.ts"

const delivery = engine.pipe(Layer.provideMerge(Broker.layerMemory()))

const ended = (status: Run["status"], endedBy?: "user" | "program"): Run => ({
  id: "r",
  status,
  parts: [],
  usage: { inputTokens: 0, outputTokens: 0 },
  ...(endedBy === undefined ? {} : { endedBy })
})

describe("what the page reads out of a run", () => {
  it.effect("is what was asked, from which documents, what was answered, and what that cites", () =>
    Effect.gen(function*() {
      const library = yield* Library.fromText(handbook)
      const question = "Compare the fog horn with the lamp."
      const { events, result } = yield* runAgent(question, library)
      const fold = new RunFold()
      for (const { at, data, type } of events) fold.apply(type, data, at)
      const run = { id: "run-1", ...fold.snapshot() }
      assert.strictEqual(Facts.question(run), question)
      assert.strictEqual(Facts.documents(run), "your text")
      assert.strictEqual(Facts.answer(run), answer(library, question).text)
      assert.deepStrictEqual(
        Facts.citations(run).map(({ number, title }) => [number, title]),
        result.citations.map(({ number, title }) => [number, title])
      )
      assert.isAbove(result.citations.length, 1)
    }).pipe(Effect.scoped, Effect.provide(delivery)))

  it("is nothing where a run says nothing of it", () => {
    const run = ended("active")
    assert.deepStrictEqual(
      [Facts.question(run), Facts.documents(run), Facts.answer(run), Facts.citations(run)],
      [undefined, undefined, "", []]
    )
  })

  it("tells who stopped it, and claims no more than is known", () => {
    assert.strictEqual(endingText(ended("cancelled", "user"), "here"), "Stopped by you.")
    assert.strictEqual(endingText(ended("cancelled", "user"), undefined), "Stopped by you.")
    assert.strictEqual(
      endingText(ended("cancelled", "user"), "elsewhere"),
      "Stopped by you, from another tab or device."
    )
    const ofServer = "Ended by its server before it was done."
    assert.strictEqual(endingText(ended("cancelled", "program"), "here"), ofServer)
    assert.strictEqual(endingText(ended("cancelled"), "elsewhere"), ofServer)
    assert.strictEqual(endingText(ended("lost"), undefined), "The server that ran it is gone.")
    assert.isUndefined(endingText(ended("completed"), undefined))
    assert.isUndefined(endingText(ended("active"), "here"))
  })
})

describe("what the page says of a gap", () => {
  it("is one line, with how many events and why", () => {
    assert.deepStrictEqual(
      [
        gapText({ from: 4, to: 4, reason: "slow" }),
        gapText({ from: 4, to: 1_203, reason: "retention" }),
        gapText({ from: 4, to: 3, reason: "epoch" })
      ],
      [
        "1 event left out, since this page read too slowly. The state of their runs comes instead.",
        "1,200 events no longer kept. The state of runs that the server knows comes instead.",
        "The server began a new log, without what was there before."
      ]
    )
  })
})
