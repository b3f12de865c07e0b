/** Engines over brokers that are shared, as processes have them. */
import { Context, Effect, Layer } from "effect"
import { Broker, type EmitterConfig, EmitterLayer, Emitters } from "effect-emitter"
import { plenty } from "../../broker/events.ts"
import { userId } from "./envelopes.ts"

export const ada = userId("ada")

/** Another engine over the same broker, until the scope closes. */
export const engine = (
  broker: Broker.Broker["Service"],
  config: EmitterConfig.Options = {}
) =>
  Effect.map(
    Layer.build(Layer.fresh(EmitterLayer(config)).pipe(Layer.provide(Layer.succeed(Broker.Broker, broker)))),
    (context) => Context.get(context, Emitters)
  )

/** The types of what ada's log holds, in order. */
export const typesOf = (broker: Broker.Broker["Service"]) =>
  Effect.map(entriesOf(broker), (entries) => entries.map(({ type }) => type))

/** What ada's log holds, in order. */
export const entriesOf = (broker: Broker.Broker["Service"]) =>
  Effect.gen(function*() {
    const { epoch } = yield* broker.head(ada)
    return (yield* broker.pull(ada, { epoch, offset: 0 }, plenty)).entries
  })

/** A broker in memory of the test's own. */
export const memory = Effect.map(
  Layer.build(Layer.fresh(Broker.layerMemory())),
  (context) => Context.get(context, Broker.Broker)
)
