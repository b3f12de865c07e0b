/**
 * What the page asks of the process that runs the agent.
 */
import { Effect, Schema } from "effect"
import { Question } from "../agent/Question.ts"
import { Runs } from "../runs/Runs.ts"
import { body, caller, json, refuse, route } from "./route.ts"

/** Begins a run. */
export const ask = route(
  "/api/ask",
  Effect.gen(function*() {
    const user = yield* caller
    const { question, text } = yield* body(
      Schema.Struct({ question: Question, text: Schema.optionalKey(Schema.String) }),
      "{ question: 1 to 500 characters, text: optional }"
    )
    const runs = yield* Runs
    const run = yield* runs.start(user, question, text).pipe(
      Effect.catchTags({ TextTooLong: refuse(413), TextEmpty: refuse(422), TooManyRuns: refuse(429) })
    )
    return json({ run }, 202)
  })
)
