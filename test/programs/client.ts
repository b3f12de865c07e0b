/** A program's own events: an Effect service that adds up orders, and a page that shows them without Effect. */
import { Config, Effect, Layer, Schema, Stream } from "effect"
import { Client, connect } from "effect-emitter/client"
import { Event } from "effect-emitter/events"

export const Placed = Event.make("order_placed", {
  payload: { total: Schema.Finite, at: Schema.DateFromString },
  delivery: "critical"
})
const catalog = Event.catalog(Placed)

class Orders extends Client.Service<Orders>()("app/Orders", { catalog }) {}

const settings = Config.all({ url: Config.String("EVENTS_URL"), token: Config.Redacted("TOKEN") })
const layer = Layer.unwrap(Effect.map(settings, (options) => Orders.layer(options)))

/** The sum of the next orders, and the year of the last. */
export const sumOf = Effect.fnUntraced(function*(count: number) {
  const orders = yield* Orders
  return yield* orders.events.pipe(
    Stream.filter((event) => event.type === "order_placed"),
    Stream.take(count),
    Stream.runFold(() => ({ sum: 0, year: 0 }), ({ sum }, { payload }) => ({
      sum: sum + payload.total,
      year: payload.at.getUTCFullYear()
    }))
  )
}, Effect.provide(layer))

/** Shows each order until the page is left. */
export const page = async (url: string, token: string, show: (line: string) => void, signal: AbortSignal) => {
  for await (const event of connect({ url, token, catalog, signal }).events) {
    if (event.type === "order_placed") show(`${event.payload.total} at ${event.payload.at}`)
  }
}
