import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer, Random } from "effect"
import { AgentEvents, Broker, Emitter, EmitterLayer, Emitters, Identity, Names } from "effect-emitter"
import { idOf, plenty } from "../../broker/events.ts"

const ada = Identity.UserId.make("ada")
const seeded = <A, E, R>(effect: Effect.Effect<A, E, R>) => Random.withSeed(effect, "one seed for every life")

describe("Names", () => {
  it.effect("fault 5: are letters and digits, always as many, and never twice, whatever the seed", () =>
    Effect.gen(function*() {
      const some = Effect.replicateEffect(Names.next, 1_000)
      const names = [...yield* seeded(some), ...yield* seeded(some)]
      assert.strictEqual(new Set(names).size, 2_000)
      for (const name of names) assert.match(name, /^[0-9a-v]{16}$/u)
    }))

  it.effect("fault 5: come in the same sequence for a test that asks for it, always as long", () =>
    Effect.gen(function*() {
      const some = Effect.replicateEffect(Names.next, 100)
      const replay = Effect.suspend(() => Effect.provideService(some, Names.Names, Names.sequence("t")))
      const names = yield* replay
      assert.deepStrictEqual(yield* replay, names)
      assert.deepStrictEqual([names[0], names[37]], ["t00000000", "t00000011"])
      assert.strictEqual(new Set(names).size, 100)
    }))

  it.effect("fault 5: of epochs, sources and runs differ in two lives of a program with one seed", () =>
    Effect.gen(function*() {
      const life = Effect.scoped(Effect.gen(function*() {
        const context = yield* Layer.build(EmitterLayer().pipe(Layer.provideMerge(Layer.fresh(Broker.layerMemory()))))
        const broker = Context.get(context, Broker.Broker)
        const emitter = yield* Context.get(context, Emitters).forUser({ userId: ada })
        const { epoch } = yield* broker.head(ada)
        yield* emitter.emit(AgentEvents.Custom.make({ name: "n", data: 1 }))
        yield* emitter.run(Emitter.Emitter, { agentName: "a" })
        const { entries } = yield* broker.pull(ada, { epoch, offset: 0 }, plenty)
        return [epoch, ...entries.map(idOf), ...new Set(entries.flatMap(({ run }) => run ?? []))]
      }))
      const [first, second] = [yield* seeded(life), yield* seeded(life)]
      assert.lengthOf(first, 5)
      assert.strictEqual(new Set([...first, ...second]).size, 10)
    }))
})
