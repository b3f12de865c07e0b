/**
 * An agent that answers a question from documents, with a model and tools.
 *
 * It works as agents do: its model thinks, calls tools (several at once where they do not need each other), and streams
 * an answer. At the end it asks its user whether to send what it wrote. Every step is an event of the built-in catalog,
 * so a device sees all of it. Interrupting it ends its run as cancelled.
 */
import { Context, Duration, Effect } from "effect"
import type { LanguageModel } from "effect/ai"
import { EmitterAi } from "../../ai/index.ts"
import { AgentEvents, Emitter } from "../../index.ts"
import type { Citation } from "./Answer.ts"
import type { Library } from "./Library.ts"
import * as LocalModel from "./LocalModel.ts"
import { Sending } from "./Sending.ts"
import { excerpt, proseOf } from "./Section.ts"
import * as Tools from "./Tools.ts"

/**
 * The model that answers, where it is another than the local one; by default there is none. It does what `OpenAi.ts`
 * reads of an API.
 */
export const OtherModel = Context.Reference<LanguageModel.LanguageModel | undefined>("effect-emitter/demo/OtherModel", {
  defaultValue: () => undefined
})

/** How long the work may take, and how long its user may take to answer. */
const workTime = Duration.minutes(2)
const answerTime = Duration.minutes(2)

/** How often the model is asked at most: it may look for something twice. */
const maxSteps = 12

const thousandth = (n: number) => Math.round(n * 1000) / 1000

const instructions = (library: Library) =>
  `You answer questions from ${library.name}, and from nothing else. Search them, read what looks useful, and answer in ` +
  "a few short paragraphs of Markdown. Put the number of the section behind what you take from it, as [1]. Where the " +
  "documents do not answer the question, say so and do not guess."

/** What was written, and what it is taken from. The local model knows how much of the question that covers. */
interface Answered {
  readonly text: string
  readonly answered: boolean
  readonly coverage?: number
  readonly citations: ReadonlyArray<Citation>
}

const answering = Effect.fnUntraced(function*(question: string, library: Library): Effect.fn.Return<
  Answered,
  EmitterAi.AgentFailure<{}>,
  Emitter.Emitter
> {
  const { findings, toolkit } = yield* Tools.make(library)
  const other = yield* OtherModel
  const composed: { answer?: Answered } = {}
  const emitter = yield* Emitter.Emitter
  const model = other ?? (yield* LocalModel.make(question, library, {
    onAnswer: ({ answered, citations, coverage, text: whole }) => {
      composed.answer = { answered, citations, coverage: thousandth(coverage), text: whole }
    },
    onWritten: (share) =>
      Effect.orDie(emitter.emit(AgentEvents.ProgressUpdate.make({ progress: Math.round(70 + 25 * share) })))
  }))
  const { finishReason, text } = yield* EmitterAi.agentLoop({
    model,
    toolkit,
    maxSteps,
    prompt: [
      { role: "system", content: instructions(library) },
      { role: "user", content: [{ type: "text", text: question }] }
    ]
  })
  if (composed.answer !== undefined) return composed.answer
  const citations = findings.citations.filter(({ number }) => text.includes(`[${number}]`))
  return { text, answered: finishReason === "stop" && citations.length > 0, citations }
})

/** Sends what was written, if its user wants that. */
const offer = Effect.fnUntraced(function*(text: string) {
  const emitter = yield* Emitter.Emitter
  const sending = yield* Sending
  const run = emitter.context.runId ?? "summary"
  const to = sending.to(run)
  const isWanted = yield* emitter.ask({
    kind: "approval",
    title: "Shall I send this summary?",
    detail: `It goes into the file ${to}. Without an answer it is not sent.`,
    timeout: answerTime,
    default: false
  })
  const say = (words: string) => emitter.emit(AgentEvents.AgentThinking.make({ text: words }))
  yield* !isWanted ? say("I do not send it.") : sending.send(run, text).pipe(
    emitter.tool("send_summary", { to }),
    Effect.catchTag("NotSent", ({ message }) => say(`${message}.`))
  )
})

/**
 * Answers `question` from `library`, within a run of its own, and asks whether to send the answer.
 *
 * The run's result is what was cited: `{ answered, coverage?, citations }`.
 */
export const run = Effect.fnUntraced(function*(question: string, library: Library) {
  const emitter = yield* Emitter.Emitter
  const { citations, text, ...answer } = yield* Effect.timeout(answering(question, library), workTime)
  yield* emitter.emit(AgentEvents.ProgressUpdate.make({ progress: 95 }))
  if (answer.answered) yield* offer(text)
  yield* emitter.emit(AgentEvents.ProgressUpdate.make({ progress: 100 }))

  return {
    ...answer,
    citations: citations.map(({ number, section }) => ({
      number,
      section: section.id,
      title: section.title,
      source: section.source,
      line: section.line,
      excerpt: excerpt(proseOf(section), 200)
    }))
  }
}, (effect, question, library) =>
  effect.pipe(
    Emitter.run({
      agentName: "librarian",
      input: { question, documents: library.name },
      result: (result) => result
    })
  ))
