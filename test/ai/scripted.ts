/** A language model that says what it is told, and what a run of Ada's said of it. */
import { Effect, Layer, Ref, Stream } from "effect"
import { Broker, Emitter, Identity } from "effect-emitter"
import { TestBroker } from "effect-emitter/testing"
import { type AiError, LanguageModel, type Prompt, type Response } from "effect/ai"
import { layer } from "../emitter/support/emitting.ts"

export type Encoded = Response.StreamPartEncoded

export type Round = ReadonlyArray<Encoded> | Stream.Stream<Encoded, AiError.AiError>

/** A model whose n-th answer is the n-th round, and the prompts that it was given. */
export const scripted = (...rounds: ReadonlyArray<Round>) =>
  Effect.gen(function*() {
    const prompts: Array<Prompt.Prompt> = []
    const model = yield* LanguageModel.make({
      generateText: () => Effect.die("it streams alone"),
      streamText: ({ prompt }) => {
        const round = rounds[prompts.push(prompt) - 1]
        if (round === undefined) return Stream.die("the script has ended")
        // Each part by itself, as from a network.
        return Stream.isStream(round) ? round : Stream.rechunk(Stream.fromIterable(round), 1)
      }
    })
    return { model, prompts, layer: Layer.succeed(LanguageModel.LanguageModel, model) }
  })

export const finish = (
  reason: Response.FinishReason = "stop",
  input: number | undefined = undefined,
  output: number | undefined = undefined
): Encoded => ({
  type: "finish",
  reason,
  usage: {
    inputTokens: { uncached: undefined, total: input, cacheRead: undefined, cacheWrite: undefined },
    outputTokens: { total: output, text: undefined, reasoning: undefined }
  }
})

/** A text in its pieces, as a provider streams it. */
export const text = (...pieces: ReadonlyArray<string>): ReadonlyArray<Encoded> => [
  { type: "text-start", id: "0" },
  ...pieces.map((delta) => ({ type: "text-delta", id: "0", delta }) as const),
  { type: "text-end", id: "0" }
]

export const call = (id: string, name: string, params: unknown): Encoded => ({ type: "tool-call", id, name, params })

export const agent = { agentName: "a" }

export const ada = Identity.UserId.make("ada")

export const asAda = Effect.provide(Emitter.layerUser({ userId: "ada", runId: "r1" }))

export const engine = layer

/** What is in Ada's log, in short, without what is the same for every run. */
export const logged = Effect.map(
  Effect.flatMap(TestBroker.TestBroker, ({ log }) => log(ada)),
  (log) => log.map(({ event: { data, type } }) => [type, data] as const)
)

export const typesLogged = Effect.map(logged, (log) => log.map(([type]) => type))

export const ofType = (type: string) =>
  Effect.map(logged, (log) => log.flatMap(([each, data]) => each === type ? [data] : []))

/** The state of the run, as a device gets it. */
export const snapshot = Effect.flatMap(
  Broker.Broker,
  (broker) =>
    Effect.map(broker.snapshot(ada, Identity.RunId.make("r1")), ({ snapshot: found }) => {
      if (found === undefined) throw new Error("the run is not known")
      return found.state
    })
)

/** Counts how often something happened. */
export const counter = Effect.map(Ref.make(0), (ref) => ({
  add: Ref.update(ref, (n) => n + 1),
  count: Ref.get(ref)
}))
