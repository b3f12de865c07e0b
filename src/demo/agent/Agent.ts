/**
 * A local agent: it answers a question from documents, with no key and no network.
 *
 * It works as agents do: it plans, calls tools (several at once where they do not need each other), and streams an
 * answer. At the end it asks its user whether to send what it wrote. Every step is an event of the built-in catalog, so a
 * device sees all of it. Interrupting it ends its run as cancelled.
 */
import { Duration, Effect } from "effect"
import { AgentEvents, Emitter } from "../../index.ts"
import * as Answer from "./Answer.ts"
import type { Library } from "./Library.ts"
import { Pace } from "./Pace.ts"
import type { Reading } from "./Passages.ts"
import * as Plan from "./Plan.ts"
import * as Question from "./Question.ts"
import { Sending } from "./Sending.ts"
import { excerpt, proseOf, type Section, textOf } from "./Section.ts"
import { countWords } from "./Words.ts"

/** The id of the message that the answer streams into. */
export const messageId = "answer"

/** How long the work may take, and how long its user may take to answer. */
const workTime = Duration.minutes(2)
const answerTime = Duration.minutes(2)

/** A tool shows at most this many characters of a section; the agent itself reads all of it. */
const shown = 600

const thousandth = (n: number) => Math.round(n * 1000) / 1000

/** How the two sections that matter most relate; for a comparison, the best of either side. */
const pairToCompare = (readings: ReadonlyArray<Reading>): readonly [Section, Section] | undefined => {
  const [first, ...others] = readings
  const second = others.find(({ section, side }) =>
    section !== first?.section && (side === undefined || side !== first?.side)
  )
  return first === undefined || second === undefined ? undefined : [first.section, second.section]
}

/** Searches, reads, and streams an answer. */
const answering = Effect.fnUntraced(function*(question: string, library: Library) {
  const emitter = yield* Emitter.Emitter
  const pace = yield* Pace
  let step = 0

  const think = Effect.fnUntraced(function*(text: string, progress: number) {
    yield* emitter.emit(AgentEvents.AgentThinking.make({ text, step: ++step }))
    yield* emitter.emit(AgentEvents.ProgressUpdate.make({ progress, message: text }))
    yield* Effect.sleep(pace.step)
  })
  const report = (operation: string, inputTokens: number, outputTokens: number) =>
    emitter.emit(AgentEvents.UsageReported.make({ operation, inputTokens, outputTokens }))

  /** A tool's work, begun after those called together with it have been announced. */
  const work = <A>(run: () => A) => Effect.andThen(Effect.yieldNow, Effect.sync(run))

  const search = Effect.fnUntraced(function*(wanted: Plan.Search) {
    const { hits } = yield* work(() => ({
      hits: Plan.hits(library, wanted).map(({ score, section }) => ({
        section: section.id,
        title: section.title,
        score: thousandth(score),
        excerpt: excerpt(proseOf(section), 120)
      }))
    })).pipe(emitter.tool("search", { query: wanted.query, in: wanted.within ?? library.name }))
    yield* report("search", countWords(wanted.query), 0)
    return [wanted, hits] as const
  })

  const read = Effect.fnUntraced(function*(section: Section) {
    const text = textOf(section)
    const words = countWords(text)
    yield* work(() => ({
      title: section.title,
      source: section.source,
      line: section.line,
      words,
      text: excerpt(text, shown)
    })).pipe(emitter.tool("read_section", { section: section.id }))
    yield* report("read", words, 0)
  })

  const stream = Effect.fnUntraced(function*(text: string) {
    const words = text.match(/\s*\S+\s*/gu) ?? []
    for (const [index, delta] of words.entries()) {
      yield* emitter.emit(AgentEvents.TextDelta.make({ messageId, delta }))
      if (index % 5 === 4) {
        yield* emitter.emit(AgentEvents.ProgressUpdate.make({ progress: Math.round(70 + 25 * index / words.length) }))
      }
      yield* Effect.sleep(pace.word)
    }
  })

  const parts = Question.parse(question, library)
  const searches = Plan.searches(library, parts)
  yield* think(
    parts.length === 0
      ? "There is no word in this question that I could look for."
      : `I look for ${parts.map(({ words }) => [...words.values()].join(", ")).join("; and for ")}.`,
    5
  )

  const found = yield* Effect.forEach(searches, search, { concurrency: "unbounded" })
  const readings = Plan.readings(library, found)
  const sections = [...new Set(readings.map(({ section }) => section))]
  if (parts.length > 0) {
    yield* think(
      sections.length === 0
        ? `None of ${library.sections.length} sections has any of these words.`
        : `${sections.length} of ${library.sections.length} sections look useful: ${
          sections.map(({ title }) => title).join(", ")
        }. I read ${sections.length === 1 ? "it" : "them"}.`,
      30
    )
  }

  yield* Effect.forEach(sections, read, { concurrency: "unbounded", discard: true })
  const pair = pairToCompare(readings)
  if (pair !== undefined) {
    yield* think(`I compare “${pair[0].title}” with “${pair[1].title}”, so that nothing is said twice.`, 50)
    yield* work(() => Answer.compare(library, ...pair)).pipe(
      emitter.tool("compare_sections", { first: pair[0].id, second: pair[1].id })
    )
  }

  const answer = Answer.compose(library, parts, readings)
  yield* think(answer.answered ? "I put the answer together." : "This does not answer the question.", 70)
  yield* stream(answer.text)
  yield* emitter.emit(AgentEvents.MessageCompleted.make({ messageId }))
  yield* report("write", 0, countWords(answer.text))
  return answer
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
 * The run's result is what was cited: `{ answered, coverage, citations }`.
 */
export const run = Effect.fnUntraced(function*(question: string, library: Library) {
  const emitter = yield* Emitter.Emitter
  const answer = yield* Effect.timeout(answering(question, library), workTime)
  yield* emitter.emit(AgentEvents.ProgressUpdate.make({ progress: 95 }))
  if (answer.answered) yield* offer(answer.text)
  yield* emitter.emit(AgentEvents.ProgressUpdate.make({ progress: 100 }))

  return {
    answered: answer.answered,
    coverage: thousandth(answer.coverage),
    citations: answer.citations.map(({ number, section }) => ({
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
