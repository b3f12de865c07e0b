/**
 * Folds what happens to a run, and holds the state that comes of it against its bounds.
 */
import { assert } from "@effect/vitest"
import { Schema } from "effect"
import {
  maxJson,
  maxParts,
  maxState,
  maxText,
  maxTotalJson,
  maxTotalText,
  RunFold,
  type RunPart,
  RunSnapshot
} from "../../../src/protocol/run/RunSnapshot.ts"
import { textOf } from "../../support/runs.ts"
import type { Happening } from "./happenings.ts"

export const fold = (happenings: ReadonlyArray<Happening>, onto = new RunFold()) => {
  for (const { at, data, keep, type } of happenings) onto.apply(type, data, at, undefined, keep)
  return onto
}

const jsonOf = (part: RunPart) => {
  switch (part.type) {
    case "tool":
      return [part.input, part.output]
    case "request":
      return [part.schema, part.options, part.answer]
    case "file":
    case "event":
      return [part.data]
    default:
      return []
  }
}

/** No part of a run that has ended looks open, and no answer to a sensitive request is told. */
const expectClosed = ({ parts, status }: RunSnapshot) => {
  for (const part of parts) {
    if (status !== "active") assert.isFalse("status" in part && /^(executing|open|running)$/.test(part.status))
    if (status !== "active" && "messageId" in part) assert.isTrue(part.completed)
    if (part.type === "request" && part.sensitive === true) assert.notProperty(part, "answer")
  }
}

export const expectWithinBounds = (snapshot: RunSnapshot) => {
  assert.isTrue(Schema.is(RunSnapshot)(snapshot), JSON.stringify(snapshot).slice(0, 500))
  assert.isAtMost(snapshot.parts.length, maxParts)
  expectClosed(snapshot)
  const texts = snapshot.parts.map(textOf)
  const kept = [snapshot.input, ...snapshot.parts.flatMap(jsonOf)]
    .map((value) => value === undefined ? 0 : Buffer.byteLength(JSON.stringify(value)))
  for (const bytes of kept) assert.isAtMost(bytes, maxJson)
  assert.isAtMost(kept.reduce((sum, bytes) => sum + bytes, 0), maxTotalJson)
  if (snapshot.state !== undefined) {
    assert.isAtMost(Buffer.byteLength(JSON.stringify(snapshot.state)), maxState)
  }
  for (const text of [...texts, snapshot.thinking, snapshot.progressMessage, snapshot.error]) {
    assert.isAtMost(text?.length ?? 0, maxText)
  }
  assert.isAtMost(texts.reduce((sum, text) => sum + text.length, 0), maxTotalText)
}
