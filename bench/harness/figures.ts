/**
 * Reads the file that `--json` wrote.
 */
import * as Schema from "effect/Schema"
import { Comparison } from "./question.ts"

const Figures = Schema.fromJsonString(
  Schema.Struct({
    quick: Schema.Boolean,
    questions: Schema.Array(
      Schema.Struct({ name: Schema.String, comparisons: Schema.optionalKey(Schema.Array(Comparison)) })
    )
  })
)

export type Figures = typeof Figures.Type

export const readFigures: (json: string) => Figures = Schema.decodeSync(Figures)
