/**
 * What is told of typical mistakes: by the compiler where it knows, and by the program where no compiler was asked.
 */
import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Layer, Stream } from "effect"
import { AgentEvents, Emitter, EmitterLayer, Emitters } from "effect-emitter"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { compile, folderFor } from "../support/compile.ts"
import { layer } from "./support/emitting.ts"

const mistakes: Record<string, string> = {
  "a definition is emitted, not an event": `Emitter.emit(AgentEvents.TextDelta)`,
  "the options come before the effect": `Emitter.run({ agentName: "a" }, Effect.void)`,
  "the options come before the stream": `Emitter.runStream({ agentName: "a" }, Stream.empty)`,
  "a reason is misspelt": `AgentEvents.AgentError.make({ reason: "canceled", message: "", retryable: true })`,
  "a reason of EmitError is misspelt":
    `Effect.catchReason(Emitter.emit(thought), "EmitError", "Overflows", () => Effect.void)`,
  "layerUser is forgotten": `Effect.runPromise(Emitter.emit(thought))`,
  "EmitterLayer is forgotten":
    `Effect.runPromise(Emitter.emit(thought).pipe(Effect.provide(Emitter.layerUser({ userId: "ada" }))))`,
  "the broker is forgotten": `Effect.runPromise(Effect.provide(program, EmitterLayer()))`,
  "a duration has no such unit": `EmitterLayer({ batching: { maxDelay: "20 milis" } })`,
  "a setting has no such name": `EmitterLayer({ batching: { maxDelays: "20 millis" } })`,
  "a name is that of a built-in event": `Event.make("agent_completed", { payload: {} })`
}

const prelude = `import { Effect, Stream } from "effect"
import { AgentEvents, Emitter, EmitterLayer, Event } from "effect-emitter"
const thought = AgentEvents.AgentThinking.make({ text: "hm" })
const program = Emitter.emit(thought).pipe(Effect.provide(Emitter.layerUser({ userId: "ada" })))
`

/** What the compiler says of each file, without its place. */
const saidOf = (sources: ReadonlyArray<readonly [file: string, code: string]>): Record<string, string> => {
  const folder = folderFor("mistakes", { compilerOptions: { noUnusedLocals: false }, include: ["./*.ts"] })
  for (const [file, code] of sources) writeFileSync(join(folder, file), code)
  const said: Record<string, string> = {}
  let file = ""
  for (const line of compile(["--project", folder]).split("\n").filter((line) => line !== "")) {
    const [, at, message = line] = /([^/\s]+\.ts)\(\d+,\d+\): error TS\d+: (.*)$/u.exec(line) ?? []
    if (at !== undefined) file = at
    said[file] = said[file] === undefined ? message : `${said[file]}\n${message}`
  }
  return said
}

describe("the compiler", () => {
  it("says of each mistake what it is", { timeout: 600_000 }, ({ expect }) => {
    const titles = Object.keys(mistakes)
    const said = saidOf([
      ...Object.values(mistakes).map((code, index) =>
        [`mistake-${index}.ts`, `${prelude}export const it = ${code}\n`] as const
      ),
      [
        "right.ts",
        `${prelude}export const it = Emitter.layerUser({ userId: "ada", runId: undefined, trace: undefined })\n`
      ]
    ])
    assert.isUndefined(said["right.ts"])
    const messages = titles.map((title, index) => [title, said[`mistake-${index}.ts`]])
    for (const [title, message] of messages) assert.isDefined(message, title)
    expect(Object.fromEntries(messages)).toMatchSnapshot()
  })
})

/** Calls as a program without types would. */
const untyped = (call: (...args: ReadonlyArray<never>) => unknown, ...args: ReadonlyArray<unknown>) =>
  Reflect.apply(call, undefined, args)

describe("a program without types", () => {
  it.effect("is told that it emitted a definition", () =>
    Effect.gen(function*() {
      const { emit, emitConfirmed } = yield* (yield* Emitters).forUser({ userId: "ada" })
      const message = "TypeError: text_delta is a definition and no event: emit what its make(payload) gives"
      // @ts-expect-error: a definition is no event
      assert.include(Cause.pretty(yield* Effect.flip(Effect.sandbox(emit(AgentEvents.TextDelta)))), message)
      // @ts-expect-error: a definition is no event
      const confirmed = emitConfirmed(AgentEvents.TextDelta, { within: "1 second" })
      assert.include(Cause.pretty(yield* Effect.flip(Effect.sandbox(confirmed))), message)
      // @ts-expect-error: a text is no event
      assert.include(Cause.pretty(yield* Effect.flip(Effect.sandbox(emit("hello")))), "What was emitted is no event")
      // @ts-expect-error: nothing is no event
      assert.include(Cause.pretty(yield* Effect.flip(Effect.sandbox(emit(undefined)))), "What was emitted is no event")
    }).pipe(Effect.provide(layer())))

  it("is told that options came first", () => {
    assert.throws(
      () => untyped(Emitter.run, { agentName: "a" }, Effect.void),
      "The effect comes first: Emitter.run(effect, options)"
    )
    assert.throws(
      () => untyped(Emitter.runStream, { agentName: "a" }, Stream.empty),
      "The stream comes first: Emitter.runStream(stream, options)"
    )
  })

  it.effect("is told which setting is wrong, and which value it has", () =>
    Effect.gen(function*() {
      // @ts-expect-error: there is no such unit
      const config = EmitterLayer({ batching: { maxDelay: "20 milis" } })
      const exit = yield* Effect.exit(Effect.provide(Emitters, Layer.provide(config, layer())))
      assert.include(Exit.isFailure(exit) ? Cause.pretty(exit.cause) : "", `20 milis`)
      assert.include(
        Exit.isFailure(exit) ? Cause.pretty(exit.cause) : "",
        "batching.maxDelay: Expected a duration such as"
      )
    }))
})
