/**
 * The TCP connections under the page's event stream, so that the demo can really cut one.
 *
 * Each tab names its line in the address it connects to (`/events?line=…`). A cut destroys the line's TCP connection, as
 * a lost network would; a line held closed refuses new connections until its time is over; a slow one lets nothing
 * through for a while, so that what is written to it piles up.
 */
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import { Clock, Context, Duration, Effect, Layer } from "effect"
import { HttpRouter, HttpServerRequest, HttpServerResponse } from "effect/http"
import type { Socket } from "node:net"

/** The longest time that a line can be held closed or slowed down. */
export const maxTime = Duration.seconds(30)

/** The name of a line, as a tab makes it up. */
export const namePattern = /^[A-Za-z0-9-]{8,64}$/u

/**
 * - `cut` destroys the connections of a line, and tells how many there were. With `hold` it refuses new ones for that
 *   long ({@link maxTime} at most).
 * - `slow` keeps back what is written to a line's connections for that long ({@link maxTime} at most), and tells how many
 *   there are.
 */
export class Lines extends Context.Service<Lines, {
  readonly cut: (line: string, hold: Duration.Duration) => Effect.Effect<number>
  readonly slow: (line: string, time: Duration.Duration) => Effect.Effect<number>
  readonly open: (line: string, socket: Socket) => void
  readonly heldFor: (line: string) => Effect.Effect<number>
}>()("effect-emitter/demo/Lines") {}

/** How many lines are remembered as held; the oldest go first. */
const maxHeld = 1_000

export const layer: Layer.Layer<Lines> = Layer.effect(
  Lines,
  Effect.gen(function*() {
    const scope = yield* Effect.scope
    const sockets = new Map<string, Set<Socket>>()
    const held = new Map<string, number>()
    return {
      open: (line, socket) => {
        const own = sockets.get(line) ?? new Set()
        // One socket brings many requests.
        if (own.has(socket)) return
        sockets.set(line, own.add(socket))
        socket.once("close", () => {
          own.delete(socket)
          if (own.size === 0) sockets.delete(line)
        })
      },
      cut: (line, hold) =>
        Effect.map(Clock.currentTimeMillis, (now) => {
          if (Duration.toMillis(hold) > 0) {
            held.set(line, now + Duration.toMillis(Duration.min(hold, maxTime)))
            const [oldest] = held.keys()
            if (held.size > maxHeld && oldest !== undefined) held.delete(oldest)
          }
          const own = [...sockets.get(line) ?? []]
          for (const socket of own) socket.destroy()
          return own.length
        }),
      slow: (line, time) =>
        Effect.suspend(() => {
          const own = [...sockets.get(line) ?? []]
          for (const socket of own) socket.cork()
          const release = Effect.sync(() => {
            for (const socket of own) socket.uncork()
          })
          return Effect.sleep(Duration.min(time, maxTime)).pipe(
            Effect.ensuring(release),
            Effect.forkIn(scope),
            Effect.as(own.length)
          )
        }),
      heldFor: (line) =>
        Effect.map(Clock.currentTimeMillis, (now) => {
          const until = held.get(line) ?? 0
          if (until <= now) held.delete(line)
          return Math.max(0, until - now)
        })
    }
  })
)

/** Watches the lines of requests that become WebSockets, and refuses those that are held closed. */
export const middleware = HttpRouter.middleware(
  Effect.map(
    Lines,
    (lines) => <E, R>(next: Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>) =>
      Effect.gen(function*() {
        const request = yield* HttpServerRequest.HttpServerRequest
        const line = new URL(request.url, "http://localhost").searchParams.get("line")
        if (line === null || !namePattern.test(line)) return yield* next
        if ((yield* lines.heldFor(line)) > 0) {
          return HttpServerResponse.text("This line is held closed.", { status: 503 })
        }
        lines.open(line, NodeHttpServerRequest.toIncomingMessage(request).socket)
        return yield* next
      })
  ),
  { global: true }
)
