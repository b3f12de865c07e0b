/**
 * The agent's tools over one library, whichever model calls them, and what a run has found with them.
 */
import { Effect, Schema } from "effect"
import { Prompt, Tool, Toolkit } from "effect/ai"
import { AgentEvents, Emitter } from "../../index.ts"
import * as Answer from "./Answer.ts"
import type { Library } from "./Library.ts"
import * as Plan from "./Plan.ts"
import { excerpt, proseOf, type Section, textOf } from "./Section.ts"
import { countWords } from "./Words.ts"

/** A tool shows at most this many characters of a section; the model itself reads all of it. */
const shown = 600

const thousandth = (n: number) => Math.round(n * 1000) / 1000

const Id = Schema.String.annotate({ description: "The id of a section, as a search gave it" })

/** There is no such section: the model is told, and may look for another. */
const NoSection = Schema.Struct({ problem: Schema.String })

const Search = Tool.make("search", {
  description: "Searches the documents, and gives the sections that match best.",
  parameters: Schema.Struct({
    query: Schema.String.annotate({ description: "A few words of what is looked for" }),
    in: Schema.optionalKey(Schema.String).annotate({
      description: "guide: prose only; api: comments in code only; without it everything is searched"
    })
  }),
  success: Schema.Struct({
    hits: Schema.Array(Schema.Struct({
      section: Schema.String,
      title: Schema.String,
      score: Schema.Finite,
      excerpt: Schema.String
    }))
  })
})

const Compare = Tool.make("compare_sections", {
  description: "Tells what two sections have in common, and what each has alone, by their rarest words.",
  parameters: Schema.Struct({ first: Id, second: Id }),
  success: Schema.Struct({
    first: Schema.String,
    second: Schema.String,
    similarity: Schema.Finite,
    shared: Schema.Array(Schema.String),
    onlyFirst: Schema.Array(Schema.String),
    onlySecond: Schema.Array(Schema.String)
  }),
  failure: NoSection,
  failureMode: "return"
})

/** What a run has found: the sections that were read, in order, and their numbers from 1. */
export class Findings {
  readonly #read: Array<Section> = []

  /** Notes that a section was read, and gives its number. */
  note(section: Section): number {
    const at = this.#read.indexOf(section)
    return at >= 0 ? at + 1 : this.#read.push(section)
  }

  get citations(): ReadonlyArray<Answer.Citation> {
    return this.#read.map((section, index) => ({ number: index + 1, section }))
  }
}

/** The tools of the run that is there. */
export const make = Effect.fnUntraced(function*(library: Library) {
  const emitter = yield* Emitter.Emitter
  const findings = new Findings()

  const Read = Tool.make("read_section", {
    description: "Reads a section. Its number is what it is cited by, as [1].",
    parameters: Schema.Struct({ section: Id }),
    success: Schema.Struct({
      number: Schema.Int,
      section: Schema.String,
      title: Schema.String,
      source: Schema.String,
      line: Schema.Int,
      words: Schema.Int,
      text: Schema.String
    }),
    failure: NoSection,
    failureMode: "return",
    toModelOutput: ({ number, section: id, title }) => {
      const section = library.get(id)
      const text = section === undefined ? "" : textOf(section)
      return [Prompt.makePart("text", { text: `[${number}] ${title}\n\n${text}` })]
    }
  })

  /** A tool's work, begun after those called together with it, and how far the run is with it. */
  const work = <A, E>(progress: number, run: Effect.Effect<A, E>) =>
    Effect.yieldNow.pipe(
      Effect.andThen(run),
      Effect.tap(emitter.emit(AgentEvents.ProgressUpdate.make({ progress })).pipe(Effect.orDie))
    )

  const sectionOf = (id: string) => {
    const section = library.get(id)
    return section === undefined
      ? Effect.fail({ problem: `There is no section "${id}". Search for one.` })
      : Effect.succeed(section)
  }

  const toolkit = Toolkit.make(Search, Read, Compare)
  return {
    findings,
    toolkit: yield* toolkit.pipe(Effect.provide(toolkit.toLayer({
      search: ({ in: within, query }) =>
        work(
          30,
          Effect.sync(() => ({
            hits: Plan.hits(library, query, within === "guide" || within === "api" ? within : undefined).map((
              { score, section }
            ) => ({
              section: section.id,
              title: section.title,
              score: thousandth(score),
              excerpt: excerpt(proseOf(section), 120)
            }))
          }))
        ),
      read_section: ({ section: id }) =>
        work(
          50,
          Effect.map(sectionOf(id), (section) => {
            const text = textOf(section)
            return {
              number: findings.note(section),
              section: section.id,
              title: section.title,
              source: section.source,
              line: section.line,
              words: countWords(text),
              text: excerpt(text, shown)
            }
          })
        ),
      compare_sections: ({ first, second }) =>
        work(
          65,
          Effect.zipWith(sectionOf(first), sectionOf(second), (a, b) => Answer.compare(library, a, b))
        )
    })))
  }
})
