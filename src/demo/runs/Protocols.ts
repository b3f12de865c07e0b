/**
 * The agent for pages of other libraries: `useChat` of the AI SDK, and clients of AG-UI.
 */
import { Effect, Layer, Schema } from "effect"
import { AgUi, RunAgentInput } from "../../interop/ag-ui/index.ts"
import { AiSdk } from "../../interop/ai-sdk/index.ts"
import * as Agent from "../agent/Agent.ts"
import type { Library } from "../agent/Library.ts"
import { Question } from "../agent/Question.ts"
import { maxRuns } from "./Runs.ts"

const answer = (documents: Library, question: string) =>
  Effect.flatMap(Schema.decodeEffect(Question)(question), (asked) => Agent.run(asked, documents))

/** `POST /api/chat` and `POST /api/agent`: each begins a run over `documents`. */
export const routes = (documents: Library) =>
  Layer.mergeAll(
    AiSdk.layer({
      path: "/api/chat",
      runsPerUser: maxRuns,
      run: ({ messages }) => answer(documents, AiSdk.textOf(messages.at(-1)))
    }),
    AgUi.layer({
      path: "/api/agent",
      runsPerUser: maxRuns,
      run: (input) => answer(documents, RunAgentInput.question(input))
    })
  )
