/**
 * A language model that needs no key and no network: it plans, reads and answers by rules, in the documents' own words.
 *
 * It is asked as any model is, with what was said and what the tools gave so far, and says what is next: what it thinks,
 * the tools to call, or the answer.
 */
import { Effect, Stream } from "effect"
import { LanguageModel, type Prompt, type Response } from "effect/ai"
import * as Answer from "./Answer.ts"
import type { Library } from "./Library.ts"
import { Pace } from "./Pace.ts"
import type { Reading } from "./Passages.ts"
import * as Plan from "./Plan.ts"
import * as Question from "./Question.ts"
import { type Section, textOf } from "./Section.ts"
import { countWords } from "./Words.ts"

type Part = Response.StreamPartEncoded

/** The tools' results in a prompt, in order. */
const resultsOf = (prompt: Prompt.Prompt, name: string): ReadonlyArray<unknown> =>
  prompt.content.flatMap((message) => message.role === "tool" ? message.content : []).flatMap((part) =>
    part.type === "tool-result" && part.name === name ? [part.result] : []
  )

/** What a search told, as far as it can be read. */
const foundIn = (result: unknown): ReadonlyArray<Plan.Found> => {
  const hits = typeof result === "object" && result !== null && "hits" in result ? result.hits : []
  return (Array.isArray(hits) ? hits : []).flatMap((hit: unknown) =>
    typeof hit === "object" && hit !== null && "section" in hit && "score" in hit
      ? [{ section: String(hit.section), score: Number(hit.score) }]
      : []
  )
}

/** How the two sections that matter most relate; for a comparison, the best of either side. */
const pairToCompare = (readings: ReadonlyArray<Reading>): readonly [Section, Section] | undefined => {
  const [first, ...others] = readings
  const second = others.find(({ section, side }) =>
    section !== first?.section && (side === undefined || side !== first?.side)
  )
  return first === undefined || second === undefined ? undefined : [first.section, second.section]
}

const finish = (reason: Response.FinishReason, input: number, output: number): Part => ({
  type: "finish",
  reason,
  usage: {
    inputTokens: { uncached: undefined, total: input, cacheRead: undefined, cacheWrite: undefined },
    outputTokens: { total: output, text: output, reasoning: undefined }
  }
})

/**
 * The model for one question. `onAnswer` is told what it composed, with what is cited in it, and `onWritten` now and then
 * how much of that is written, from 0 to 1.
 */
export const make = Effect.fnUntraced(function*(question: string, library: Library, on: {
  readonly onAnswer: (answer: Answer.Answer) => void
  readonly onWritten: (share: number) => Effect.Effect<unknown>
}) {
  const pace = yield* Pace
  const parts = Question.parse(question, library)
  const searches = Plan.searches(library, parts)

  const think = (text: string): Stream.Stream<Part> =>
    Stream.concat(
      Stream.make<[Part, ...Array<Part>]>(
        { type: "reasoning-start", id: "0" },
        { type: "reasoning-delta", id: "0", delta: text },
        { type: "reasoning-end", id: "0" }
      ),
      Stream.fromEffectDrain(Effect.sleep(pace.step))
    )

  const call = (words: number, name: string, inputs: ReadonlyArray<object>): Stream.Stream<Part> =>
    Stream.fromIterable<Part>([
      ...inputs.map((params, index) => ({ type: "tool-call", id: `${name}-${index}`, name, params } as const)),
      finish("tool-calls", words, 0)
    ])

  const say = (read: number, text: string): Stream.Stream<Part> => {
    const words = text.match(/\s*\S+\s*/gu) ?? []
    const pause = (index: number) =>
      Effect.andThen(index % 5 === 4 ? on.onWritten(index / words.length) : Effect.void, Effect.sleep(pace.word))
    const written = Stream.fromIterable(words.entries()).pipe(
      Stream.rechunk(1),
      Stream.flatMap(([index, delta]) =>
        Stream.concat(
          Stream.make<[Part]>({ type: "text-delta", id: "0", delta }),
          Stream.fromEffectDrain(pause(index))
        )
      )
    )
    return Stream.make<[Part]>({ type: "text-start", id: "0" }).pipe(
      Stream.concat(written),
      Stream.concat(Stream.make<[Part, Part]>({ type: "text-end", id: "0" }, finish("stop", read, countWords(text))))
    )
  }

  const next = (prompt: Prompt.Prompt): Stream.Stream<Part> => {
    const found = resultsOf(prompt, "search")
    if (found.length === 0 && searches.length > 0) {
      return Stream.concat(
        think(`I look for ${parts.map(({ words }) => [...words.values()].join(", ")).join("; and for ")}.`),
        call(
          searches.reduce((words, { query }) => words + countWords(query), 0),
          "search",
          searches.map(({ query, within }) => ({ query, in: within ?? library.name }))
        )
      )
    }

    const readings = Plan.readings(library, searches.map((search, index) => [search, foundIn(found[index])]))
    const sections = [...new Set(readings.map(({ section }) => section))]
    const read = resultsOf(prompt, "read_section")
    if (read.length === 0 && sections.length > 0) {
      return Stream.concat(
        think(
          `${sections.length} of ${library.sections.length} sections look useful: ${
            sections.map(({ title }) => title).join(", ")
          }. I read ${sections.length === 1 ? "it" : "them"}.`
        ),
        call(0, "read_section", sections.map(({ id }) => ({ section: id })))
      )
    }

    const words = sections.reduce((sum, section) => sum + countWords(textOf(section)), 0)
    const pair = pairToCompare(readings)
    if (pair !== undefined && resultsOf(prompt, "compare_sections").length === 0) {
      const [{ id: first, title: one }, { id: second, title: other }] = pair
      return Stream.concat(
        think(`I compare “${one}” with “${other}”, so that nothing is said twice.`),
        call(words, "compare_sections", [{ first, second }])
      )
    }

    const answer = Answer.compose(library, parts, readings)
    on.onAnswer(answer)
    const nothing = parts.length === 0
      ? think("There is no word in this question that I could look for.")
      : sections.length === 0
      ? think(`None of ${library.sections.length} sections has any of these words.`)
      : Stream.empty
    return nothing.pipe(
      Stream.concat(think(answer.answered ? "I put the answer together." : "This does not answer the question.")),
      Stream.concat(say(pair === undefined ? words : 0, answer.text))
    )
  }

  return yield* LanguageModel.make({
    streamText: ({ prompt }) => Stream.suspend(() => next(prompt)),
    generateText: () => Effect.die("the demo's agent reads its model as a stream")
  })
})
