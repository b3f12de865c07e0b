/**
 * What the demo's tests share: the package's own documents, a text of somebody's, and a run whose events are kept.
 */
import { NodeServices } from "@effect/platform-node"
import { Effect, Fiber, Option, Schema, Stream } from "effect"
import { TestClock } from "effect/testing"
import { fileURLToPath } from "node:url"
import * as Agent from "../../src/demo/agent/Agent.ts"
import * as Answer from "../../src/demo/agent/Answer.ts"
import * as Library from "../../src/demo/agent/Library.ts"
import * as Plan from "../../src/demo/agent/Plan.ts"
import { Sending } from "../../src/demo/agent/Sending.ts"
import * as Question from "../../src/demo/agent/Question.ts"
import { Broker, Emitter, EmitterLayer, Emitters, Identity } from "../../src/index.ts"
import { Envelope, Frame } from "../../src/protocol/index.ts"
import * as LogReader from "../../src/broker/LogReader.ts"

/** The repository's root. */
export const root = fileURLToPath(new URL("../..", import.meta.url))

/** The package's own documents. */
export const packageLibrary = Library.fromPackage(root).pipe(Effect.provide(NodeServices.layer))

/** A text as a user may paste it. */
export const handbook = `# Lighthouse keeper's handbook

The lamp is lit at sunset and put out at sunrise. Its lens turns once every ten seconds, giving one white flash.

## Fog

When fog hides the horizon the keeper starts the fog horn. The horn sounds for three seconds each minute. It runs on
compressed air, and the tank lasts six hours.

## Supplies

- Oil: 40 litres arrive on the first Monday of the month.
- Bread and salt fish arrive every Friday by boat.
- Coal for the stove: two sacks a week in winter, one in summer.

The boat does not sail when the wind is above force 7. Then the keeper lives on the reserve, which lasts three weeks.

## Lamps

| lamp | colour | range |
|---|---|---|
| main | white | 22 miles |
| harbour | red | 4 miles |
`

/** Plans, reads and composes as the agent does, without its events. */
export const answer = (library: Library.Library, question: string): Answer.Answer => {
  const parts = Question.parse(question, library)
  const found = Plan.searches(library, parts).map((search) =>
    [
      search,
      Plan.hits(library, search.query, search.within).map(({ score, section }) => ({ section: section.id, score }))
    ] as const
  )
  return Answer.compose(library, parts, Plan.readings(library, found))
}

/** The engine that runs in tests emit through. */
export const engine = EmitterLayer()

/** The emitter of a user, bound to one run, for as long as the scope lives. */
export const emitterFor = Effect.fnUntraced(function*(user: string, run: string) {
  const emitters = yield* Emitters
  return yield* emitters.forUser({ userId: user, runId: run })
})

const decodeEvent = Schema.decodeUnknownSync(Frame.WireEvent)

/** What was sent, in place of files. */
export const sent = () => {
  const summaries = new Map<string, string>()
  const service: Sending["Service"] = {
    to: (run) => `outbox/${run}`,
    send: (run, text) => Effect.sync(() => void summaries.set(run, text))
  }
  return { summaries, service }
}

/** Every event of a user's log so far, as a device would get it. */
export const eventsOf = Effect.fnUntraced(function*(user: string) {
  const broker = yield* Broker.Broker
  const id = Identity.UserId.make(user)
  const head = yield* broker.head(id)
  return yield* LogReader.read(broker, id, Option.some({ epoch: head.epoch, offset: 0 })).pipe(
    Stream.take(head.offset),
    Stream.runCollect,
    Effect.map((items) =>
      items.flatMap((item) =>
        item._tag === "Event" ? [decodeEvent(JSON.parse(Envelope.toJson(item.entry.offset, item.entry.body)))] : []
      )
    )
  )
})

/** Lets the agent answer, moving the clock until nobody has answered its question, and gives the events of its run. */
export const runAgent = Effect.fnUntraced(function*(question: string, library: Library.Library) {
  const emitter = yield* emitterFor("ada", "run-1")
  const fiber = yield* Agent.run(question, library).pipe(
    Effect.provideService(Emitter.Emitter, emitter),
    Effect.provideService(Sending, sent().service),
    Effect.forkChild
  )
  yield* TestClock.adjust("4 minutes")
  const result = yield* Fiber.join(fiber)
  return { result, events: yield* eventsOf("ada") }
})
