/**
 * A process that imports every entry and describes layers without building them, then says what keeps it alive. With
 * `build` it also builds the engine twice, uses it and closes it.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Broker, EmitterLayer, Emitters, Event, Spool } from "../../../src/index.ts"
import * as Testing from "../../../src/testing/index.ts"
import { note } from "./events.ts"

const layer = EmitterLayer({ profile: "lowLatency" }).pipe(Layer.provideMerge(Broker.layerMemory()))
// Described, and left at that.
export const described = [Testing.TestBroker.layer(Broker.layerMemory()), Spool.memory()]

const use = Effect.gen(function*() {
  const ada = yield* (yield* Emitters).forUser({ userId: "ada" })
  yield* ada.emit(note(1))
  yield* ada.emit(Event.critical(note(2)))
}).pipe(Effect.scoped, Effect.provide(layer))

if (process.argv[2] === "build") await Effect.runPromise(Effect.andThen(use, use))

// What a fiber's last step left to the event loop's next turn is no timer of ours.
await new Promise((resolve) => setImmediate(resolve))

const alive = process.getActiveResourcesInfo().filter((resource) => resource !== "PipeWrap" && resource !== "TTYWrap")
process.stdout.write(JSON.stringify(alive))
